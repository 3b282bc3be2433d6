"""A method on a mesh: creates its state and embeds images."""

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Float

from jreid.data.embedding_batches import ToEmbed, embedding_batches
from jreid.data.pipeline import own_rows
from jreid.distributed.mesh import make_mesh, replicated, split
from jreid.engine import optimizers
from jreid.engine.compile_once import compiled_once
from jreid.engine.out_of_memory import OutOfMemoryError, explain_out_of_memory
from jreid.engine.state import TrainState, check_owners, create, owned
from jreid.engine.step import make_embed
from jreid.errors import InputError
from jreid.methods import Batch, Config, Method, Variables, load
from jreid.progress import COMPILING, ProgressBar, explained, silent

EMBEDDING = "images embedded"
log = logging.getLogger(__name__)


def extract(
    embed: Callable[[jax.Array], jax.Array],
    batches: Iterable[Float[np.ndarray, "b h w 3"]],
    names: Sequence[str],
    sharding: jax.sharding.NamedSharding,
) -> Float[np.ndarray, "n d"]:
    """Embeddings `[N, D]` float32 of N named images, not normalized.

    Args:
        embed: from a batch, split by `sharding`, to its embeddings, replicated on every device.
        batches: the images in the order of `names`, the last batch padded; rows beyond N are
            dropped. Each process gives its own part of every batch.

    Raises:
        InputError: an embedding has a NaN or an infinity; the error names its image.
    """
    on_devices = (jax.make_array_from_process_local_data(sharding, batch) for batch in batches)
    parts = [np.asarray(embed(batch)) for batch in on_devices]
    features = np.concatenate(parts)[: len(names)]
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if bad.size:
        raise InputError(
            f"the embeddings of {bad.size} of {len(names)} images are not finite, the first is "
            f"{names[bad[0]]}; use a checkpoint from before the training diverged."
        )
    return features


def _counted(
    batches: Iterable[Float[np.ndarray, "b h w 3"]], rows: int, images: int, bar: ProgressBar
) -> Iterator[Float[np.ndarray, "b h w 3"]]:
    """The batches one by one; the bar shows how many of the images are done."""
    bar(EMBEDDING, 0, images)
    for number, batch in enumerate(batches, 1):
        yield batch
        bar(EMBEDDING, min(number * rows, images), images)


def _drawn_once() -> dict[str, Any]:
    """What `jax.jit` needs for the initial variables, which are drawn only once.

    On CPUs, XLA compiles hundreds of draws for longer than a training step if it optimizes them
    fully: a little optimization gives the same bits in a third of the time. XLA_FLAGS come first.
    """
    chosen = "xla_backend_optimization_level" in os.environ.get("XLA_FLAGS", "")
    if chosen or jax.default_backend() != "cpu":
        return {}
    return {"compiler_options": {"xla_backend_optimization_level": 1}}


