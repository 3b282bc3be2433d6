"""One file a method; its argument names the dataset: `configs/agw.py:sysu_mm01`."""
