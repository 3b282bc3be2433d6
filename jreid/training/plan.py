"""The plan of a run: the rows of each step, and the epoch of a step."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jreid import config as configs
from jreid.data.dataset import Dataset
from jreid.data.samplers import Plan
from jreid.data.table import Table
from jreid.engine.optimizers import Epochs
from jreid.errors import InputError
from jreid.hoisting import hoistable
from jreid.methods import Config
from jreid.runs.run import Run

EPOCHS = 256  # the array of their starts has a multiple of this length
Starts = Int[np.ndarray, " epochs_and_one"]  # number of steps before each epoch, and in all


def count_identities(config: Config, dataset: Dataset) -> Config:
    """The config with the number of the dataset's training identities, if it asks for counting."""
    if config.data.identities:
        return config
    return configs.with_identities(
        config, len(np.unique(_training_table(config, dataset).identity))
    )


def _training_table(config: Config, dataset: Dataset) -> Table:
    return dataset.table.take(np.isin(dataset.table.split, config.data.train_splits))


def plan_training(config: Config, dataset: Dataset, run: Run | None = None) -> tuple[Table, Plan]:
    """The training rows, and the rows of each step.

    Args:
        run: that will be trained, for the error: the number of identities may be of it.

    Raises:
        InputError: the number of identities differs from the config's, or is too small for batches.
    """
    data, batch = config.data, config.batch
    table = _training_table(config, dataset)
    identities, splits = len(np.unique(table.identity)), " and ".join(data.train_splits)
    if not identities:
        raise InputError(
            f"{data.folder} has no images to train on; put people into its split {splits}."
        )
    if identities != data.identities and run and run.identities() == data.identities:
        raise InputError(
            f"the run in {run.workdir} was trained on {data.identities} people, and {data.folder} "
            f"now holds {identities} in {splits}; restore its images, give their folder by "
            "--config.data.folder, or choose another --workdir."
        )
    if identities != data.identities:
        raise InputError(
            f"config.data.identities is {data.identities}, but {data.folder} holds {identities} in "
            f"{splits}; set --config.data.identities={identities}, or 0 to count them."
        )
    plan = Plan(
        batch.sampler,
        table,
        batch.identities,
        batch.images,
        config.seed,
        config.epochs,
        dataset.names,
    )
    return table, plan


def epochs_of(plan: Plan) -> Epochs:
    """A function from a step to its epoch with a fraction, which JAX can trace."""
    # Epochs beyond the last: the step after the run has an epoch too, and runs of different lengths
    # have arrays of one length, so that they share what is compiled.
    more = EPOCHS - len(plan.starts) % EPOCHS
    starts = np.append(plan.starts, plan.steps + 1 + np.arange(more)).astype(np.int32)
    return partial(_epoch, hoistable(starts))


def _epoch(bounds: Int[Array, " n"], step: Int[Array, ""]) -> Float[Array, ""]:
    epoch = jnp.searchsorted(bounds, step, side="right") - 1
    share = (step - bounds[epoch]) / (bounds[epoch + 1] - bounds[epoch])
    return epoch.astype(jnp.float32) + share


def ended_epochs(plan: Plan, step: int) -> int:
    """The number of finished epochs, if one ends at the step; else 0."""
    epochs = int(np.searchsorted(plan.starts, step, side="right")) - 1
    return epochs if plan.starts[epochs] == step else 0


def images_of(table: Table, plan: Plan, step: int) -> dict[str, list[str]]:
    """The names of the images of a step, counted from 1, by modality and in the batch's order."""
    visible, infrared = table.name[plan.rows(step - 1)].tolist()
    return {"visible": visible, "infrared": infrared}
