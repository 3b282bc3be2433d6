"""SYSU-MM01: the folder as its authors ship it, checked, and a TFDS builder that reads it.

The synthetic dataset has the same layout and goes through the same code. Source of the layout:
Wu et al., RGB-Infrared Cross-Modality Person Re-Identification, ICCV 2017, and its README.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from jreid.data.table import INFRARED, VISIBLE
from jreid.errors import InputError

CAMERA_MODALITY = {1: VISIBLE, 2: VISIBLE, 3: INFRARED, 4: VISIBLE, 5: VISIBLE, 6: INFRARED}
SPLIT_FILES = {"train": "train_id.txt", "validation": "val_id.txt", "test": "test_id.txt"}
GALLERY_FILE = "rand_perm_cam.mat"

# (camera, identity) -> [10, n] int64: row t is trial t's permutation of the image numbers 1 to n.
GalleryIndex = Mapping[tuple[int, int], np.ndarray]


class Row(NamedTuple):
    """One image of the folder: the Table's columns with a path in place of the bytes."""

    name: str
    identity: int
    camera: int
    modality: str
    split: str
    path: Path


class Label(NamedTuple):
    """What a path says of its image."""

    identity: int
    camera: int
    modality: str


def read_gallery_index(path: Path) -> GalleryIndex:
    """The official gallery draw, `rand_perm_cam.mat`; pairs without images are left out.

    Raises:
        InputError: the file is missing or has another form.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise InputError(
            f"{path} is missing; it is not in the dataset's archive: take it from the repository "
            "of the official SYSU-MM01 evaluation, folder data_split."
        )
    try:
        cameras = loadmat(path)["rand_perm_cam"]
        index = {
            (camera, identity): cell.astype(np.int64)
            for camera, cells in enumerate(cameras[:, 0], 1)
            for identity, cell in enumerate(cells[:, 0], 1)
            if cell.shape[1]
        }
        wrong = [pair for pair, draws in index.items() if not _permutations(draws)]
    except Exception as error:  # loadmat raises whatever a damaged file leads it into
        raise InputError(
            f"{path} does not have the official form ({error}); download it again."
        ) from error
    if wrong:
        raise InputError(
            f"{path}: the rows of camera {wrong[0][0]}, identity {wrong[0][1]}, are no "
            "permutations of its images; download it again."
        )
    return index


def _permutations(draws: np.ndarray) -> bool:
    return bool((np.sort(draws, axis=1) == np.arange(1, draws.shape[1] + 1)).all())


def label_of(path: Path) -> Label | None:
    """What a path such as `cam3/0006/0012.jpg` says of its image; None for any other path."""
    match = re.search(r"/cam([1-6])/(\d{4})/\d{4}$", path.resolve().with_suffix("").as_posix())
    if not match:
        return None
    camera = int(match[1])
    return Label(int(match[2]), camera, CAMERA_MODALITY[camera])


def list_files(folder: Path) -> list[Path]:
    """The files beside the images that say which image is what."""
    return [folder / "exp" / name for name in (*SPLIT_FILES.values(), GALLERY_FILE)]


def list_images(folder: Path) -> list[Row]:
    """Every image of the listed identities, sorted by name.

    The gallery file names each identity's images in each camera, so the folder must hold exactly
    those: a half-unpacked folder, or one with strangers in it, is refused.

    Raises:
        InputError: something is missing, unexpected or in two splits; the first of them is named.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} does not exist; give the dataset's folder as --config.data.folder=DIR, or "
            f"render the synthetic one: jreid data synthesize --output={folder}."
        )
    index = read_gallery_index(folder / "exp" / GALLERY_FILE)
    rows, missing, unexpected = [], [], []
    for identity, split in sorted(_read_splits(folder / "exp").items()):
        for camera, modality in CAMERA_MODALITY.items():
            place = f"cam{camera}/{identity:04d}"
            found = {path.name: path for path in sorted((folder / place).glob("[!.]*.jpg"))}
            count = index[camera, identity].shape[1] if (camera, identity) in index else 0
            expected = {f"{number:04d}.jpg" for number in range(1, count + 1)}
            missing += [f"{place}/{file}" for file in sorted(expected - {*found})]
            unexpected += [f"{place}/{file}" for file in sorted({*found} - expected)]
            rows += [
                Row(f"{place}/{path.stem}", identity, camera, modality, split, path)
                for path in found.values()
            ]
    for files, what in ((missing, "lacks"), (unexpected, "holds unexpectedly")):
        if files:
            raise InputError(
                f"{folder} {what} {len(files)} images by its own exp/{GALLERY_FILE}, first "
                f"{files[0]}; unpack the dataset again into an empty folder."
            )
    if not rows:
        raise InputError(f"{folder} holds no image of the identities in its exp folder.")
    return sorted(rows)


def _read_splits(folder: Path) -> dict[int, str]:
    """Identity to split, from the one-line comma-separated lists."""
    splits: dict[int, str] = {}
    for split, file in SPLIT_FILES.items():
        path = folder / file
        if not path.is_file():
            raise InputError(f"{path} is missing; unpack the dataset again, its exp folder too.")
        text = path.read_text(encoding="utf-8-sig").strip()
        if not re.fullmatch(r"\d+(\s*,\s*\d+)*,?", text):
            raise InputError(
                f"{path} is not one line of identities separated by commas; take it "
                "from the dataset's archive again."
            )
        for identity in map(int, re.findall(r"\d+", text)):
            if splits.setdefault(identity, split) != split:
                raise InputError(
                    f"{path} lists identity {identity}, which is in the {splits[identity]} split "
                    "too; take the lists from the dataset's archive again."
                )
    return splits


class SysuMm01(tfds.core.GeneratorBasedBuilder):
    """Reads a SYSU-MM01 folder, given as the manual directory, into the Table's columns."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Sign the dataset's agreement and unpack its archive."

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "name": tfds.features.Text(),
            "identity": np.int64,
            "camera": np.int64,
            "modality": tfds.features.Text(),
            "split": tfds.features.Text(),
            "image": tfds.features.Image(),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), metadata=tfds.core.MetadataDict()
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        folder = Path(dl_manager.manual_dir)
        index = read_gallery_index(folder / "exp" / GALLERY_FILE)
        kept = {f"{camera}/{person}": draws.tolist() for (camera, person), draws in index.items()}
        cast(dict[str, Any], self.info.metadata)["gallery_index"] = kept
        rows = list_images(folder)
        return {
            split: self._generate_examples([row for row in rows if row.split == split])
            for split in SPLIT_FILES
        }

    def _generate_examples(self, rows: list[Row]) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in rows:
            columns = row._asdict()
            path = epath.Path(columns.pop("path"))
            yield row.name, {**columns, "image": path}


def gallery_index(builder: SysuMm01) -> GalleryIndex:
    """The gallery draw that the builder kept beside the images."""
    kept = cast(dict[str, Any], builder.info.metadata)["gallery_index"]
    pairs = {tuple(map(int, pair.split("/"))): draws for pair, draws in kept.items()}
    return {
        (camera, person): np.array(draws, np.int64) for (camera, person), draws in pairs.items()
    }


Builder = SysuMm01
