"""The prediction folder and the formats of its files."""
