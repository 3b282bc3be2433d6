"""Training for every method: the loop, its plan, and its observers."""
