"""Evaluation rules, one dataset a file, and the queries and galleries that they ask for."""
