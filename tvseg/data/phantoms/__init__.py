"""Drawn photographs, for the localizer's training and for tests."""
