"""A trained model as a library: embed your own images, and search a gallery with them."""
