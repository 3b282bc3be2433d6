"""All defaults of jreid. A config starts from `defaults` and changes what its paper changes."""

from typing import Any

from ml_collections import ConfigDict

from jreid.config_argument import Argument, read_argument
from jreid.datasets import DATASETS, SETTINGS

# A ConfigDict: a type checker cannot know its fields.
Config = Any


def both_directions(protocol: str, options: str = "") -> tuple[str, str]:
    """A protocol in both directions, infrared to visible and back, with more options for both."""
    directions = "infrared_to_visible", "visible_to_infrared"
    forward, back = (f"{protocol}:direction={direction}{options}" for direction in directions)
    return forward, back


# The protocols of each layout.
PROTOCOLS = {
    "sysu_mm01": tuple(
        f"sysu_mm01:search={search},shots={shots}"
        for search in ("all", "indoor")
        for shots in (1, 10)
    ),
    "regdb": both_directions("regdb"),
    "llcm": both_directions("llcm"),
    "orbench": ("orbench",),
    "mp_reid": ("mp_reid",),
    "folder": both_directions("folder"),
}


def _dataset(argument: Argument) -> Config:
    """The `data` block of a config."""
    known = DATASETS[argument.dataset]
    name = known.name or argument.dataset
    block = {
        "name": name,
        "layout": known.layout,  # sysu_mm01, regdb, llcm, orbench, mp_reid or folder
        "folder": f"data/{name}",
        "identities": known.identities,  # in the training splits; 0 to count them
        "split_number": 0,  # of RegDB's ten, from 1; else 0
        "train_splits": known.train_splits,  # of train and validation
        "prepared": "data/prepared",  # packed images, by TFDS
        # The images to train on: encoded, and decoded in each step; or resized once for all epochs,
        # height x width x 3 bytes each. The numbers are the same.
        "cache": "encoded",
        "allow_partial": False,  # accept a folder that lacks images; marks every result
        "on_bad_image": "raise",  # or skip: training images only, at most 0.1 %
        "test_fraction": 0.5,  # of the identities of a folder without splits.txt
        "split_seed": 0,  # of that choice; the seed of the training is config.seed
        "depth_range": (),  # (LOW, HIGH): raw counts of 16-bit images that become black and white
    }
    if known.layout in SETTINGS:
        block[SETTINGS[known.layout].field] = argument.setting
    return ConfigDict(block)


# The epochs of the scale `long` by sampler: on the synthetic dataset 1,800 steps of 64 images, or
# as many images in batches of another size.
LONG_EPOCHS = {"random_identity": 40, "uniform": 120}
OTHER_LONG_EPOCHS = 17  # identity_uniform, and samplers outside of jreid


