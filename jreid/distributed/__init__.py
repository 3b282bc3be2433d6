"""Devices and processes: the mesh, sharding, joining a cluster, and stopping on signals."""
