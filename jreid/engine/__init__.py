"""A method on devices: its state, its compiled step, its optimizers, its embeddings."""
