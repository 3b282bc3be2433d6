"""A run: a working directory and what is in it, and what can be made of it."""
