"""Checks a config's values before anything is read or written."""

import math
from collections.abc import Collection, Iterator
from typing import Any

from jreid.config import flat
from jreid.data.augmentation import ORDERS
from jreid.data.dataset import ON_BAD_IMAGE
from jreid.data.forms import check_depth_range
from jreid.data.layouts.layout import find_layout
from jreid.data.pixels import RESIZE
from jreid.data.resized import CACHES
from jreid.data.samplers import SAMPLERS, find_sampler
from jreid.engine.optimizers import KINDS
from jreid.errors import InputError
from jreid.find import OUTSIDE, find_module, own_modules, require_choices
from jreid.methods import Config
from jreid.process import machine_memory
from jreid.runs.protocols import protocols, rerankings

# The upper limit of integers, which are sizes and counts: by a field's last name, or else OTHERS.
# Far more than any use needs, and low enough that a run ends.
OTHERS = 1_000_000
LARGEST = {
    **dict.fromkeys(("size", "reid_size", "padding"), 10_000),  # pixels
    **dict.fromkeys(("width", "hidden", "dim", "embedding", "cpu_threads"), 16_384),
    **dict.fromkeys(("residual_blocks", "stages", "non_local", "groups", "n"), 100),
    "images": 10_000,
}
UNBOUNDED = {"seed"}
# The lower limit of numbers of a method, by a field's last name.
LEAST = {
    **dict.fromkeys(("width", "hidden", "dim", "embedding", "reduction", "groups"), 1),
    **dict.fromkeys(("residual_blocks", "warmup_epochs"), 0),
}
SHARES = ("dropout", "momentum", "betas")  # from 0 to below 1
TRACKERS = ("none", "wandb", "trackio")
CHOICES = {
    "dtype": ("float32", "bfloat16"),
    "image.resize": RESIZE,
    "image.order": ORDERS,
    "tracker": TRACKERS,
    "batch.sampler": (*SAMPLERS, OUTSIDE),
    "data.cache": CACHES,
    "data.on_bad_image": ON_BAD_IMAGE,
    "data.train_splits": ("train", "validation"),
}


def check_config(config: Config) -> None:
    """Checks the fields that all methods share; a method checks its own when it is created.

    Raises:
        InputError: a value that cannot be used; the error names the field and the allowed values.
    """
    batch, image, evaluation, data = config.batch, config.image, config.evaluation, config.data
    _check_numbers(config)
    for field, value, least in (
        ("seed", config.seed, 0),
        ("epochs", config.epochs, 0),
        ("batch.identities", batch.identities, 2),
        ("batch.images", batch.images, 1),
        ("image.padding", image.padding, 0),
        ("cpu_threads", config.cpu_threads, 1),
        ("log_every_steps", config.log_every_steps, 1),
        ("checkpoint_every_epochs", config.checkpoint_every_epochs, 1),
        ("pictures_every_epochs", config.pictures_every_epochs, 0),
        ("evaluation.every_epochs", evaluation.every_epochs, 0),
        ("evaluation.batch_size", evaluation.batch_size, 1),
        ("data.identities", data.identities, 0),
    ):
        _require(value >= least, field, value, f"at least {least}")
    _require(len(image.size) == 2, "image.size", image.size, "a height and a width")
    _require(min(image.size) > 0, "image.size", image.size, "positive")
    _check_memory(config)
    for field, value, most in (
        ("image.flip_probability", image.flip_probability, 1),
        ("image.erase_probability", image.erase_probability, 1),
        ("image.padding_fill", image.padding_fill, 255),
    ):
        _require(0 <= value <= most, field, value, f"0 to {most}")
    _require(
        0 < data.test_fraction < 1, "data.test_fraction", data.test_fraction, "above 0 and below 1"
    )
    for field, value, most in (
        ("image.erase_area", image.erase_area, 1),
        ("image.erase_ratio", image.erase_ratio, math.inf),
    ):
        holds = len(value) == 2 and 0 < value[0] <= value[1] <= most
        _require(holds, field, value, "two numbers above 0, the smaller one first")
    for field, value in (
        ("protocols", config.protocols),
        ("evaluation.rerank", evaluation.rerank),
    ):
        _require(len(value) > 0, field, value, "one or more")
    check_depth_range(data.depth_range)
    _require(
        bool(data.train_splits) and {*data.train_splits} <= {*CHOICES["data.train_splits"]},
        "data.train_splits",
        data.train_splits,
        "of 'train' and 'validation': the test split is never trained on",
    )
    require_choices(config, CHOICES | _optimizer_kinds(config))
    find_sampler(batch.sampler)
    _check_setting(data)
    protocols(config, "test")  # both raise an error for a text that they do not understand
    rerankings(config)


