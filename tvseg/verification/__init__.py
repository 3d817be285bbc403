"""Face verification, the paper's second task: pairs of pictures, embeddings, ten folds."""
