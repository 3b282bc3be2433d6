"""Twenty steps of a small network on the tiny dataset: by one process, or by each of several.

As a script: twenty_steps.py FOLDER PREPARED WORKDIR --coordinator=... --processes=... ...
"""

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from helpers.augmentation import AUGMENTATION
from helpers.oracle import make_index, make_table
from helpers.small_method import SIZE, create
from jreid.data.dataset import Source, load
from jreid.data.embedding_batches import embedding_batches
from jreid.data.pipeline import own_rows, training_batches
from jreid.data.samplers import Plan
from jreid.distributed import cluster
from jreid.distributed.mesh import make_mesh, replicated, split
from jreid.distributed.processes import (
    gather,
    is_main_process,
    main_process_first,
    on_main_process,
    require_same,
)
from jreid.engine import optimizers
from jreid.engine import state as states
from jreid.engine.model import extract
from jreid.engine.step import make_embed, make_train_step
from jreid.evaluation import Rerank, evaluate, read_protocol
from jreid.runs.checkpoints import Checkpoints
from jreid.runs.score import devices_of_all

STEPS, SAVED, ROWS = 20, 10, 8
OPTIMIZER = ConfigDict(
    {
        "kind": "sgd",
        "learning_rate": 0.05,
        "weight_decay": 5e-4,
        "momentum": 0.9,
        "nesterov": True,
        "warmup_epochs": 0,
        "warmup_initial": 0.0,
        "milestones": (),
        "lr_decay": 0.1,
        "lr_multipliers": (),
    }
)
METHOD = create(ConfigDict({"optimizer": OPTIMIZER}))


def run(folder: Path, prepared: Path, checkpoint_folder: Path) -> dict[str, np.ndarray]:
    """Trains from the newest checkpoint, or anew, and embeds images; step 10 is saved."""
    source = Source("tiny", "sysu_mm01", folder)
    dataset = main_process_first(lambda: load(source, prepared))
    require_same("the dataset", dataset.fingerprint)
    table = dataset.table.of_split("train")
    plan = Plan("random_identity", table, 4, 2, seed=3, epochs=10)
    mesh = make_mesh()
    everywhere = replicated(mesh)
    built = {"model": optimizers.build(OPTIMIZER)}
    images = jnp.zeros((2, *SIZE, 3))
    begun: Any = jax.device_get(
        states.create(METHOD.init(jax.random.key(0), {"visible": images}), METHOD.players, built)
    )
    state = jax.device_put(begun, everywhere)
    step_of = make_train_step(METHOD, built, lambda step: step / 2.0, 0, mesh)
    gathered = jax.jit(lambda batch: batch, out_shardings=everywhere)
    losses, batches = [], []
    with Checkpoints(checkpoint_folder, writes=True) as checkpoints:
        if checkpoints.latest is not None:
            state = Checkpoints.restore(checkpoints, checkpoints.latest, begun, everywhere)
        first = int(state.step)
        given = training_batches(table, plan, AUGMENTATION, 0, first, split(mesh))
        for step, batch in zip(range(first, STEPS), given, strict=False):
            batches.append(jax.device_get(gathered(batch)))
            state, metrics = step_of(state, batch)
            losses.append(float(metrics["model/loss"]))
            if step + 1 == SAVED:
                checkpoints.save(state)
    names = table.name[: 2 * ROWS + 1]  # one in the last batch: of four devices three have none
    embed = make_embed(METHOD, mesh)
    parts = embedding_batches(
        table.image[: len(names)].tolist(), names, SIZE, "bilinear", ROWS, own=own_rows(ROWS)
    )
    features = extract(
        lambda batch: embed(state.variables, batch, "visible"), parts, names.tolist(), split(mesh)
    )
    stacked = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    rows = np.array(json.dumps(evaluated()))
    return {"losses": np.array(losses), "features": features, "rows": rows, **stacked}


def evaluated() -> list[dict[str, Any]]:
    """Result rows of so many queries that each process ranks some of them."""
    counts = {(camera, identity): 270 for camera in (3, 6) for identity in (6, 10)}
    counts |= {(camera, identity): 10 for camera in (1, 2, 4, 5) for identity in (6, 10, 17)}
    table, index = make_table(counts), make_index(counts)
    random = np.random.default_rng(0)
    features = random.normal(size=(3, 6))[table.identity % 3] + random.normal(
        size=(len(table.name), 6)
    )
    protocol = read_protocol("sysu_mm01:trials=2,shots=10")
    return [
        evaluate(features, table, index, protocol, how, **devices_of_all())
        for how in (None, Rerank(k1=8, k2=3))
    ]


def refusals() -> list[str]:
    """What every process knows of a fault that the first one, or one of them, finds."""
    from jreid.errors import InputError

    def refuse():
        raise InputError("the first one refuses")

    def fail():
        if not is_main_process():
            raise ValueError("it fails alone")
        return [np.zeros(3)]

    message = []
    for attempt in (
        lambda: gather(fail),
        lambda: on_main_process(refuse),
        lambda: require_same("the config", f"of process {jax.process_index()}"),
    ):
        try:
            attempt()
        except (InputError, ValueError) as error:
            message.append(str(error))
    return message


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("folder", "prepared", "workdir"):
        parser.add_argument(name, type=Path)
    for name in ("--coordinator", "--processes", "--process-id"):
        parser.add_argument(name)
    options = parser.parse_args()
    address = cluster.find_address(options.coordinator, options.processes, options.process_id, {})
    assert address is not None
    cluster.join(address, saves_on_sigterm=True)
    found = run(options.folder, options.prepared, options.workdir / "checkpoints")
    if is_main_process():
        np.savez(options.workdir / "found.npz", **found)
    print(*refusals(), sep="\n")


if __name__ == "__main__":
    main()
