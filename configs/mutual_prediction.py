"""Mutual-prediction learning with fine-grained features: a reconstruction.

jreid train --config=mutual_prediction:sysu_mm01 --workdir=runs/mp \
    --config.data.folder=DIR

SYSU-MM01 at 288 x 144, ResNet-50 from ImageNet, 80 epochs of 696 steps of 64 images; the authors
used a 2080 Ti. Their paper (person re-identification by cross-modality identity mutual prediction
learning and fine-grained feature learning) prints rank-1 56.48, mAP 51.91 for all search and 59.69,
65.86 for indoor search, single shot. On RegDB (`regdb,trial=1` to 10) it prints 87.64, 78.45,
visible to infrared, and 84.82, 76.33 back. Its equations and parts of its settings could not be
obtained: this config follows its abstract, its tables and the closest published work, so do not
expect the numbers of the paper. Not yet run by us on the real images; needs a GPU.

jreid train --config=mutual_prediction:synthetic --workdir=runs/synthetic

The synthetic dataset (also synthetic_regdb and synthetic_llcm) from random weights, at the
quickstart's scale: 96 x 48, a ResNet-18 of a quarter of the width. `tiny` (also tiny_regdb and
tiny_llcm) is for tests: it takes seconds, and its numbers mean nothing.

The paper's weights alpha and beta can be read in two ways, with and without a decimal point: `A` is
the default; choose `B` as in `mutual_prediction:sysu_mm01,preset=B` (or `regdb,trial=3,preset=B`).
If training with B's large alpha diverges, add --config.mutual_prediction.normalize=True. Each
weight can be set alone, as in --config.mutual_prediction.alpha=0.8. Table 4's baseline is
--config.mutual_prediction.parts.n=0 --config.mutual_prediction.alpha=0.0
--config.mutual_prediction.beta=0.0 --config.mutual_prediction.embedding=global.

--config.backbone.split_stages is the number of stages that each modality has for itself: from 1,
the stem, to 5, all; 0, none, is the default of the scale `long`. Two released codes have such a
loss: MPANet's uses `kl_ema` with weight 2.5, IV-REID's uses `kl_detach` with weight 1 and trains
its classifiers at ten times the backbone's rate. So does this config; at the small scales, where
all parts have one rate, add
--config.optimizer.lr_multipliers="(('modality_classifiers/.*',10.0),)".
"""

from jreid.config import Config, defaults, read_argument, scale_down

PRESETS = {
    "A": {"sysu_mm01": (1.2, 0.4), "regdb": (3.5, 4.0)},  # alpha and beta by layout
    "B": {"sysu_mm01": (12.2, 0.4), "regdb": (35.0, 4.0)},
}

METHOD = {
    "alpha": 1.2,  # weight of the classifiers' losses on their own modality
    "beta": 0.4,  # weight of mutual prediction
    "form": "swap_ce",  # swap_ce, swap_ce_joint, kl_ema, kl_detach or alternate
    "feature": "concat",  # of W_V and W_I: concat, global or each
    "head": "linear",  # of W_V and W_I: linear or mlp512
    "ema_rate": 0.2,  # of kl_ema: the share of each step in the average
    "normalize": False,  # divide the loss by 1 + alpha + beta
    "parts": {
        "n": 6,  # stripes; 3 or 9 at this height too, 0 for none
        "dim": 256,  # numbers for each stripe, or 512
        "pool": "average",  # average, generalized_mean or max
        # A triplet loss for each stripe too. It makes a stripe's features nearly equal: the scale
        # of their batch norm shrinks, and the classifiers of the stripes learn nothing.
        "triplet": False,
        "reduce": "sum",  # losses over stripes: sum, as in PCB, or mean
    },
    "embedding": "bn_z",  # bn_z, z, or global: the batch norm of the global feature
}


def get_config(argument: str = "sysu_mm01") -> Config:
    """The method on a dataset: `sysu_mm01`, `regdb,trial=3`, `llcm`, `synthetic,preset=B`, ..."""
    words = read_argument(argument, preset=PRESETS)
    config = defaults(words)
    config.update(method="mutual_prediction", mutual_prediction=METHOD)
    config.update(pooling="average", weights="imagenet")
    config.triplet.kind = "batch_hard"  # or hetero_center, or weighted_regularized
    config.backbone.non_local = (0, 0, 0, 0)
    config.mutual_prediction.update(_weights(words.options["preset"], config.data.layout))
    scale = scale_down(config, words)
    if scale:
        # From random weights the backbone learns at the same rate as the rest.
        config.optimizer.update(learning_rate=0.03, lr_multipliers=())
        config.mutual_prediction.parts.dim = 32
        if scale == "tiny":
            config.mutual_prediction.parts.update(n=2, dim=8)
    return config


def _weights(preset: str, layout: str) -> dict[str, float]:
    """Alpha and beta; datasets that are not in the paper use those of SYSU-MM01."""
    values = PRESETS[preset]
    alpha, beta = values.get(layout, values["sysu_mm01"])
    return {"alpha": alpha, "beta": beta}