class Model:
    """The config's method on all devices.

    Attributes:
        config: the config.
        method: the method.
        mesh: the devices; batches are split over it.
        optimizers: by player.
    """

    def __init__(
        self, config: Config, mesh: Mesh | None = None, method: Method | None = None
    ) -> None:
        """On all devices, or those of a mesh; InputError for an unknown name in the config.

        `method` takes the place of the config's, such as one that embeds in another way.
        """
        self.config = config
        self.method = method or load(config)
        self.mesh = mesh or make_mesh()
        self.optimizers = {
            name: optimizers.build(player.optimizer)
            for name, player in self.method.players_by_name.items()
        }
        self._embed = make_embed(self.method, self.mesh, config.evaluation.flip)
        self._compiled: set[tuple[str, int]] = set()  # modality and images in a batch
        self._most = config.evaluation.batch_size  # images to embed at once; less if it is too much

    def variables(self) -> Variables:
        """The method's initial variables, a function of the config's seed."""
        # On the host of each process; together they become one array on the mesh.
        init, seed = self.initialization(), np.uint32(self.config.seed % 2**32)
        sentence = COMPILING.format("the network's initialization")
        with explained(sentence), compiled_once(init, seed):
            return jax.device_get(init(seed))

    def initialization(self) -> Any:
        """The compiled function from a seed, uint32, to the initial variables, on one device."""
        return jax.jit(self._init, **_drawn_once())

    def state(self, variables: Variables) -> TrainState:
        """The state before the first step, on every device."""
        check_owners(variables["params"], self.method)
        self._warn_of_unmatched(variables["params"])
        return jax.jit(self._create, out_shardings=replicated(self.mesh))(variables)

    def _warn_of_unmatched(self, params: Any) -> None:
        """Warns of patterns of `lr_multipliers` that match no parameter of their players."""
        of_block: dict[int, set[str]] = {}
        players = self.method.players_by_name.values()
        for player in players:
            of_block.setdefault(id(player.optimizer), set()).update(owned(params, player))
        for options in {id(player.optimizer): player.optimizer for player in players}.values():
            for pattern in optimizers.unmatched(options, of_block[id(options)]):
                log.warning(
                    "lr_multipliers: %s matches no parameter, so it changes no learning rate; a "
                    "pattern is matched with a whole path, such as backbone/.*.",
                    pattern,
                )

    def embed(
        self,
        variables: Variables,
        images: ToEmbed,
        names: Sequence[str],
        modality: str,
        rows: int | None = None,
        bar: ProgressBar = silent,
    ) -> Float[np.ndarray, "n d"]:
        """Embeddings of N images of one modality, float32, not normalized.

        Args:
            images: read one by one, in threads.
            rows: images in a batch, rounded up to a number that the devices share evenly; None:
                the config's. Each number is compiled once. If the memory is too small, a single
                process goes on with half of them.

        Raises:
            InputError: bytes that are not an image, or an embedding that is not finite; or the
                memory is too small.
        """
        devices, asked = self.mesh.size, min(rows or self._most, self._most)
        while True:
            rows = math.ceil(asked / devices) * devices
            try:
                return self._embed_by(rows, variables, images, names, modality, bar)
            except OutOfMemoryError as error:
                if rows == devices or jax.process_count() > 1:
                    raise
                asked = self._most = rows // 2
                log.warning("%s jreid goes on with %d images at once.", error, asked)

    def _embed_by(
        self,
        rows: int,
        variables: Variables,
        images: ToEmbed,
        names: Sequence[str],
        modality: str,
        bar: ProgressBar,
    ) -> Float[np.ndarray, "n d"]:
        """The embeddings, computed from `rows` images at a time."""
        batches = self._batches(images, names, modality, rows, own_rows(rows))

        def embed(batch: jax.Array) -> jax.Array:
            if (modality, rows) in self._compiled:
                return self._embed(variables, batch, modality)
            with explained(COMPILING.format(f"the network for {modality} images")):
                features = self._embed(variables, batch, modality).block_until_ready()
            self._compiled.add((modality, rows))
            return features

        remedy = "lower config.evaluation.batch_size"
        with explain_out_of_memory(f"a batch of {rows} images", remedy):
            return extract(embed, _counted(batches, rows, len(names), bar), names, split(self.mesh))

    def decode(
        self, images: ToEmbed, names: Sequence[str], modality: str
    ) -> Float[np.ndarray, "n h w 3"]:
        """N images of one modality, as `embed` reads them; InputError for other bytes."""
        return next(iter(self._batches(images, names, modality, len(images))))

    def _batches(
        self,
        images: ToEmbed,
        names: Sequence[str],
        modality: str,
        rows: int,
        own: slice | None = None,
    ) -> Iterator[Float[np.ndarray, "n h w 3"]]:
        image = self.config.image
        gray = image[f"gray_{modality}"]
        return embedding_batches(images, names, image.size, image.resize, rows, gray, own)

    @property
    def sharding(self) -> NamedSharding:
        """The sharding of a state: replicated on every device."""
        return replicated(self.mesh)

    def shapes(self) -> TrainState:
        """The shapes and dtypes of the state; nothing is computed."""
        return jax.eval_shape(lambda: self._create(self._init(np.uint32(0))))

    def _init(self, seed: Any) -> Variables:
        images = jnp.zeros((2, *self.config.image.size, 3), jnp.float32)
        batch: Batch = {
            "visible": images,
            "infrared": images,
            "identity": jnp.zeros(2, jnp.int32),
        }
        return self.method.init(jax.random.key(seed), batch)

    def _create(self, variables: Variables) -> TrainState:
        return create(variables, self.method.players_by_name.values(), self.optimizers)
