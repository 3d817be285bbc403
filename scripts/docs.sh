#!/usr/bin/env bash
# Builds the documentation into docs/_build; a warning is an error. Arguments go to Sphinx.
EXTRAS="[docs,train,report]" source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
python -m sphinx -W --keep-going -q -b html docs docs/_build "$@"
echo "Open docs/_build/index.html"
