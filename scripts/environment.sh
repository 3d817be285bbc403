# Sourced by the other scripts: uses the active virtual environment, or makes one in .venv, and
# installs the package there, with the extras that the caller names in EXTRAS, in the versions of
# requirements/constraints.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-python3}
if [ -z "${VIRTUAL_ENV:-}" ]; then
    if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "tvseg needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2
        exit 1
    fi
    [ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
    # shellcheck disable=SC1091
    source .venv/bin/activate
fi

# Install once, and again whenever the dependencies change.
stamp="$VIRTUAL_ENV/.tvseg-$(cat setup.cfg pyproject.toml requirements/constraints.txt | python -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])')${EXTRAS:-}"
if [ ! -e "$stamp" ] || ! python -c 'import tvseg' 2>/dev/null; then
    echo "Installing tvseg${EXTRAS:-} and what it needs into $VIRTUAL_ENV (about 6 GB, a few minutes) ..."
    python -m pip install --quiet --disable-pip-version-check \
        -c requirements/constraints.txt -e ".${EXTRAS:-}"
    touch "$stamp"
fi
