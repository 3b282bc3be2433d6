"""Runs: the working directory, its files, and results, embeddings and pictures of its model."""
