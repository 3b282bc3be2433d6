"""Runs several commands at once: on this machine, or as a job array of SLURM."""
