"""Measurements of masks and flags of predictions."""
