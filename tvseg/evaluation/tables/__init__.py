"""From rows of cases to tables."""
