"""Photographs read, predicted and written at the same time."""
