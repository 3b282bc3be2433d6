"""Whether a config's values can be meant at all, told before anything is read or made."""

from jreid.data.dataset import ON_BAD_IMAGE, layout_module
from jreid.data.forms import check_depth_range
from jreid.data.samplers import SAMPLERS
from jreid.data.transforms import ORDERS, RESIZE
from jreid.errors import InputError
from jreid.evaluation import DISTANCES, KINDS, PROTOCOLS
from jreid.methods import Config
from jreid.methods.method import require_choice
from jreid.training.scoring import protocols


def check_config(config: Config) -> None:
    """Checks the fields that all methods share; a method checks its own when it is created.

    Raises:
        InputError: a value that cannot be meant; names the field and what it may be.
    """
    batch, image, evaluation, data = config.batch, config.image, config.evaluation, config.data
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
        ("evaluation.trials", evaluation.trials, 1),
    ):
        _require(value >= least, field, value, f"at least {least}")
    _require(len(image.size) == 2, "image.size", image.size, "a height and a width")
    _require(min(image.size) > 0, "image.size", image.size, "positive")
    for field, value in (
        ("searches", evaluation.searches),
        ("shots", evaluation.shots),
        ("directions", evaluation.directions),
        ("rerank", evaluation.rerank),
    ):
        _require(len(value) > 0, f"evaluation.{field}", value, "one or more")
    require_choice("batch.sampler", batch.sampler, SAMPLERS)
    require_choice("image.resize", image.resize, RESIZE)
    require_choice("image.order", image.order, ORDERS)
    require_choice("evaluation.distance", evaluation.distance, ("", *DISTANCES))
    require_choice("data.protocol", data.protocol, PROTOCOLS)
    require_choice("data.on_bad_image", data.on_bad_image, ON_BAD_IMAGE)
    check_depth_range(data.depth_range)
    for kind in evaluation.rerank:
        require_choice("evaluation.rerank", kind, ("none", *KINDS))
    splits = {*data.train_splits}
    _require(
        bool(splits) and splits <= {"train", "validation"},
        "data.train_splits",
        data.train_splits,
        "of 'train' and 'validation': the test split is never trained on",
    )
    trials = layout_module(data.layout).TRIALS
    allowed = f"1 to {trials}, {data.layout}'s trials" if trials else f"0: {data.layout} has none"
    _require(
        (data.trial in range(1, trials + 1)) or data.trial == trials == 0,
        "data.trial",
        data.trial,
        allowed,
    )
    protocols(config, "test")  # refuses what the protocol does not have


def _require(holds: bool, field: str, value: object, allowed: str) -> None:
    if not holds:
        raise InputError(f"config.{field}={value} cannot be used; it must be {allowed}.")
