"""Finding the optic disc in full photographs."""
