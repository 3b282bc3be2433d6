"""The folders of datasets as their authors ship them: one layout a file, listed and checked."""
