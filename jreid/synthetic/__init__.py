"""Renders a small two-spectrum pedestrian dataset in the folder layout of a real one."""
