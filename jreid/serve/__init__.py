"""A page and a JSON endpoint on this machine that search a gallery with uploaded images."""
