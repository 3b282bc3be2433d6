"""Reads the parameters of other implementations and renames them to ours."""
