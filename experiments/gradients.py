"""Measures the share of each term of a run's loss in the gradient.

python -m experiments.gradients runs/first
python -m experiments.gradients runs/first --parameters=backbone/shared/layer4

It takes the run's last checkpoint and batches of its training images. Each term of the loss, times
its weight, has a gradient of its own; a term's share is its gradient's norm by the sum of all
norms. The cosine is between a term's gradient and the sum of the others: below zero, the term works
against them.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jreid import markdown, process
from jreid.commands.common import add_trust_flag, own_dataset
from jreid.commands.exit_status import exit_status
from jreid.data.augmentation import Augmentation
from jreid.data.pipeline import training_batches
from jreid.data.samplers import Plan
from jreid.data.table import Table
from jreid.distributed.mesh import mesh_over, split
from jreid.engine.model import Model
from jreid.engine.state import merged, owned
from jreid.errors import InputError
from jreid.find import Trust
from jreid.methods import Batch, Phase, Player, Variables
from jreid.runs.chosen import checkpoint_variables
from jreid.runs.run import Run
from jreid.training.plan import epochs_of, plan_training


class Gradients(NamedTuple):
    """Of one batch.

    Attributes:
        values: of the terms, each times its weight, by name.
        products: inner products of the terms' gradients, in the same order.
    """

    values: dict[str, float]
    products: Float[np.ndarray, "terms terms"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.gradients",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workdir", type=Path, help="of the run")
    parser.add_argument("--player", default="", help="whose loss (default: the first one's)")
    parser.add_argument(
        "--parameters", default="", help="measure only those whose path starts with this"
    )
    parser.add_argument("--batches", type=int, default=8, help="number of batches (default: 8)")
    add_trust_flag(parser)
    options = parser.parse_args(arguments)
    process.configure()
    Trust.given = options.trust_code
    return exit_status(lambda: _print_shares(options))


def _print_shares(options: argparse.Namespace) -> None:
    if options.batches < 1:
        raise InputError(f"--batches={options.batches} measures nothing; give 1 or more.")
    run = Run(options.workdir)
    config = run.config()
    images, plan = plan_training(config, own_dataset(config, run, "put the run's data there"))
    one_device = mesh_over(jax.local_devices()[:1])  # more need not divide the run's batch
    model = Model(config, one_device)
    variables, checkpoint = checkpoint_variables(model, run, "last")
    # Of the step that was taken last, which is in the last phase that trained.
    epoch = float(epochs_of(plan)(jnp.int32(max(checkpoint["step"] - 1, 0))))
    player = _player(model.method.phase_at(int(epoch)), options.player)
    batches = _batches(model, images, plan, options.batches)
    measured = measure(player, variables, batches, epoch, options.parameters)
    print(f"{options.workdir}, step {checkpoint['step']}, player {player.name}\n")
    print(table(measured))


def _player(phase: Phase, name: str) -> Player:
    """The player of this name, or the first one, of a phase."""
    players = {player.name: player for player in phase.players}
    player = players.get(name) if name else phase.players[0]
    if player is None:
        raise InputError(
            f"--player={name} is not in the phase {phase.name} that the checkpoint is of; choose "
            f"from {', '.join(players)}."
        )
    if player.terms is None:
        raise InputError(f"the player {player.name} does not tell its terms; see Player.of_terms.")
    return player


def _batches(model: Model, table: Table, plan: Plan, number: int) -> Iterator[Batch]:
    """The first training batches of the run."""
    config = model.config
    augmentation = Augmentation(**config.image, erase_fill=0.0)
    batches = training_batches(table, plan, augmentation, config.seed, 0, split(model.mesh))
    return islice(batches, number)


def measure(
    player: Player,
    variables: Variables,
    batches: Iterable[Batch],
    epoch: float,
    parameters: str = "",
) -> list[Gradients]:
    """The gradients of the player's terms on each batch.

    Args:
        epoch: for terms that depend on it.
        parameters: only those whose path starts with this.

    Raises:
        InputError: the player owns no such parameters.
    """
    terms = player.terms
    assert terms is not None
    rest = variables["params"], {k: v for k, v in variables.items() if k != "params"}
    of_player = owned(variables["params"], player)
    own = {path: x for path, x in of_player.items() if path.startswith(parameters)}
    if not own:
        beginnings = sorted({"/".join(path.split("/")[:2]) for path in of_player})
        raise InputError(
            f"--parameters={parameters} does not begin the path of any parameter of "
            f"{player.name}; paths begin with {', '.join(beginnings)}."
        )

    def values_of(own: Any, rest: Any, batch: Batch) -> dict[str, jax.Array]:
        whole, state = rest
        args = merged(whole, own), state, batch, jax.random.key(0), jnp.float32(epoch)
        losses, _ = terms(*args)
        # Sorted, as JAX sorts the keys of what it traces.
        return {name: jnp.asarray(losses[name][0] * losses[name][1]) for name in sorted(losses)}

    @jax.jit
    def gradient(own: Any, rest: Any, batch: Batch, chosen: jax.Array) -> tuple[Any, jax.Array]:
        def one(own: Any) -> tuple[jax.Array, Any]:
            values = values_of(own, rest, batch)
            return jnp.vdot(chosen, jnp.stack([*values.values()])), values

        gradients, values = jax.grad(one, has_aux=True)(own)
        return values, jnp.concatenate([x.ravel() for x in gradients.values()])

    measured = []
    for batch in batches:
        count = len(jax.eval_shape(values_of, own, rest, batch))
        found = [gradient(own, rest, batch, jnp.asarray(chosen)) for chosen in np.eye(count)]
        vectors = np.stack([np.asarray(vector, np.float64) for _, vector in found])
        values = {name: float(value) for name, value in found[0][0].items()}
        measured.append(Gradients(values, vectors @ vectors.T))
    return measured


def table(measured: Sequence[Gradients]) -> str:
    """A Markdown table with a row for each term, the largest share first: means over batches."""
    heads = ["term", "weighted loss", "norm of the gradient", "share", "cosine to the others"]
    rows = []
    norms = np.mean([np.sqrt(np.diag(one.products)) for one in measured], axis=0)
    cosines = np.mean([_cosines(one.products) for one in measured], axis=0)
    names = list(measured[0].values)
    for number in np.argsort(-norms):
        name = names[number]
        value = np.mean([one.values[name] for one in measured])
        share = 100 * norms[number] / max(norms.sum(), np.finfo(float).tiny)
        numbers = f"{value:.3g}", f"{norms[number]:.3g}", f"{share:.0f} %", f"{cosines[number]:.2f}"
        rows.append([name, *numbers])
    return markdown.table(heads, rows)


def _cosines(products: Float[np.ndarray, "terms terms"]) -> Float[np.ndarray, " terms"]:
    """Between each gradient and the sum of the others; 0 where one of them is 0."""
    own, whole = np.diag(products), products.sum(axis=1)
    others = products.sum() - 2 * whole + own  # the squared norm of the others' sum
    lengths = np.sqrt(own * np.maximum(others, 0))
    return np.divide(whole - own, lengths, out=np.zeros_like(own), where=lengths > 0)


if __name__ == "__main__":
    sys.exit(main())
