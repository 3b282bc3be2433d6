"""Training for every method: one loop, its plan, and what watches it."""