def choices(config: Config) -> dict[str, Collection[Any]]:
    """What each field that has choices may be, by its full name; lists, what each item may be.

    Raises:
        InputError: the config names a method or a layout that does not exist.
    """
    method = find_module("config.method", config.method, "jreid.methods", "create")
    setting = find_layout(config.data.layout).setting
    return {
        "method": (*own_modules("jreid.methods", "create"), OUTSIDE),
        "data.layout": (*own_modules("jreid.data.layouts", "list_images"), OUTSIDE),
        **CHOICES,
        **_optimizer_kinds(config),
        **({f"data.{setting.field}": setting.choices} if setting else {}),
        **getattr(method, "CHOICES", {}),
    }


def _optimizer_kinds(config: Config) -> dict[str, Collection[str]]:
    """The choices of every player's kind of optimizer."""
    fields = flat(config.to_dict())
    return {field: KINDS for field in fields if field.endswith("optimizer.kind")}


def _check_setting(data: Config) -> None:
    """Raises InputError for a list of identities that the layout does not have."""
    setting = find_layout(data.layout).setting
    if setting and setting.field not in data:
        raise InputError(
            f"config.data.{setting.field} is missing, which {data.layout} needs; set it in your "
            f"config: {setting.fault(None)}."
        )
    if setting and setting.fault(value := data[setting.field]):
        name = f"config.data.{setting.field}={value}"
        raise InputError(f"{name} cannot be used: {setting.fault(value)}.")
    if not (setting and setting.field == "split_number"):
        allowed = f"0: {data.layout} has none"
        _require(data.split_number == 0, "data.split_number", data.split_number, allowed)


def _check_numbers(config: Config) -> None:
    """Raises InputError for numbers that are not finite, and for integers beyond their limit."""
    for field, value in flat(config.to_dict()).items():
        name = field.rpartition(".")[2]
        largest, least = LARGEST.get(name, OTHERS), LEAST.get(name, -math.inf)
        if name == "betas":
            _require(len(value) == 2, field, value, "two numbers")
        for number in _numbers(value):
            _require(math.isfinite(number), field, value, "finite")
            _require(number >= least, field, value, f"at least {least}")
            if name in SHARES:
                _require(0 <= number < 1, field, value, "from 0 to below 1")
            if isinstance(number, int) and field not in UNBOUNDED:
                _require(abs(number) <= largest, field, value, f"at most {largest:,}")


def _numbers(value: Any) -> Iterator[int | float]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _check_memory(config: Config) -> None:
    """Raises InputError for batches of images that are larger than the machine's memory."""
    batch, (height, width) = config.batch, config.image.size
    memory = machine_memory()
    for field, value, rows in (
        ("batch.identities", batch.identities, 2 * batch.identities * batch.images),
        ("evaluation.batch_size", config.evaluation.batch_size, config.evaluation.batch_size),
    ):
        needed = rows * height * width * 3 * 4  # float32
        allowed = f"less: {rows:,} images take {needed / 1e9:,.0f} GB, and this machine has "
        _require(needed <= memory, field, value, f"{allowed}{memory / 1e9:,.0f} GB")


def _require(holds: bool, field: str, value: object, allowed: str) -> None:
    if not holds:
        raise InputError(f"config.{field}={value} cannot be used; it must be {allowed}.")
