"""From a fold to a run folder: fitting, selection, checkpoints."""
