#!/usr/bin/env bash
# Format, lint, types; with --all also the slow tests.
EXTRAS="[test]" source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

ruff format --check .
ruff check .
mypy
python scripts/check_style.py
if [ "${1:-}" = "--all" ]; then
    python -m pytest -m slow
fi
