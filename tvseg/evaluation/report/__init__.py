"""The report of an experiment: sections, figures, page."""
