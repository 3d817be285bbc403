"""Scores of finished face verification runs: tables, figures, the report."""
