"""A run's trained model as an object: load it, embed images, search."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jreid.data.forms import TURNED
from jreid.datasets import MODALITIES
from jreid.engine.model import EMBEDDING, Model
from jreid.evaluation.results.feature_formats import SUFFIXES
from jreid.find import Trust
from jreid.methods import Config, Variables
from jreid.paths import local_path
from jreid.process import silence_xla
from jreid.progress import ProgressBar, TerminalBar
from jreid.retrieval.approximate import read_or_build
from jreid.retrieval.gallery_images import find_images, refuse_changed
from jreid.retrieval.hits import Embedded, Hits
from jreid.retrieval.index import holds_embeddings, read_index, update_index
from jreid.retrieval.sources import (
    Contents,
    Images,
    Source,
    count,
    read_image,
    sources,
)
from jreid.runs.check_config import check_config
from jreid.runs.checkpoint_folder import CHECKPOINTS
from jreid.runs.chosen import checkpoint_variables, model_id
from jreid.runs.hub import PREFIX, fetch
from jreid.runs.run import Run

FEW = 8  # images of a small batch, which takes less time than one of the config's size
BATCHES_AT_ONCE = 8  # batches whose images are in memory at the same time
log = logging.getLogger(__name__)

Query: TypeAlias = Images | Float[np.ndarray, "q d"] | Embedded
Gallery: TypeAlias = Images | Float[np.ndarray, "g d"] | Embedded


class TrainedModel:
    """A trained model, ready to embed images and to search with them. `jreid.load` makes it.

    Each combination of a modality and a batch size (at most 8, or the config's
    `evaluation.batch_size`) is compiled when it is first needed.

    Attributes:
        workdir: the run's folder.
        config: the run's config.
        checkpoint: a result row's fields on the checkpoint: `checkpoint`, `step`, `weights`, ...
    """

    def __init__(self, run: Run, model: Model, variables: Variables, checkpoint: dict[str, Any]):
        self.workdir, self.config, self.checkpoint = run.workdir, model.config, checkpoint
        self._model, self._variables = model, variables
        self._id = model_id(run, variables)

    def __repr__(self) -> str:
        kind, step = self.checkpoint["checkpoint"], self.checkpoint["step"]
        return (
            f"TrainedModel({self.config.method}, {kind} checkpoint of {self.workdir}, step {step})"
        )

    def embed(
        self, images: Images, *, modality: str, progress: bool = True
    ) -> Float[np.ndarray, "n d"]:
        """Embeds N images: `[N, D]` float32, not normalized, the same as by `jreid embed`.

        They are ready for `jreid.evaluate`, `cmc_map`, `rerank` and `nearest`. For cosines, divide
        each by its length before you multiply two of them.

        Args:
            images: an image, a folder (with its subfolders, sorted by name), or any number of
                images: a list, a generator, an array `[N, H, W, 3]`. An image is a path, one of
                Pillow's, or a uint8 RGB array `[H, W, 3]`, of any size. As in training, pixels are
                taken as they are stored: an EXIF orientation turns no image, and gives a warning.
            modality: `visible` or `infrared`, the same for all images.
            progress: whether a bar is shown on a terminal.

        Raises:
            InputError: a file that is not an image, or a folder without images.
            ValueError: no images, something that is not an image, or an unknown modality.

        Example:
            features = jreid.load("runs/quickstart").embed("photos/", modality="visible")
        """
        with TerminalBar(progress) as bar:
            return self._embed(images, modality, bar, keep=False).features

    def search(
        self,
        query: Query,
        gallery: Gallery,
        *,
        top: int = 10,
        modality: str = "infrared",
        gallery_modality: str = "visible",
        progress: bool = True,
    ) -> Hits:
        """For each query the `top` nearest images of a gallery, by cosine similarity.

        Exactly, unless the gallery is an index for approximate search.

        Args:
            query: images, as `embed` takes them, or their features `[Q, D]`.
            gallery: the same; or an index: what `index` returns, or the path of its file, or of
                embeddings in any format of `jreid.load_features`.
            top: 1 or more; if the gallery is smaller, all of its images are found.
            modality: of the queries.
            gallery_modality: of the gallery.
            progress: as in `embed`.

        Raises:
            InputError: as `embed`; features hold NaN; an index is damaged or of another model; an
                image that was found has changed since it was embedded; the query and the gallery
                have features of different widths.
            ValueError: as `embed`; or features that do not fit.

        Example:
            hits = jreid.load("runs/quickstart").search("suspect.png", "photos/", top=5)
        """
        if not isinstance(top, int | np.integer) or top < 1:
            raise ValueError(f"top={top!r} is not a number of images; give a whole number from 1.")
        with TerminalBar(progress) as bar:
            found = self._taken(gallery, gallery_modality, bar)
            hits = Hits(self._taken(query, modality, bar), found, top)
        if found.refuse_changed:
            found.refuse_changed(np.unique(hits.rows).tolist())
        return hits

    def index(
        self,
        folder: str | os.PathLike[str],
        file: str | os.PathLike[str],
        *,
        modality: str = "visible",
        approximate: bool = False,
        progress: bool = True,
    ) -> Embedded:
        """The embeddings of a folder's images, kept in a file, as a gallery for `search`.

        If called again, it embeds only new and changed images.

        Args:
            folder: of the images, with its subfolders.
            file: an `.npz` file; it is created, or updated. Or embeddings in any format of
                `jreid.load_features`, such as those of `jreid embed`. These are only read: the
                images of `folder` are for thumbnails, and those that `search` finds are compared
                with the hashes in the file.
            modality: `visible` or `infrared`, of all images.
            approximate: whether `search` compares a query with a few lists of similar images
                instead of every image: faster for hundreds of thousands of images, but it may miss
                some. The lists are kept in `file` with the suffix `.lists.npz`. Needs faiss.
            progress: as in `embed`.

        Raises:
            InputError: as `embed`; the file is of another model, modality or gallery; or faiss is
                needed and missing.
            ValueError: an unknown modality.
        """
        _check_modality(modality)
        place, kept = _path(folder, "folder"), _path(file, "file")
        depth_range = self.config.data.depth_range
        unchanged = None
        with TerminalBar(progress) as bar:
            if holds_embeddings(kept):
                index = read_index(kept, self._id, modality)
                paths = find_images(place, index.names, kept)
                if index.digests:
                    unchanged = partial(refuse_changed, kept, paths, index.digests, depth_range)
            else:
                embed = partial(self._in_parts, modality=modality, bar=bar)
                index = update_index(kept, place, self._id, modality, embed, depth_range, bar)
                paths = [place / name for name in index.names]
            lists = kept.with_suffix(".lists.npz")
            found = read_or_build(lists, index.features, bar) if approximate else None
        names = [path.relative_to(place).as_posix() for path in paths]
        shown = [
            Source(name, partial(read_image, path, depth_range))
            for name, path in zip(names, paths, strict=True)
        ]
        return Embedded(names, index.features, shown, index.model, found, unchanged)

    def _taken(self, given: Query | Gallery, modality: str, bar: ProgressBar) -> Embedded:
        """The embeddings of anything that `search` takes."""
        if isinstance(given, Embedded):
            if given.model not in ("", self._id):
                raise ValueError("The features are of another model or checkpoint than this one.")
            return given
        if isinstance(given, str | os.PathLike) and Path(given).suffix in SUFFIXES:
            file = _path(given, "gallery")
            index = read_index(file, self._id, modality)
            if index.of > len(index.names):
                log.warning(
                    "%s has %s of its folder's %s images, since it was not finished: the search "
                    "does not find the others; give the folder, too, to embed them",
                    *(file, f"{len(index.names):,}", f"{index.of:,}"),
                )
            return Embedded(index.names, index.features, None, index.model)
        if hasattr(given, "__array__") and jnp.issubdtype(np.asarray(given).dtype, jnp.floating):
            features = np.asarray(given)
            return Embedded([*map(str, range(len(features)))], features)
        return self._embed(cast(Images, given), modality, bar)

    def _embed(
        self, images: Images, modality: str, bar: ProgressBar, keep: bool = True
    ) -> Embedded:
        """The embeddings of images.

        Args:
            keep: whether the images are kept for thumbnails. A path is small, but an image that was
                given as pixels is not.
        """
        _check_modality(modality)
        given: Iterable[Source] = sources(images, self.config.data.depth_range)
        total = count(images)
        if isinstance(images, str | os.PathLike):
            given = [*given]  # the paths of a folder
            total = len(given)
        features, done, everything = np.empty((0, 0), np.float32), 0, []
        for some, part in self._in_parts(given, modality, bar, total):
            if not done:
                features = np.empty((total or 0, part.shape[1]), np.float32)
            if done + len(part) > len(features):  # of a generator
                more = np.empty((done + len(part), part.shape[1]), np.float32)
                features = np.concatenate([features[:done], more])
            features[done : done + len(part)] = part
            done += len(part)
            everything += some if keep else ()
        if not done:
            raise ValueError("There is no image to embed; give one or more.")
        names = [source.name for source in everything]
        return Embedded(names, features[:done], everything, self._id)

    def _in_parts(
        self,
        images: Iterable[Source],
        modality: str,
        bar: ProgressBar,
        total: int | None = None,
    ) -> Iterator[tuple[Sequence[Source], Float[np.ndarray, "n d"]]]:
        """Images and their embeddings, some batches at a time."""
        total = len(images) if isinstance(images, Sequence) else total
        at_once = self.config.evaluation.batch_size * BATCHES_AT_ONCE
        images, done, rows, turned = iter(images), 0, None, []
        while some := [*islice(images, at_once)]:
            if not done:
                rows = FEW if len(some) <= FEW else None

            def show(_: str, more: int, many: int, before: int = done) -> None:
                bar(EMBEDDING, before + more, max(total or 0, before + many))

            names, contents = [source.name for source in some], Contents(some)
            features = self._model.embed(self._variables, contents, names, modality, rows, show)
            turned += [names[row] for row in sorted(contents.turned)]
            yield some, features
            done += len(some)
        if turned:
            log.warning("%s %s", turned[0], TURNED.format(number=len(turned)))


def load(
    run: str | os.PathLike[str], *, checkpoint: str = "last", trust_code: bool = False
) -> TrainedModel:
    """The trained model of a run, or of a bundle.

    Args:
        run: the folder that `jreid train`, `jreid import` or `jreid publish` made; or
            `hf:owner/name@revision`, a bundle on a hub.
        checkpoint: `last`, or `best` on the validation identities.
        trust_code: whether to import and run, with your rights, the code outside of jreid that
            the run's config names.

    Raises:
        InputError: there is no run, it has no such checkpoint, its config cannot be used, or a
            file of a bundle has changed.
        ValueError: an unknown checkpoint.

    Example:
        model = jreid.load("runs/quickstart")
    """
    if checkpoint not in CHECKPOINTS:
        choices = ", ".join(CHECKPOINTS)
        raise ValueError(f"checkpoint={checkpoint!r} is unknown: choose one of {choices}.")
    if not isinstance(run, str | os.PathLike):
        raise ValueError(f"run={run!r} is not a path; give the folder of a run.")
    address = os.fspath(run)
    silence_xla()
    there = Run(fetch(address) if address.startswith(PREFIX) else _path(address, "run"))
    config = _config(there, trust_code)
    with there.explain_revision():
        check_config(config)
        model = Model(config)
    return TrainedModel(there, model, *checkpoint_variables(model, there, checkpoint))


def _config(run: Run, trust_code: bool) -> Config:
    before = Trust.given
    Trust.given = trust_code
    try:
        return run.config()
    finally:
        Trust.given = before


def _path(path: str | os.PathLike[str], name: str) -> Path:
    return Path(local_path(os.fspath(path), name))


def _check_modality(modality: str) -> None:
    if modality not in MODALITIES:
        choices = ", ".join(MODALITIES)
        raise ValueError(f"modality={modality!r} is unknown: choose one of {choices}.")
