"""Trains the small scale's backbone to tell rendered people apart whom no dataset of jreid has.

python -m experiments.pretrain
jreid train --config=agw:synthetic --workdir=runs/pretrained --config.weights=synthetic

The papers start from ImageNet, the small configs from random weights. This is a start between
them: a classifier of the visible images of 200 people, of another seed than the synthetic dataset.
The images and the weights stay in `data`.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from safetensors.numpy import save

from jreid import config as configs
from jreid import process
from jreid.commands.exit_status import exit_status
from jreid.commands.results import require_suffix
from jreid.data.pixels import preprocess
from jreid.errors import InputError
from jreid.files import write_whole
from jreid.losses import cross_entropy
from jreid.nn import Classifier, ResNet
from jreid.progress import TerminalBar
from jreid.synthetic.synthesize import synthesize
from jreid.weights.backbone import torchvision_entries
from jreid.weights.sources import SYNTHETIC_FILE

SEED = 1000  # of the people; the synthetic dataset's is 0
STEPS, ROWS, PEAK_RATE = 900, 64, 2e-3
VISIBLE_CAMERAS = "cam[1245]/*/*.jpg"  # in the layout of SYSU-MM01


class Network(nn.Module):
    """The backbone of a config, without copies for modalities, and a classifier on its mean."""

    backbone: Any
    identities: int

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"], train: bool) -> Float[Array, "n c"]:
        size = {name: self.backbone[name] for name in ("depth", "width", "last_stride")}
        trunk = ResNet(**size, modalities=("visible",), name="backbone")
        features = trunk({"visible": images}, train)[-1].mean((1, 2))
        return Classifier(self.identities, name="classifier")(features)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.pretrain", description=__doc__)
    parser.add_argument("--config", default="agw:synthetic", help="whose backbone to train")
    parser.add_argument("--preset", default="default", help="of the people to render")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--folder", type=Path, default=Path("data/synthetic_pretraining"))
    parser.add_argument("--output", type=Path, default=Path(SYNTHETIC_FILE))
    options = parser.parse_args(arguments)
    process.configure()
    return exit_status(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if options.steps < 1:
        raise InputError(f"--steps={options.steps} trains nothing; give 1 or more.")
    require_suffix(options.output, ".safetensors")
    config = configs.load(options.config)
    with TerminalBar() as bar:
        synthesize(options.folder, options.preset, SEED, lambda n, of: bar("images", n, of))
    images, identity = read_visible(options.folder, config.image.size)
    variables, accuracy = train(images, identity, config, options.steps)
    content = save(torchvision_entries(variables))
    write_whole(options.output, lambda file: file.write(content))
    print(f"{options.output}: accuracy {accuracy:.2f} in the last 50 steps; give")
    name = "synthetic" if options.output == Path(SYNTHETIC_FILE) else options.output
    print(f"--config.weights={name}")


def read_visible(
    folder: Path, size: tuple[int, int]
) -> tuple[Float[np.ndarray, "n h w 3"], Int[np.ndarray, " n"]]:
    """The visible images of a rendered folder, normalized, and the person of each from 0."""
    files = sorted(folder.glob(VISIBLE_CAMERAS))
    images = np.stack([preprocess(file.read_bytes(), size, "bilinear") for file in files])
    return images, np.unique([file.parent.name for file in files], return_inverse=True)[1]


def train(
    images: Float[np.ndarray, "n h w 3"], identity: Int[np.ndarray, " n"], config: Any, steps: int
) -> tuple[Mapping[str, Any], float]:
    """The trained variables, and the accuracy in the last steps.

    Args:
        config: of a method, for its backbone.
    """
    network: Any = Network(config.backbone, int(identity.max()) + 1)
    optimizer = optax.adam(optax.warmup_cosine_decay_schedule(0.0, PEAK_RATE, steps // 10, steps))
    variables = jax.jit(network.init, static_argnums=2)(jax.random.key(0), images[:1], False)
    state, rng, accuracies = optimizer.init(variables["params"]), np.random.default_rng(0), []

    def loss(params: Any, statistics: Any, batch: Array, people: Array) -> Any:
        collections = {"params": params, "batch_stats": statistics}
        logits, after = network.apply(collections, batch, True, mutable=["batch_stats"])
        accuracy = (logits.argmax(-1) == people).mean()
        return cross_entropy(logits, people), (after["batch_stats"], accuracy)

    @jax.jit
    def step(variables: Any, state: Any, batch: Array, people: Array) -> Any:
        gradients, (statistics, accuracy) = jax.grad(loss, has_aux=True)(
            variables["params"], variables["batch_stats"], batch, people
        )
        updates, state = optimizer.update(gradients, state)
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, "batch_stats": statistics}, state, accuracy

    with TerminalBar() as bar:
        for number in range(steps):
            rows = rng.integers(len(images), size=ROWS)
            batch = augmented(images[rows], config.image.padding, rng)
            variables, state, accuracy = step(variables, state, batch, jnp.asarray(identity[rows]))
            accuracies.append(float(accuracy))
            bar("steps", number + 1, steps)
    return jax.device_get(variables), float(np.mean(accuracies[-50:]))


def augmented(
    images: Float[np.ndarray, "n h w 3"], padding: int, rng: np.random.Generator
) -> Float[np.ndarray, "n h w 3"]:
    """The images, each flipped or not, and shifted by at most `padding` pixels."""
    flipped = np.where(rng.random((len(images), 1, 1, 1)) < 0.5, images[:, :, ::-1], images)
    shifts = rng.integers(-padding, padding + 1, (len(images), 2))
    shifted = [np.roll(x, shift, (0, 1)) for x, shift in zip(flipped, shifts, strict=True)]
    return np.stack(shifted)


if __name__ == "__main__":
    sys.exit(main())
