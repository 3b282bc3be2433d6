"""A trained model as a library: embed images of one's own, and search a gallery with them."""
