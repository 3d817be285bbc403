"""Lets ``python -m tvseg`` stand for ``tvseg``."""

from tvseg.cli import main

if __name__ == "__main__":
    main()
