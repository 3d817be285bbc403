"""Decoded photographs kept on disk."""
