"""Segmentation metrics: pure functions of two masks."""
