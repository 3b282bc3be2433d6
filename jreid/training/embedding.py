"""Embeddings of a folder of images by a run's model, for others to use."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from jreid.data import sysu_mm01
from jreid.data.dataset import check_images
from jreid.data.pipeline import read_folder
from jreid.errors import InputError
from jreid.files import write_whole
from jreid.training.checkpoints import Checkpoints
from jreid.training.model import Model
from jreid.training.run import Run


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
            raise InputError(
                f"{run.workdir} has no {kind} checkpoint; 'last' is there once it is trained, "
                "'best' where its config keeps validation identities to choose by."
            )
        variables = model.restore_variables(checkpoints, step)
    images = [path.read_bytes() for path in paths]
    features = model.embed(variables, images, names, modality)
    columns = {"features": features, "names": np.array(names), **labels}
    columns |= {"modalities": np.full(len(names), modality)}
    write_whole(output, lambda file: np.savez(file, **cast(Any, columns)))
    return len(names)


def _labels(paths: Sequence[Path], modality: str) -> dict[str, np.ndarray]:
    """Identities and cameras, where every path tells them."""
    told = [label for label in map(sysu_mm01.label_of, paths) if label]
    if len(told) < len(paths):
        return {}
    for path, label in zip(paths, told, strict=True):
        if label.modality != modality:
            raise InputError(
                f"{path} is from camera {label.camera}, which is {label.modality}; give the "
                "folders of one modality's cameras, each by a call of its own."
            )
    return {
        "identities": np.array([label.identity for label in told]),
        "cameras": np.array([label.camera for label in told]),
    }
