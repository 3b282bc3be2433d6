"""PFINet: gray images, a feature pyramid, a region response on each level, center-cluster loss.

jreid train --config=pfinet:sysu_mm01 --workdir=runs/pfinet --config.data.folder=DIR

SYSU-MM01 at 384 x 128, ResNet-50 from ImageNet, 240 epochs of steps of 128 images; the authors
used two Tesla P100. The paper (Pyramid Feature Integration Network, CVM 2022) prints rank-1 68.53,
mAP 65.51 for all search and 76.88, 80.26 for indoor search, single shot; re-ranked, 80.83, 79.03
and 88.54, 89.97, for which the released code searches neighbors among the queries only. On RegDB
(`regdb,trial=1` to 10) it prints 81.13, 81.49 visible to infrared and 80.21, 81.02 back. Not yet
run by us on the real images; needs a GPU.

jreid train --config=pfinet:synthetic --workdir=runs/synthetic

The synthetic dataset (also synthetic_regdb and synthetic_llcm) from random weights, at the
quickstart's scale: 96 x 48, a ResNet-18 of a quarter of the width. `tiny` (also tiny_regdb and
tiny_llcm) is for tests: it takes seconds, and its numbers mean nothing.

Table 3's baseline is --config.pfinet.pyramid=none; its rows without TT are
--config.image.gray_visible=False. The released code trains PFINet, but not the baseline, with
--config.backbone.ibn=True, --config.weights=ibn_a, --config.optimizer.warmup_epochs=20,
--config.optimizer.warmup_initial=0.1 and --config.optimizer.milestones="(109,169,219)", because it
counts the milestones from the end of the warm-up.
"""

from jreid.config import Config, both_directions, defaults, scale_down

METHOD = {
    "pyramid": "code",  # code, literal (equation 3), fpn256, or none: the baseline
    "levels": (4, 3, 2, 1),  # from the top: (4,), (4, 3), (4, 3, 2) or all, Table 5's rows
    "add_raw_c4": False,  # C_4 without its response too: 5888 numbers instead of 3840
    "response": {
        "attention": "conv1x1",  # conv1x1 or cbam7
        "share": "per_level",  # per_level, top_upsampled or joint
    },
    "transformation": {  # learned, as in Table 4; with image.gray_visible=False
        "kind": "none",  # none; lsp: a weight for each channel; lmp: for each channel and pixel
        "reduce": "sum_to_gray",  # sum_to_gray or none
        "weight_init": "randn",  # randn or bt601
    },
    "margin": 0.7,  # rho, between centers
    "groups": 1,  # parts of a batch, each with its own losses; the released code: 2
}


def get_config(argument: str = "sysu_mm01") -> Config:
    """PFINet on a dataset: `sysu_mm01`, `regdb,trial=3`, `llcm`, `folder`, `synthetic`, ..."""
    config = defaults(argument)
    del config.triplet, config.pooling
    config.update(method="pfinet", pfinet=METHOD, weights="imagenet", epochs=240)
    config.batch.update(sampler="random_identity", identities=16, images=4)
    config.image.gray_visible = True  # the task transformation, before resizing
    config.image.update(size=(384, 128), resize="bilinear", order="flip_first", padding_fill=127)
    config.image.erase_probability = 0.5
    config.backbone.update(split_stages=0, non_local=(0, 0, 0, 0))
    config.optimizer.update(
        kind="adam", learning_rate=3.5e-4, milestones=(90, 150, 200), lr_multipliers=()
    )
    config.evaluation.update(every_epochs=10, rerank=("none", "query_only", "standard"))
    if config.data.layout == "regdb":
        config.image.size = (256, 128)
        config.protocols = both_directions("regdb", ",cmc=identity,distance=euclidean")
    if scale_down(config, argument):
        # From random weights and with a few hundred steps, the paper's rate is too low.
        config.optimizer.learning_rate = 3e-3
        config.batch.identities = min(8, config.batch.identities)
    return config
