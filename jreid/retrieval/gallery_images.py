"""The images of embeddings that are only read: found by their names, compared by their hashes."""

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jreid.data.forms import to_decodable
from jreid.data.images import hash_file, read_file
from jreid.data.pixels import ImageError
from jreid.data.plain_folder import read_folder
from jreid.errors import InputError, counted

log = logging.getLogger(__name__)


def find_images(folder: Path, names: Sequence[str], file: Path) -> list[Path]:
    """The image files in a folder that a file has embeddings of; warns of those that it lacks.

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
    found = [by_name[name] for name in names]
    known = {*found}
    new = [path for path in paths if path not in known]
    if new:
        log.warning(
            "%s has %s that %s lacks, first %s: the search does not find them; embed again",
            folder,
            counted(len(new), "images"),
            file,
            new[0].relative_to(folder),
        )
    return found


def refuse_changed(
    file: Path,
    paths: Sequence[Path],
    digests: Sequence[str],
    depth_range: tuple[int, ...],
    rows: Sequence[int],
) -> None:
    """Raises InputError if an image is not the one that a file has the embedding of.

    Args:
        paths: `[N]`, of the images in the file.
        digests: `[N]`, their SHA-256 when they were embedded.
        depth_range: as in `jreid.data.forms.to_decodable`.
        rows: which of the N images to compare.
    """

    def has_changed(row: int) -> bool:
        if hash_file(paths[row]) == digests[row]:
            return False
        try:  # `jreid embed --split` hashes what the dataset's preparation has made of a file
            content = to_decodable(read_file(paths[row]), depth_range).content
        except ImageError:
            return True
        return hashlib.sha256(content).hexdigest() != digests[row]

    with ThreadPoolExecutor() as pool:
        compared = zip(rows, pool.map(has_changed, rows), strict=True)
        changed = [paths[row] for row, has in compared if has]
    if changed:
        raise InputError(
            f"{changed[0]} is no longer the image that {file} has the embedding of (such images "
            f"among those compared: {len(changed):,}); embed the folder again."
        )
