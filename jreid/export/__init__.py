"""A run's model as one file that is run without jreid: pixels in, unit vectors out."""
