"""Three training steps of one method in float64, compared with the authors' code: its own process.

python tests/parity/float64_step.py idkl

prints, as JSON, the relative differences by kind: losses, gradients, running statistics, and how
far each parameter moved in one step and in three. jreid computes in float32. Here `jnp.float32`
becomes float64 before jreid is imported, so this needs a process of its own.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
jnp.float32 = jnp.float64

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from flax.traverse_util import flatten_dict, unflatten_dict  # noqa: E402
from made_up import difference, fill, fingerprint, images, read  # noqa: E402

import jreid.config  # noqa: E402
import jreid.find  # noqa: E402
from jreid.distributed.mesh import make_mesh  # noqa: E402
from jreid.engine import optimizers, step  # noqa: E402
from jreid.engine.state import create  # noqa: E402
from jreid.methods import load  # noqa: E402
from jreid.nn import layers  # noqa: E402
from jreid.weights.torch import expected_leaves  # noqa: E402

IDENTITIES, SIZE = 24, (64, 32)


class Case(NamedTuple):
    """A config, and how its authors' loader orders 16 images.

    Attributes:
        config: its name and argument.
        flags: what makes it the released code.
        people: identities of a batch.
        epoch: of the steps.
        interleaved: rows alternate between the modalities; else one modality follows the other.
    """

    config: str
    flags: tuple[str, ...]
    people: int = 4
    epoch: float = 3.0
    interleaved: bool = True


CASES = {
    # The authors' weights for batches of 120 rows, although these have 16.
    "idkl": Case(
        "idkl:sysu_mm01,variant=code",
        ("idkl.head.dropout=0.0", "idkl.follow_batch=False"),
        epoch=0.0,
    ),
    "pfinet": Case(
        "pfinet:sysu_mm01",
        (
            "backbone.ibn=True",
            "pfinet.add_raw_c4=True",
            "optimizer.warmup_epochs=20",
            "optimizer.warmup_initial=0.1",
            "optimizer.milestones=(109,169,219)",
        ),
    ),
    # Both sides use the paper's weighted triplet loss.
    "agw": Case("agw:sysu_mm01", ("triplet.kind=weighted_regularized",), interleaved=False),
}


def convolve(x: Any, kernel: Any, window_strides: Any, padding: Any, **options: Any) -> Any:
    """`lax.conv_general_dilated` as a sum of products: XLA's is slow in float64 on a CPU."""
    assert options.pop("feature_group_count", 1) == 1
    high, wide, _, features = kernel.shape
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    (down, right), (rows, columns) = window_strides, x.shape[1:3]
    rows, columns = (rows - high) // down + 1, (columns - wide) // right + 1
    total = 0.0
    for i in range(high):
        for j in range(wide):
            part = x[:, i : i + down * rows : down, j : j + right * columns : right]
            part = part[:, :rows, :columns]
            total += part.reshape(-1, part.shape[-1]) @ kernel[i, j]
    return total.reshape(x.shape[0], rows, columns, features)


class Float64Lax:
    """`jax.lax` with that convolution."""

    conv_general_dilated = staticmethod(convolve)

    def __getattr__(self, name: str) -> Any:
        return getattr(jax.lax, name)


def method_of(case: Case) -> Any:
    """The method in float64, which no config may ask for."""
    flags = (*case.flags, f"data.identities={IDENTITIES}", "batch.images=2")
    flags = [f"--config.{flag}" for flag in (*flags, f"batch.identities={case.people}")]
    config = jreid.config.load(case.config, flags)
    with config.unlocked():
        config.dtype = "float64"
    return load(config)


