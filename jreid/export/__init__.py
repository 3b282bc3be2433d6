"""Exports a run's model as one file that runs without jreid: pixels in, unit vectors out."""
