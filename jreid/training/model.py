"""A method on a mesh: how its state is made, restored and used to embed images."""

import jax
import jax.numpy as jnp

from jreid.methods import Batch, Config, Variables, load
from jreid.training import optimizers
from jreid.training.checkpoints import Checkpoints
from jreid.training.scoring import Embed
from jreid.training.sharding import check_divisible, make_mesh, replicated
from jreid.training.state import TrainState, check_owners, create
from jreid.training.step import make_embed


class Model:
    """The config's method on all devices.

    Attributes:
        method: the method.
        mesh: all devices; batches are split over it.
        optimizers: by player.
    """

    def __init__(self, config: Config, epochs: optimizers.Epochs = jnp.asarray) -> None:
        """`epochs` gives the epoch of a step; a model that is not trained needs none.

        Raises:
            InputError: the config cannot be built, or its evaluation batch not be shared out.
        """
        self.config = config
        self.method = load(config)
        self.mesh = make_mesh()
        check_divisible(config.evaluation.batch_size, "config.evaluation.batch_size", self.mesh)
        self.optimizers = {
            player.name: optimizers.build(player.optimizer, epochs)
            for player in self.method.players
        }
        self._compiled_embed = make_embed(self.method, self.mesh)

    def variables(self) -> Variables:
        """The method's initial variables, a function of the config's seed."""
        return jax.jit(self._init)()

    def state(self, variables: Variables) -> TrainState:
        """The state before the first step, on every device."""
        check_owners(variables["params"], self.method.players)
        return jax.jit(self._create, out_shardings=replicated(self.mesh))(variables)

    def restore(self, checkpoints: Checkpoints, step: int) -> TrainState:
        """The whole state of a step; InputError as `Checkpoints.restore`."""
        return checkpoints.restore(step, self._shapes(), replicated(self.mesh))

    def restore_variables(self, checkpoints: Checkpoints, step: int) -> Variables:
        """The variables of a step alone; InputError as `Checkpoints.restore`."""
        return checkpoints.restore_variables(step, self._shapes(), replicated(self.mesh))

    def embedder(self, variables: Variables) -> Embed:
        """The compiled embedding function of these variables."""
        return lambda images, modality: self._compiled_embed(variables, images, modality)

    def _shapes(self) -> TrainState:
        return jax.eval_shape(lambda: self._create(self._init()))

    def _init(self) -> Variables:
        images = jnp.zeros((2, *self.config.image.size, 3), jnp.float32)
        batch: Batch = {
            "visible": images,
            "infrared": images,
            "identity": jnp.zeros(2, jnp.int32),
        }
        return self.method.init(jax.random.key(self.config.seed), batch)

    def _create(self, variables: Variables) -> TrainState:
        return create(variables, self.method.players, self.optimizers)
