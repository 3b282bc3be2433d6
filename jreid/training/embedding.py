"""Embeddings of a folder of images by a run's model, for others to use."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from jreid.data.dataset import check_images
from jreid.data.pipeline import embedding_batches, read_folder
from jreid.errors import InputError
from jreid.evaluation.features import extract
from jreid.training.checkpoints import Checkpoints
from jreid.training.model import Model
from jreid.training.run import Run
from jreid.training.sharding import split

# SYSU-MM01's layout, whose cameras 3 and 6 are infrared.
SYSU_MM01_PATH = re.compile(r"/cam([1-6])/(\d{4})/\d{4}$")
INFRARED_CAMERAS = (3, 6)


def embed_folder(run: Run, kind: str, folder: Path, modality: str, output: Path) -> int:
    """Writes the embeddings of a folder's images and returns how many there are.

    The file holds `features` [N, D] float32, not normalised, `names` [N] and `modalities` [N];
    and `identities` [N] and `cameras` [N] where every path is of SYSU-MM01's layout.

    Args:
        kind: `last` or `best`, the run's checkpoint.
        folder: searched through for images.
        modality: `visible` or `infrared`, of all of them.

    Raises:
        InputError: no run, no image, a file that is no image, or one from a camera of the other
            modality.
    """
    if output.suffix != ".npz":
        raise InputError(f"{output} does not end in .npz; choose such an --output.")
    config = run.config()
    names, paths = read_folder(folder)
    labels = _labels(paths, modality)
    check_images(paths)
    model = Model(config)
    with Checkpoints(run.checkpoints) as checkpoints:
        step = checkpoints.step(kind)
        if step is None:
            raise InputError(f"{run.workdir} has no {kind} checkpoint; train it first.")
        embed = model.embedder(model.restore_variables(checkpoints, step))
    images = [path.read_bytes() for path in paths]
    options = config.image
    batches = embedding_batches(
        images, names, options.size, options.resize, config.evaluation.batch_size
    )
    features = extract(lambda x: embed(x, modality), batches, names, split(model.mesh))
    columns = {"features": features, "names": np.array(names), **labels}
    _write(output, columns | {"modalities": np.full(len(names), modality)})
    return len(names)


def _labels(paths: Sequence[Path], modality: str) -> dict[str, np.ndarray]:
    """Identities and cameras, where every path tells them."""
    found = [SYSU_MM01_PATH.search(path.resolve().with_suffix("").as_posix()) for path in paths]
    told = [match for match in found if match]
    if len(told) < len(paths):
        return {}
    cameras = np.array([int(match[1]) for match in told])
    other = np.flatnonzero(np.isin(cameras, INFRARED_CAMERAS) != (modality == "infrared"))
    if other.size:
        raise InputError(
            f"{paths[other[0]]} is from camera {cameras[other[0]]}, which is not {modality}; give "
            "the folders of one modality's cameras, each by a call of its own."
        )
    return {"identities": np.array([int(match[2]) for match in told]), "cameras": cameras}


def _write(path: Path, columns: dict[str, np.ndarray]) -> None:
    """All of the file or nothing."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            np.savez(file, **cast(Any, columns))
        os.replace(unfinished, path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); choose another --output."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
