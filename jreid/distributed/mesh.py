"""The mesh of all devices, and who holds what on it: batches are split, the rest is copied."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jreid.errors import InputError


def devices() -> str:
    """All devices in words, such as `8 x NVIDIA H100`.

    Raises:
        InputError: there is none of the kind that JAX_PLATFORMS asks for.
    """
    try:
        kind = jax.devices()[0].device_kind
    except (RuntimeError, AssertionError) as error:  # JAX asserts where its plugin finds no GPU
        config: Any = jax.config
        cause = f" ({str(error).partition(' (set ')[0]})" if str(error) else ""
        raise InputError(
            f"JAX finds no device for JAX_PLATFORMS={config.jax_platforms}{cause}; install its "
            "driver and JAX's plugin for it, or unset JAX_PLATFORMS to take the best device there "
            "is."
        ) from error
    return f"{jax.device_count()} x {kind}"


def make_mesh() -> Mesh:
    """One axis, `data`, over every device of every process; InputError as `devices`."""
    devices()
    # By process, since each one reads a part of the batch that is in one piece.
    return mesh_over(sorted(jax.devices(), key=lambda device: (device.process_index, device.id)))


def local_mesh() -> Mesh:
    """The same over the devices of this process."""
    return mesh_over(jax.local_devices())


def mesh_over(members: Sequence[Any]) -> Mesh:
    """One axis, `data`, over the given devices."""
    # Auto, since metric losses compare each row with all others, which Explicit axes refuse.
    return Mesh(np.array(members), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Each device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The first axis is divided over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_divisible(rows: int, field: str, mesh: Mesh) -> None:
    """Raises InputError unless `rows`, set by the config field, divides over the devices."""
    if rows % mesh.size:
        raise InputError(
            f"{field} gives {rows} rows, which {mesh.size} devices cannot share equally; choose a "
            f"multiple of {mesh.size}."
        )
