"""Base-Derivative: visible, infrared and a modality derived from each, in one ResNet-50.

jreid train --config=base_derivative:sysu_mm01 --workdir=runs/bd --config.data.folder=DIR

SYSU-MM01 at 288 x 144, ResNet-50 from ImageNet, 80 epochs of 928 steps of 48 images and as many
derived ones. The paper (Liu et al., A Base-Derivative Framework for Cross-Modality RGB-Infrared
Person Re-Identification, ICPR 2020) prints rank-1 51.05, mAP 49.63 for all search and 55.93, 63.38
for indoor search, single shot. On RegDB (`regdb,trial=1` to 10; 60 epochs of 86 steps) it prints
80.67, 78.83, visible to infrared. Not yet run by us on the real images; needs a GPU.

jreid train --config=base_derivative:synthetic --workdir=runs/synthetic

The synthetic dataset (also synthetic_regdb and synthetic_llcm) from random weights, at the
quickstart's scale: 96 x 48, a ResNet-18 of a quarter of the width. `tiny` (also tiny_regdb and
tiny_llcm) is for tests: it takes seconds, and its numbers mean nothing. `synthetic,long` is to
compare methods; there the generator starts with gray images and learns at a tenth of the rate.

Table IV's rows leave out modalities and pairs (MDL1 has no derived_visible, MDL2 no
derived_infrared, both without its pair; MDL3 has one pair more). B1 and B2 have visible and
infrared images alone: B2 has their pair, B1 none and a multi_mode weight of 0.
"""

from jreid.config import Config, defaults, scale_down

METHOD = {
    # Visible and infrared, which are embedded, and any of the derived ones.
    "modalities": ("visible", "infrared", "derived_visible", "derived_infrared"),
    "pairs": (  # of the multi-directional loss
        ("visible", "infrared"),
        ("visible", "derived_infrared"),
        ("infrared", "derived_visible"),
    ),
    "generator": {
        "weight_init": "third",  # third, torch or bt601
        "out_relu": False,
        "input": "imagenet",  # imagenet or unit
        "infrared_channel": "mean",  # mean or first
    },
    "loss_weights": {  # alpha, beta and gamma; 0 switches a loss off
        "identity": 1.0,
        "multi_mode": 1.0,
        "multi_directional": 1.0,  # 5 on RegDB
    },
    "multi_mode_margin": 0.3,
    "multi_directional_margin": 0.5,
    "triplet_reduce": "mean",  # over anchors: mean, or sum as equations 4 and 7 have it
    "identity_reduce": "sum_modalities",  # sum_modalities or mean
    "normalize": False,  # features to unit length before the triplet losses
    "neck": "bnneck",  # bnneck or none
    "feature": "bn",  # that is embedded: bn, the neck's output, or pool, its input
}


def get_config(argument: str = "sysu_mm01") -> Config:
    """Base-Derivative on a dataset: `sysu_mm01`, `regdb,trial=3`, `llcm`, `synthetic`, ..."""
    config = defaults(argument)
    del config.triplet
    config.update(method="base_derivative", pooling="average", weights="imagenet")
    config.update(base_derivative=METHOD)
    config.batch.identities = 6
    config.backbone.non_local = (0, 0, 0, 0)  # (0, 2, 3, 0) and generalized_mean are AGW's
    # All parts learn at one rate. For heads at ten times the rate, as in AGW, set
    # (("(neck|classifier)/.*", 10.0),); for the rest at a tenth of it, as in older AGW code, set
    # (("(backbone|derivation)/.*", 0.1),).
    config.optimizer.update(learning_rate=0.01, lr_multipliers=())
    if config.data.name == "regdb":
        config.epochs = 60
        config.base_derivative.loss_weights.multi_directional = 5.0
    # From random weights and without a long warm-up, a higher rate or a triplet loss with weight 5
    # makes all features equal.
    scale = scale_down(config, argument)
    if scale:
        config.base_derivative.loss_weights.multi_directional = 1.0
    if scale == "long":
        # With one stem the encoder's ReLU dies where its pixels are around 0, or where it learns at
        # the rate of the rest: docs/causes.md.
        config.base_derivative.generator.update(input="unit", weight_init="bt601")
        config.optimizer.lr_multipliers = (("derivation/.*", 0.1),)
    return config
