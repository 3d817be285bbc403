"""Metrics, per-case records, tables and figures."""
