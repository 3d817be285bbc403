"""Sweeps: variants x centres x seeds x any key, each cell a training in a process of its own."""
