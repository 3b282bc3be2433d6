"""The folders of datasets as their authors ship them: one file for each layout."""
