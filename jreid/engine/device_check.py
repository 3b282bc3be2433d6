"""Checks that a device computes the same numbers as the CPU.

Some releases of XLA compile a fusion of a concatenation and a normalization wrongly for some GPUs:
the numbers are wrong, without an error (jax issues 39486 and 40588).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jreid
from jreid.datasets import MODALITIES
from jreid.engine.step import COMPILER_OPTIONS, gradients_of
from jreid.engine.step_cost import batch_shapes, random_batch
from jreid.errors import InputError, counted
from jreid.files import write_text
from jreid.methods import Config, load
from jreid.process import user_cache
from jreid.versions import installed

SIZE = 96, 48  # pixels of the images, if the config's images are larger
PEOPLE, IMAGES = 4, 2
# The tolerance for sums in another order, relative to the norm. Small batches magnify it in the
# gradients. The error of a wrong fusion is as large as the norm.
TOLERANCE = {"loss": 1e-2, "embeddings": 1e-2, "gradient": 5e-2}
SAFE = "0.12"  # the first release of JAX with correct fusions

Results = Mapping[str, np.ndarray | np.generic]


class Difference(NamedTuple):
    """An array that differs, and the norm of the difference relative to the CPU's norm."""

    what: str
    relative: float

    def __str__(self) -> str:
        return f"{self.what}, by {self.relative:.2g} of its norm on the CPU"


def compute(config: Config, device: Any) -> Results:
    """Losses, gradients and embeddings of one small step, in float32, by name."""
    tried = [*_smaller(config)]
    config = next(filter(_fits, tried), tried[-1])
    method, batch = load(config), random_batch(config)
    with jax.default_device(jax.devices("cpu")[0]):
        initial = jax.device_get(jax.jit(method.init)(jax.random.key(0), batch))

    def step(variables: Any, batch: Any) -> dict[str, jax.Array]:
        params = variables["params"]
        state = {name: value for name, value in variables.items() if name != "params"}
        found, key = {}, jax.random.key(1)
        for player in method.players:
            loss, _, _, gradients = gradients_of(player, params, state, batch, key, jnp.zeros(()))
            found[f"loss of {player.name}"] = loss
            found |= {f"gradient of {player.name}/{path}": gradients[path] for path in gradients}
        for name in MODALITIES:
            found[f"embeddings of {name}"] = method.embed(variables, batch[name], name)
        return found

    jitted = jax.jit(step, compiler_options=COMPILER_OPTIONS.get(device.platform))
    with jax.default_matmul_precision("highest"):
        return jax.device_get(jitted(*jax.device_put((initial, batch), device)))


def _smaller(config: Config) -> Iterator[Config]:
    """The config with smaller images and batches, the smallest first, and last with its own."""
    for small_batch, small_images in ((True, True), (True, False), (False, True), (False, False)):
        small = config.copy_and_resolve_references()
        small.dtype = "float32"
        if small_images:
            small.image.size = tuple(map(min, config.image.size, SIZE))
        if small_batch:
            small.batch.update(identities=PEOPLE, images=IMAGES)
        small.data.identities = small.batch.identities
        yield small


def _fits(config: Config) -> bool:
    """Whether the method takes these sizes: it may need larger ones, such as for its parts."""
    try:
        jax.eval_shape(load(config).init, jax.random.key(0), batch_shapes(config))
    except (InputError, ValueError, TypeError, ZeroDivisionError):
        return False
    return True


def differences(found: Results, expected: Results) -> list[Difference]:
    """The differences beyond the tolerance, the largest first; NaN counts as infinitely far."""
    length = {name: float(np.linalg.norm(values)) for name, values in expected.items()}
    # Gradients that are zero except for rounding are compared with the norm of the others.
    most = max((length[name] for name in expected if name.startswith("gradient")), default=0.0)
    beyond = []
    for name, values in expected.items():
        kind = name.partition(" ")[0]
        scale = max(length[name], 1e-3 * most if kind == "gradient" else 0.0, 1e-12)
        relative = float(np.linalg.norm(np.subtract(found[name], values))) / scale
        if not relative <= TOLERANCE[kind]:
            beyond.append(Difference(name, relative if np.isfinite(relative) else np.inf))
    return sorted(beyond, key=lambda one: -one.relative)


def check_device(
    config: Config, device: Any, compute: Callable[[Config, Any], Results] = compute
) -> str:
    """Compares a step of the config's method on a device and on the CPU; returns a sentence.

    Args:
        compute: computes the numbers of a step on a device.

    Raises:
        InputError: they differ; the error names the versions to install.
    """
    if not _has_cpu():
        return (
            f"{device.device_kind} is not compared with the CPU, since JAX_PLATFORMS excludes the "
            f"CPU; set JAX_PLATFORMS={device.platform},cpu"
        )
    wrong = differences(compute(config, device), compute(config, jax.devices("cpu")[0]))
    if wrong:
        raise InputError(
            f"{device.device_kind} computes other numbers than the CPU in a step of "
            f"{config.method} with {_versions()} ({counted(len(wrong), 'differences')}, the "
            f"largest: {wrong[0]}), so its results would be silently wrong; {_remedy()}"
        )
    return f"a step of {config.method} on {device.device_kind} gives the same numbers as the CPU"


def check_device_once(
    config: Config, device: Any, compute: Callable[[Config, Any], Results] = compute
) -> str:
    """`check_device`, once for each kind of device, method and versions; empty if already done.

    The user's cache folder records the checks; without one the check runs each time. A CPU is not
    compared.

    Raises:
        InputError: as `check_device`.
    """
    if device.platform == "cpu":
        return ""
    cache, about = user_cache(), [device.device_kind, config.method, _versions()]
    name = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    done = cache / "checked-devices" / f"{name}.json" if cache else None
    if done and done.exists():
        return ""
    message = check_device(config, device, compute)
    if done and _has_cpu():
        with suppress(OSError):
            done.parent.mkdir(exist_ok=True)
            write_text(done, json.dumps(about) + "\n")
    return message


def _has_cpu() -> bool:
    try:
        return bool(jax.devices("cpu"))
    except RuntimeError:
        return False


def _versions() -> str:
    versions = {**installed(("jax", "jaxlib")), "jreid": jreid.__version__}
    return ", ".join(map(" ".join, versions.items()))


def _remedy() -> str:
    (jaxlib,) = installed(("jaxlib",)).values()
    if tuple(map(int, jaxlib.split(".")[:2])) < tuple(map(int, SAFE.split("."))):
        return (
            f'install JAX {SAFE} or newer, on Python 3.12 or newer, by `pip install "jax[cuda13]>='
            f'{SAFE}"`.'
        )
    return "install another release of JAX and of the driver, or compute with JAX_PLATFORMS=cpu."
