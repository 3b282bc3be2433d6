"""Devices and processes: the mesh, who holds what, joining a cluster, stopping in time."""
