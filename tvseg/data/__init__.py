"""From files on disk to batches: centres, cases, folds, datasets, augmentation, phantoms."""