def batches(case: Case) -> list[Any]:
    """Three of 16 images, in the order in which the authors' loader gives them."""
    result = []
    for number in range(3):
        random = np.random.default_rng(100 + number)
        if case.config.startswith("idkl"):
            who = random.permutation(np.sort(random.choice(IDENTITIES, case.people, replace=False)))
        else:
            who = random.permutation(IDENTITIES)[: case.people]
        if case.interleaved:
            identity, infrared = np.repeat(who, 4), np.tile([True, False], 2 * case.people)
            visible_rows, infrared_rows = slice(1, None, 2), slice(None, None, 2)
        else:
            identity = np.tile(np.repeat(who, 2), 2)
            infrared = np.repeat([False, True], 2 * case.people)
            visible_rows, infrared_rows = slice(None, 8), slice(8, None)
        x = images(SIZE, 7 + number, identity, infrared).astype(np.float64)
        labels = identity[visible_rows].astype(np.int32)
        result.append(
            {"visible": x[visible_rows], "infrared": x[infrared_rows], "identity": labels}
        )
    return result


def made_up_variables(method: Any, batch: Any) -> tuple[Any, dict[tuple[str, str], str]]:
    """The variables by the names of the PyTorch entries, and these names."""
    shapes = jax.eval_shape(method.init, jax.random.key(0), batch)
    trees: dict[str, dict[str, Any]] = {name: {} for name in shapes}
    entries = {}
    for leaf in expected_leaves(shapes, method.torch_layout):
        entries[leaf.collection, leaf.path] = leaf.entry
        rank = len(leaf.shape)
        theirs = (leaf.shape[-1], leaf.shape[-2], *leaf.shape[:-2]) if rank > 1 else leaf.shape
        values = fill(leaf.entry, theirs)
        values = values.transpose(2, 3, 1, 0) if rank == 4 else values.T if rank == 2 else values
        trees[leaf.collection][leaf.path] = np.ascontiguousarray(values, np.float64)
    return {name: unflatten_dict(tree, sep="/") for name, tree in trees.items()}, entries


def torch_order(array: Any) -> np.ndarray:
    array = np.asarray(array)
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def compare(name: str) -> dict[str, dict[str, float]]:
    """The relative differences by kind and by PyTorch entry."""
    case, gold = CASES[name], read(HERE / f"{name}.npz")
    method = method_of(case)
    given = batches(case)
    variables, entries = made_up_variables(method, given[0])
    found: dict[str, dict[str, float]] = {}

    def add(kind: str, collection: str, arrays: dict[str, Any]) -> None:
        for path, array in arrays.items():
            entry = entries[collection, path]
            theirs = gold.get(f"{kind}/{entry}")
            if theirs is not None:
                ours = fingerprint(entry, torch_order(array))
                # The bias before a batch norm has no gradient but rounding.
                nothing = max(theirs[0], ours[0]) < 1e-10
                found.setdefault(kind, {})[entry] = 0.0 if nothing else difference(ours, theirs)

    (player,), state = method.players, {"batch_stats": variables["batch_stats"]}
    epoch = jnp.asarray(case.epoch)
    gradient = jax.jit(
        lambda params, batch: step.gradients_of(
            player, params, state, batch, jax.random.key(0), epoch
        )
    )
    _, _, after, gradients = jax.device_get(gradient(variables["params"], given[0]))
    add("grad", "params", gradients)
    add("stat", "batch_stats", flatten_dict(after["batch_stats"], sep="/"))

    built = {player.name: optimizers.build(player.optimizer)}
    train = step.make_train_step(method, built, lambda _: epoch, 0, make_mesh())
    train_state = create(jax.tree.map(jnp.array, variables), method.players, built)
    start = flatten_dict(variables["params"], sep="/")
    for number, batch in enumerate(given):
        train_state, metrics = train(train_state, batch)
        ours, theirs = float(metrics[f"{player.name}/loss"]), float(gold[f"loss/{number}/total"])
        found.setdefault("loss", {})[f"step {number + 1}"] = abs(ours / theirs - 1)
        if number != 1:
            params = flatten_dict(jax.device_get(train_state.params), sep="/")
            moved = {path: params[path] - start[path] for path in start}
            add(f"moved{number + 1}", "params", moved)
    return found


if __name__ == "__main__":
    layers.lax = Float64Lax()  # pyright: ignore[reportAttributeAccessIssue]
    print(json.dumps(compare(sys.argv[1])))
