"""Result rows, result files, and tables of them."""
