"""Finding and reading photographs."""
