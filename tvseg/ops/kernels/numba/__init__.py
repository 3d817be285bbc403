"""TVConv in loops compiled by numba."""
