"""The mesh of all devices, and sharding on it: batches are split, other arrays are replicated."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jreid.errors import InputError


def devices() -> str:
    """A description of all devices, such as `8 x NVIDIA H100`.

    Raises:
        InputError: there is no device of the kind that JAX_PLATFORMS asks for.
    """
    try:
        kind = jax.devices()[0].device_kind
    except (RuntimeError, AssertionError) as error:  # JAX's plugin raises this if it finds no GPU
        config: Any = jax.config
        cause = f" ({str(error).partition(' (set ')[0]})" if str(error) else ""
        raise InputError(
            f"JAX finds no device for JAX_PLATFORMS={config.jax_platforms}{cause}; install its "
            "driver and JAX's plugin for it, or unset JAX_PLATFORMS to use the best available "
            "device."
        ) from error
    return f"{jax.device_count()} x {kind}"


def make_mesh() -> Mesh:
    """One axis, `data`, over every device of every process; InputError as `devices`."""
    devices()
    # Sorted by process, since each process reads a contiguous part of the batch.
    return mesh_over(sorted(jax.devices(), key=lambda device: (device.process_index, device.id)))


def local_mesh() -> Mesh:
    """The same over the devices of this process."""
    return mesh_over(jax.local_devices())


def mesh_over(members: Sequence[Any]) -> Mesh:
    """One axis, `data`, over the given devices."""
    # Auto, since metric losses compare each row with all others, which Explicit axes do not allow.
    return Mesh(np.array(members), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Each device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The first axis is divided over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_divisible(rows: int, field: str, mesh: Mesh) -> None:
    """Raises InputError unless `rows`, from the config field, divides equally over the devices."""
    if rows % mesh.size:
        raise InputError(
            f"{field} gives {rows} rows, which {mesh.size} devices cannot share equally; choose a "
            f"multiple of {mesh.size}."
        )
