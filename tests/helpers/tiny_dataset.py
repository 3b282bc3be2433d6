"""Files of the tiny dataset in SYSU-MM01's layout."""

from pathlib import Path


def image_of(folder: Path, split: str) -> Path:
    """The first image of the split's first identity in camera 6."""
    first = (folder / "exp" / f"{split}_id.txt").read_text().split(",")[0]
    return min((folder / "cam6" / f"{int(first):04d}").glob("*.jpg"))
