"""What a run leaves on disk: folder, checkpoint, affinity maps."""
