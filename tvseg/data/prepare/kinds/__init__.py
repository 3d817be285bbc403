"""The kinds of raw material that are understood, a module each."""
