#!/usr/bin/env bash
# Sets up, checks style and types, and runs the tests; arguments go to pytest.
EXTRAS="[test]" source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

# Pages are tested in Debian's chromium; where it cannot be had, those tests are skipped.
if ! command -v chromium >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing chromium for the tests of pages ..."
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends chromium fonts-dejavu-core; } >/dev/null ||
            echo "chromium could not be installed: tests of pages are skipped" >&2
    else
        echo "chromium is missing: tests of pages are skipped (apt-get install chromium)" >&2
    fi
fi

bash scripts/check.sh
# One thread a process: the suite runs one process a core.
OMP_NUM_THREADS=1 python -m pytest -n auto -m "not slow" "$@"
