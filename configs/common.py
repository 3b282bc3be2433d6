"""Every default of jreid, once: a config starts from `defaults` and changes what its paper does."""

from typing import Any

from ml_collections import ConfigDict

# A ConfigDict, whose fields a type checker cannot know.
Config = Any

DATASETS = {
    # 296 training and 99 validation identities, trained together as the papers do; no identity is
    # then left to validate on. --config.data.train_splits="('train',)" and
    # --config.data.identities=296 keep the 99 for validation.
    "sysu_mm01": {
        "name": "sysu_mm01",
        "folder": "data/sysu_mm01",
        "layout": "sysu_mm01",
        "protocol": "sysu_mm01",
        "train_splits": ("train", "validation"),
        "identities": 395,
    },
    "synthetic": {
        "name": "synthetic",
        "folder": "data/synthetic",
        "layout": "sysu_mm01",
        "protocol": "sysu_mm01",
        "train_splits": ("train",),
        "identities": 120,
    },
    "tiny": {
        "name": "tiny",
        "folder": "data/tiny",
        "layout": "sysu_mm01",
        "protocol": "sysu_mm01",
        "train_splits": ("train",),
        "identities": 8,
    },
}


def defaults(dataset: str) -> Config:
    """The shared config, its `data` block set to the dataset of this name.

    Raises:
        ValueError: no dataset has this name; the message names those that exist.
    """
    if dataset not in DATASETS:
        raise ValueError(f"no dataset is called {dataset!r}; the argument is one of {[*DATASETS]}")
    return ConfigDict(
        {
            "method": "agw",
            "seed": 0,
            "epochs": 80,
            "dtype": "float32",  # of the convolutions: float32 or bfloat16
            "weights": "none",  # of the backbone: imagenet, a file, or none
            "data": DATASETS[dataset] | {"prepared": "data/prepared"},  # prepared: copies, by TFDS
            "batch": {
                "sampler": "agw",  # random_identity, agw or uniform
                "identities": 8,
                "images": 4,  # of an identity and modality
            },
            "image": {
                "size": (288, 144),  # height, width in pixels
                "resize": "lanczos",  # lanczos or bilinear, both with antialias
                "order": "crop_first",  # crop_first (AGW) or flip_first (MPANet, IDKL)
                "flip_probability": 0.5,
                "padding": 10,  # pixels on each side before the random crop
                "padding_fill": 0,  # 0 to 255
                "erase_probability": 0.0,
                "erase_area": (0.02, 0.33),  # share of the image
                "erase_ratio": (0.3, 3.3),  # height over width
            },
            "backbone": {
                "depth": 50,  # 18, 34 or 50
                "width": 64,  # channels of the stem
                "last_stride": 1,
                "ibn": False,
                "split_stages": 1,  # leading stages with one copy a modality; 1 is the stem
                "non_local": (0, 2, 3, 0),  # AGW's blocks at the end of each stage
            },
            "pooling": "generalized_mean",  # generalized_mean or average
            "triplet": {
                "kind": "weighted_regularized",  # weighted_regularized or batch_hard
                "margin": 0.3,  # of batch_hard
            },
            "optimizer": {
                "kind": "sgd",  # sgd or adam
                "learning_rate": 0.1,
                "weight_decay": 5e-4,  # coupled L2, as PyTorch's SGD and Adam have it
                "momentum": 0.9,
                "nesterov": True,
                "warmup_epochs": 10,
                "milestones": (20, 50),  # epochs after which the rate falls
                "decay": 0.1,  # by this factor
                "scales": (("backbone/.*", 0.1),),  # parameter path pattern, factor of the rate
            },
            "log_every_steps": 10,
            "checkpoint_every_epochs": 1,
            "evaluation": {
                "every_epochs": 5,  # on the validation identities; 0 for never
                "batch_size": 128,
                "searches": ("all", "indoor"),
                "shots": (1, 10),
                "trials": 10,
                "distance": "cosine",  # cosine or euclidean
            },
        }
    )
