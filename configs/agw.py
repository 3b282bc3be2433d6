"""AGW, the baseline of the field: two stems, non-local blocks, generalized-mean pooling, BNNeck.

jreid train --config=agw:sysu_mm01 --workdir=runs/agw --config.data.folder=DIR

SYSU-MM01 at 288 x 144, ResNet-50 from ImageNet, 81 epochs of 696 steps of 64 images. The paper
(Ye et al., Deep Learning for Person Re-identification, TPAMI 2021) prints rank-1 47.50, mAP 47.65,
mINP 35.30 for all search, single shot. On RegDB (`regdb,trial=1` to 10) it prints rank-1 70.05, mAP
66.37, visible to infrared. Not yet run by us on the real images; needs a GPU.

On the papers' datasets, the triplet loss and the number of epochs are those of the released code,
which gave the published numbers: `weighted_regularized_released`, explained in
`jreid.losses.weighted_triplet`, and 81. On your own folder and at smaller scales, the triplet loss
is the paper's formula, --config.triplet.kind=weighted_regularized.

jreid train --config=agw:synthetic --workdir=runs/synthetic

The quickstart: the synthetic dataset (also synthetic_regdb and synthetic_llcm) from random weights,
96 x 48, a ResNet-18 of a quarter of the width; three minutes on two CPU cores. `synthetic,long` is
to compare methods: each has one stem and sees the same number of images, 1,800 steps of 64. `tiny`
(also tiny_regdb and tiny_llcm) is for tests: it takes seconds, and its numbers mean nothing.
"""

from jreid.config import Config, defaults, scale_down


def get_config(argument: str = "sysu_mm01") -> Config:
    """AGW on a dataset: `sysu_mm01`, `regdb,trial=3`, `llcm`, `folder`, `synthetic`, `tiny`, ..."""
    config = defaults(argument)
    config.update(weights="imagenet", epochs=81)
    config.triplet.kind = "weighted_regularized_released"
    scale = scale_down(config, argument)
    if scale or config.data.layout == "folder":
        config.triplet.kind = "weighted_regularized"
    if scale == "long":
        config.optimizer.learning_rate = 0.2  # chosen by experiments.rates
    if scale:
        # From random weights the backbone learns at the full rate.
        config.optimizer.lr_multipliers = ()
        # A non-local block's output grows with the cube of its input, and in a short training the
        # running statistics cannot follow that: use few blocks.
        config.backbone.non_local = (0, 1, 0, 0) if scale == "tiny" else (0, 1, 1, 0)
    return config
