"""A method on devices: its state, compiled step, optimizers and embeddings."""