def defaults(argument: str | Argument = "sysu_mm01") -> Config:
    """The shared config, its `data` block set by the argument: `sysu_mm01`, `regdb,trial=3`.

    Raises:
        InputError: as `read_argument`.
    """
    data = _dataset(read_argument(argument))
    return ConfigDict(
        {
            "method": "agw",
            "seed": 0,
            "epochs": 80,
            "dtype": "float32",  # of the convolutions: float32 or bfloat16
            # Of the backbone: none, a file, imagenet (torchvision's first weights, from which the
            # papers start), imagenet_v2 (its second ones), ibn_a (for backbone.ibn), or synthetic
            # (of `python -m experiments.pretrain`).
            "weights": "none",
            "data": data,
            "batch": {
                "sampler": "identity_uniform",  # random_identity, identity_uniform or uniform
                "identities": 8,  # of a step
                "images": 4,  # of an identity and modality
            },
            "image": {
                "size": (288, 144),  # height, width in pixels
                "resize": "lanczos",  # lanczos or bilinear, both with antialias
                "gray_visible": False,  # make visible images gray (PFINet's task transformation)
                "gray_infrared": False,  # make infrared images gray: thermal ones in false colors
                "order": "crop_first",  # crop_first (AGW) or flip_first (MPANet, IDKL)
                "flip_probability": 0.5,
                "padding": 10,  # pixels on each side before the random crop
                "padding_fill": 0,  # 0 to 255
                "erase_probability": 0.0,
                "erase_area": (0.02, 0.33),  # share of the image
                "erase_ratio": (0.3, 3.3),  # height over width
            },
            "backbone": {
                "depth": 50,  # 10, 18, 34 or 50
                "width": 64,  # channels of the stem
                "last_stride": 1,
                "ibn": False,
                "split_stages": 1,  # first stages with a copy for each modality; 1 is the stem
                "non_local": (0, 2, 3, 0),  # AGW's blocks at the end of each stage
                "rematerialize": False,  # recompute blocks in the backward pass: less memory
            },
            "pooling": "generalized_mean",  # generalized_mean, average or max
            "triplet": {
                # weighted_regularized, weighted_regularized_released or batch_hard
                "kind": "weighted_regularized",
                "margin": 0.3,  # of batch_hard
            },
            "optimizer": {
                "kind": "sgd",  # sgd or adam
                "betas": (0.9, 0.999),  # of adam
                "learning_rate": 0.1,
                "weight_decay": 5e-4,  # coupled L2, as PyTorch's SGD and Adam have it
                "momentum": 0.9,
                "nesterov": True,
                "warmup_epochs": 10,  # 0: none
                "warmup_initial": 0.0,  # share of the rate in epoch 0; 0 for 1 / warmup_epochs
                "milestones": (20, 50),  # epochs after which the rate falls
                "lr_decay": 0.1,  # by this factor
                # Patterns of parameters' paths, and a factor of the rate for each pattern.
                "lr_multipliers": (("backbone/.*", 0.1),),
            },
            "cpu_threads": 8,  # of XLA on CPUs; fixed, because its sums depend on it
            "log_every_steps": 10,
            "tracker": "none",  # none, wandb or trackio: a copy of metrics and results, kept here
            "checkpoint_every_epochs": 1,
            "pictures_every_epochs": 0,  # sheets of the method's pictures; 0 for never
            # One row for each, such as sysu_mm01:search=all,shots=1; training uses the first one.
            "protocols": PROTOCOLS[data.layout],
            "evaluation": {
                "every_epochs": 5,  # on the validation identities; 0 for never
                "batch_size": 128,
                "flip": False,  # add the features of an image and of its mirror image
                # One row for each, such as none or standard:k1=20,k2=6,lambda=0.3.
                "rerank": ("none", "standard"),
            },
        }
    )


def scale_down(config: Config, argument: str | Argument) -> str:
    """Sets a method to the scale that the argument asks for.

    With random initial weights and few steps, a paper's learning rate may not fit. Then the
    method's config sets its own.

    Returns:
        That scale, `small`, `long` or `tiny`; empty if the paper's own scale stays.
    """
    scale = read_argument(argument).scale
    if scale == "full":
        return ""
    config.update(weights="none", epochs=7, cpu_threads=2, log_every_steps=20)
    config.image.update(size=(96, 48), padding=4)
    config.backbone.update(depth=18, width=16)
    config.optimizer.update(warmup_epochs=1, milestones=(5, 6))
    config.evaluation.every_epochs = 3
    if scale == "long":
        # From random weights, a stem for each modality costs rank: docs/causes.md.
        config.backbone.split_stages = 0
        _set_length(config, LONG_EPOCHS.get(config.batch.sampler, OTHER_LONG_EPOCHS))
    if scale == "tiny":
        config.image.update(size=(32, 16), padding=2)
        config.backbone.update(depth=10, width=8)
        config.batch.update(identities=4, images=2)
        config.update(epochs=2, log_every_steps=1)
        config.evaluation.update(every_epochs=1, batch_size=16)
        # A small gallery has few neighbors to re-rank with.
        config.evaluation.rerank = tuple(
            kind if kind == "none" else f"{kind}:k1=5,k2=2" for kind in config.evaluation.rerank
        )
        config.optimizer.milestones = (2,)
    return scale


def _set_length(config: Config, epochs: int) -> None:
    """Sets the epochs; the rate rises from a tenth for a tenth of them, and falls twice."""
    config.epochs = epochs
    config.optimizer.update(
        warmup_epochs=max(1, round(0.1 * epochs)),
        warmup_initial=0.1,
        milestones=(round(0.7 * epochs), round(0.9 * epochs)),
    )
    config.evaluation.every_epochs = max(1, epochs // 4)
