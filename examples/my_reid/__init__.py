"""A package outside of jreid, with a loss, a method, a dataset and a protocol of its own."""
