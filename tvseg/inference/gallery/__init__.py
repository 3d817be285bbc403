"""The page to look through a prediction folder."""
