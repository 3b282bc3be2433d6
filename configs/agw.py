"""AGW, the baseline of the field: two stems, non-local blocks, generalised-mean pooling, BNNeck.

jreid train --config=configs/agw.py:sysu_mm01 --workdir=runs/agw --config.data.folder=DIR

SYSU-MM01 at 288 x 144, ResNet-50 from ImageNet, 80 epochs of 696 steps of 64 images. The paper
(Ye et al., Deep Learning for Person Re-identification, TPAMI 2021) prints rank-1 47.50, mAP 47.65,
mINP 35.30 for all search, single shot. On RegDB (`regdb,trial=1` to 10) it prints rank-1 70.05, mAP
66.37, visible to infrared. Not yet run by us on the real images; needs a GPU.

jreid train --config=configs/agw.py:synthetic --workdir=runs/synthetic

The synthetic dataset (also synthetic_regdb and synthetic_llcm) at 128 x 64 from random weights, a
ResNet-18 of half the width: about 20 minutes on two CPU cores, by the speed of its first steps.
`tiny` (also tiny_regdb and tiny_llcm) is for tests: it takes seconds, and its numbers mean nothing.
"""

from configs import common


def get_config(argument: str = "sysu_mm01") -> common.Config:
    """AGW on a dataset: `sysu_mm01`, `regdb,trial=3`, `llcm`, `folder`, `synthetic`, `tiny`, ..."""
    config = common.defaults(argument)
    scale, *_ = config.data.name.split("_")
    if scale not in ("synthetic", "tiny"):
        config.weights = "imagenet"
        return config
    # From random weights the backbone learns at the full rate.
    config.optimizer.scales = ()
    config.image.update(size=(128, 64), padding=4)
    config.backbone.update(depth=18, width=32, non_local=(0, 1, 1, 0))
    config.update(epochs=20)
    config.optimizer.update(warmup_epochs=2, milestones=(12, 17))
    if scale == "tiny":
        config.image.update(size=(32, 16), padding=2)
        config.backbone.update(width=8, non_local=(0, 1, 0, 0))
        config.batch.update(identities=4, images=2)
        config.update(epochs=2, log_every_steps=1)
        config.evaluation.update(every_epochs=1, batch_size=16, k1=5, k2=2)
        config.optimizer.update(warmup_epochs=1, milestones=(2,))
    return config
