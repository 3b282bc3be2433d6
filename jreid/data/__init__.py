"""Data: datasets on disk, the rows of a batch, and batches on the devices."""
