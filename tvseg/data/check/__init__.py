"""Checks of a data root before anything is trained on it."""

from tvseg.data.check.report import Report, check_data

__all__ = ["Report", "check_data"]
