#!/usr/bin/env bash
# Sets up, checks style and types, and runs the tests; arguments go to pytest. The tests of pages
# need Debian's chromium (apt-get install chromium) and are skipped without it.
EXTRAS="[test]" source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

bash scripts/check.sh
# One thread a process: the suite runs one process a core. One heap: several are left in pieces. A
# file stays in one process, so that what its tests share is made once.
OMP_NUM_THREADS=1 MALLOC_ARENA_MAX=1 python -m pytest -n auto --dist loadfile -m "not slow" "$@"
