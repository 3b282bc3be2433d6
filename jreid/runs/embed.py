"""Writes embeddings of images by a run's model to a file."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float

import jreid
from jreid import config as configs
from jreid.data.dataset import Dataset
from jreid.data.forms import TURNED, fault_for_run
from jreid.data.images import ImageFiles, hash_file, read_images
from jreid.data.layouts import sysu_mm01
from jreid.data.layouts.layout import Fault, Row, find_layout, raise_faults
from jreid.data.plain_folder import read_folder
from jreid.data.table import Table
from jreid.distributed.processes import on_main_process
from jreid.engine.model import Model
from jreid.errors import InputError
from jreid.evaluation.results.feature_file import labels_of, normal_names
from jreid.files import write_whole
from jreid.methods import Config, Variables
from jreid.progress import ProgressBar, silent, with_progress
from jreid.runs.check_config import check_config
from jreid.runs.chosen import checkpoint_variables, extraction_of, model_id
from jreid.runs.embed_parts import Images, Share, Written, has_part, write_parts
from jreid.runs.evaluate import stands_for
from jreid.runs.record import marks_of_record
from jreid.runs.run import Run
from jreid.runs.score import embed_table, marks_of

log = logging.getLogger(__name__)


def embed_folder(
    run: Run,
    kind: str,
    folder: Path,
    modality: str,
    output: Path,
    bar: ProgressBar = silent,
    share: Share | None = None,
) -> Written:
    """Writes the embeddings of a folder's images and returns how many there are.

    The file holds `features` [N, D] float32, not normalized, `names` [N], `modalities` [N] and
    `digests` [N], the SHA-256 of each image file; `identities` [N] and `cameras` [N] if all paths
    have SYSU-MM01's layout; and `model`, the hash of the config and of the weights.

    Args:
        kind: `last` or `best`, the run's checkpoint.
        folder: searched for images, with its subfolders.
        modality: `visible` or `infrared`, for all images.
        bar: shows how many images are read and embedded.
        share: writes this share of Parquet parts into the folder `output`, not an .npz file.

    Raises:
        InputError: no run, no image, a file that is not an image, an image from a camera of the
            other modality; or as `write_parts`.
    """
    config = run.config()
    check_config(config)
    names, paths, notes = read_folder(folder)
    for note in notes:
        log.warning("%s: %s", folder, note)
    labels = _labels(paths, modality)
    if share and not has_part(share, len(names)):
        return Written(len(names), share.parts(len(names)), 0, 0)
    model = Model(config)
    variables, checkpoint = checkpoint_variables(model, run, kind)
    if not share:
        # All are read first, so that none that is damaged ends the work of hours.
        hashes = _check(paths, folder, config, bar)
        files = ImageFiles(paths, config.data.depth_range)
        features = model.embed(variables, files, names, modality, bar=bar)
        embedded = zip(paths, hashes, files.digests, strict=True)
        # Another of several processes embeds an image without a hash.
        changed = [path for path, before, after in embedded if after not in ("", before)]
        changed += [paths[row] for row in files.faults]
        _raise_faults(dict.fromkeys(changed, "changed meanwhile: give the command again"), folder)
        labels |= {"modalities": [modality] * len(names)}
        made_by = {"digests": hashes, "model": model_id(run, variables, config)}
        _write(output, features, names=names, **labels, **made_by)
        return Written(len(names), 0, 0, 0)

    def embed(some: slice, bar: ProgressBar) -> tuple[list[str], Float[np.ndarray, "n d"]]:
        files = ImageFiles(paths[some], config.data.depth_range)
        features = model.embed(variables, files, names[some], modality, bar=bar)
        faults = {paths[some][row]: fault for row, fault in sorted(files.faults.items())}
        _raise_faults(faults, folder)
        _warn_of_turned([paths[some][row] for row in sorted(files.turned)])
        return files.digests, features

    def digests(some: slice) -> list[str]:
        with ThreadPoolExecutor() as pool:
            return [*pool.map(hash_file, paths[some])]

    unknown = [None] * len(names)
    columns = {"identities": unknown, "cameras": unknown, **labels}
    columns["modalities"] = [modality] * len(names)
    about = {**_about(config, run, variables, checkpoint), "modality": modality}
    return write_parts(output, Images(names, columns, digests, embed), about, share, bar)


def _check(paths: Sequence[Path], folder: Path, config: Config, bar: ProgressBar) -> list[str]:
    """The SHA-256 of image files; InputError if one of them is not an image."""
    rows = [Row("", 0, 0, "", "test", path) for path in paths]
    digests, faults, turned = [], {}, []
    reading = read_images(rows, config.data.depth_range)
    for image in with_progress(reading, "images read", len(rows), bar):
        digests.append(image.digest)
        if image.fault:
            faults[image.row.path] = fault_for_run(image.fault)
        if image.turned:
            turned.append(image.row.path)
    _raise_faults(faults, folder)
    _warn_of_turned(turned)
    return digests


def _raise_faults(faults: Mapping[Path, str], folder: Path) -> None:
    raise_faults(
        (Fault(str(path.relative_to(folder)), fault) for path, fault in faults.items()), folder
    )


def _warn_of_turned(paths: Sequence[Path]) -> None:
    if paths:
        log.warning("%s %s", paths[0], TURNED.format(number=len(paths)))


def _about(
    config: Config, run: Run, variables: Variables, fields: dict[str, Any]
) -> dict[str, Any]:
    """What the metadata of Parquet parts say of the model and of its embeddings."""
    record = run.provenance_file
    return {
        "extraction": extraction_of(config),  # first, since errors name the first difference
        "model": model_id(run, variables, config),
        "config_hash": configs.digest_as_written(run.config_file),
        "checkpoint": {name: fields[name] for name in ("checkpoint", "step", "weights")},
        "image_size": [*config.image.size],
        "distance": "cosine",
        "normalized": False,
        "jreid": jreid.__version__,
        "run": hash_file(record) if record.is_file() else "",
    }


def embed_split(
    config: Config,
    run: Run,
    kind: str,
    dataset: Dataset,
    split: str,
    output: Path,
    marks: Mapping[str, Any],
    bar: ProgressBar = silent,
    share: Share | None = None,
) -> Written:
    """Writes the embeddings of a dataset's split, as `embed_folder` does, always with labels.

    The file also has an array `origin`, a JSON text: the source of the features, and the marks that
    their results must have.

    Args:
        marks: additional fields of `origin`.
        bar: shows how many images are embedded.
        share: as in `embed_folder`.

    Raises:
        InputError: no such checkpoint, no image in the split; or as `write_parts`.
    """
    table = dataset.table.of_split(split)
    if not len(table.name):
        raise InputError(
            f"{config.data.name} has no images in its {split} split; choose another split."
        )
    if share and not has_part(share, len(table.name)):
        return Written(len(table.name), share.parts(len(table.name)), 0, 0)
    model = Model(config)
    variables, checkpoint = checkpoint_variables(model, run, kind)
    row = {"dataset": config.data.name, "images": table.fingerprint()[:12]}
    row |= {**checkpoint, **marks_of(dataset), **marks_of_record(run.record()), **marks}
    if split != "test":
        row["of_split"] = split
    origin = {
        **stands_for(config, dataset),
        "labels": labels_of(table._replace(name=np.array(normal_names(table.name.tolist())))),
        "settings": find_layout(config.data.layout).values(config.data),
        "row": row,
    }
    labels = {
        "identities": table.identity,
        "cameras": table.camera,
        "modalities": table.modality,
    }

    def digests(some: slice) -> list[str]:
        return [hashlib.sha256(image).hexdigest() for image in table.image[some]]

    def embed(some: slice, bar: ProgressBar) -> tuple[list[str], Float[np.ndarray, "n d"]]:
        part = Table(*(column[some] for column in table))
        return digests(some), embed_table(model, variables, part, bar)

    if share:
        columns = {name: column.tolist() for name, column in labels.items()}
        about = {**_about(config, run, variables, checkpoint), "modality": ""}
        images = Images(table.name.tolist(), columns, digests, embed, origin)
        return write_parts(output, images, about, share, bar)
    hashes, features = embed(slice(None), bar)
    made_by = {"digests": hashes, "model": model_id(run, variables, config)}
    _write(output, features, names=table.name, **labels, **made_by, origin=json.dumps(origin))
    return Written(len(table.name), 0, 0, 0)


def _write(output: Path, features: np.ndarray, **labels: Any) -> None:
    columns = {"features": features} | {name: np.array(values) for name, values in labels.items()}
    on_main_process(lambda: write_whole(output, lambda file: np.savez(file, **cast(Any, columns))))


def _labels(paths: Sequence[Path], modality: str) -> dict[str, np.ndarray]:
    """Identities and cameras, if every path names them."""
    labels = []
    for path in paths:
        label = sysu_mm01.label_of(path)
        if not label:
            return {}
        labels.append(label)
    for path, label in zip(paths, labels, strict=True):
        if label.modality != modality:
            raise InputError(
                f"{path} is from camera {label.camera}, which is {label.modality}; embed the "
                "folders of each modality's cameras by a separate command."
            )
    return {
        "identities": np.array([label.identity for label in labels]),
        "cameras": np.array([label.camera for label in labels]),
    }
