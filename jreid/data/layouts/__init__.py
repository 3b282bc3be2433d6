"""The folders of datasets as their authors ship them: one layout a file, listed and checked."""

LAYOUTS = ("sysu_mm01", "regdb", "llcm")  # of real datasets; `folder` is for any other
