"""Training for every method: one loop, one step, one way to save."""
