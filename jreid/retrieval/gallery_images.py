"""The images of embeddings that are only read: found by their names."""

from collections.abc import Sequence
from pathlib import Path

from jreid.data.plain_folder import read_folder
from jreid.errors import InputError


def find_images(folder: Path, names: Sequence[str], file: Path) -> list[Path]:
    """The image files in a folder that a file has embeddings of.

    Args:
        names: of the images, as the file has them: paths relative to the folder, with or without
            suffix.
        file: named in errors and warnings.

    Raises:
        InputError: the folder has not all of them, or no image.
    """
    of_embed, paths, _ = read_folder(folder)
    by_name = {path.relative_to(folder).as_posix(): path for path in paths}
    by_name |= zip(of_embed, paths, strict=True)
    gone = [name for name in names if name not in by_name]
    if gone:
        raise InputError(
            f"{folder} lacks {len(gone):,} of the {len(names):,} images in {file}, first "
            f"{gone[0]}; give the folder that was embedded, or embed it again."
        )
    return [by_name[name] for name in names]
