"""IDKL: a shared and a specific branch, the second purified and distilled into the first.

jreid train --config=idkl:sysu_mm01 --workdir=runs/idkl --config.data.folder=DIR

SYSU-MM01, ResNet-50 from ImageNet, 160 epochs of about 195 steps of 120 images; the authors used
one GeForce 3090. The paper (Ren and Zhang, Implicit Discriminative Knowledge Learning for
Visible-Infrared Person Re-Identification, CVPR 2024) prints rank-1 81.42, mAP 79.85 for all search
and 87.14, 89.37 for indoor search, single shot; on RegDB 94.72, 90.19 visible to infrared and
94.22, 90.43 back; on LLCM 72.22, 66.43 and 70.72, 65.19. Not yet run by us on the real images;
needs a GPU.

The paper does not say whether its numbers on SYSU-MM01 are re-ranked. The released code re-ranks
on SYSU-MM01 and LLCM, and its config has no option to switch that off. A user who switched it off
reports about 71 instead of 81.42. The authors answer that the released code is a partial
reference and that their own code does not re-rank. So jreid reports both, one row for each. The
printed numbers on LLCM follow the released code's own protocol, all images against all, and cannot
be compared with those of other papers. With variant=code ours follow it, too (`llcm_all`).

The paper and the released code describe two networks, trained in two ways. The argument chooses
one, as in `sysu_mm01,variant=code` or `regdb,trial=3,variant=code`. Every difference between them
is also a field: --config.idkl.confuser=grl and the others below, and --config.image.size,
--config.optimizer.learning_rate and milestones, --config.batch, --config.protocols.

jreid train --config=idkl:synthetic --workdir=runs/synthetic

The synthetic dataset (also synthetic_regdb and synthetic_llcm) from random weights, at the
quickstart's scale. `tiny` (also tiny_regdb and tiny_llcm) is for tests: it takes seconds, and its
numbers mean nothing.
"""

from jreid.config import Config, both_directions, defaults, read_argument, scale_down

PAPER = {
    "confuser": "grl",  # grl, or scrambled: no reversal, half of the modality labels wrong
    "confuser_at": ("layer2", "layer3", "layer4"),  # of the shared branch: layer1 to layer4, neck
    "discriminator_at": ("layer3", "layer4"),  # of the specific branch: layer3, layer4, neck
    "specific_reid": "raw_and_purified",  # or purified alone, then at full weight
    "purifier": {
        "masks": "pooled",  # pooled: one number for each channel; per_pixel; or none
        "norm": "plain",  # instance norm: plain, or affine with running statistics
        "hinge": "softplus",  # softplus, or relu (in L_e, exp(relu) - 1)
        "classifier": "specific",  # of L_e: the specific branch's, or its own without labels
        "epsilon": 0.0,  # added to each difference in L_r's distance; the code: 1e-6
    },
    "tgsa": {
        # The third affinity matrix: full, all rows with all; mixed, within half of them; or none.
        "between_branches": "full",
        "between_modalities": "full",
        "diagonal": True,  # a sample's affinity to itself counts
        "temperature": 1.0,  # distances are divided by it
    },
    "csa": {
        "forms": ("sample",),  # sample; the released code adds stacked
        "temperature": 1.0,  # logits are divided by it
    },
    "divergence": {
        "symmetric": False,  # KL in both directions
        # Over rows: mean or sum. The paper prints sums; with them the distillation outweighs the
        # losses that it should help. The code has means.
        "reduce": "mean",
    },
    "stop_gradient": True,  # distillation does not train the specific branch
    # As in the released code, use these weights and tgsa.between_modalities only for batches of 120
    # rows. For others, tgsa and mdr_tgsa are 0.1, csa is 0.3 (a weight of 0 stays 0), and
    # between_modalities is none.
    "follow_batch": False,
    "weights": {
        "confuser": 1.0,
        "discriminator": 1.0,
        "purifier": 0.1,  # lambda_1
        "tgsa": 0.6,  # lambda_2
        "csa": 0.8,  # lambda_3
        "mdr_tgsa": 1.0,
        "mdr_csa": 1.0,
    },
    # Neither variant sets these: they are the defaults of the released code.
    "reversal": {
        "strength": 1.0,  # of the gradient reversal
        "schedule": "constant",  # constant, or rising from 0 over the run
    },
    "head": {"hidden": 100, "dropout": 0.5},  # of confusers and discriminators
}

CODE = PAPER | {
    "confuser": "scrambled",
    "confuser_at": ("neck",),
    "discriminator_at": ("neck",),
    "specific_reid": "purified",
    "purifier": {
        "masks": "per_pixel",
        "norm": "affine",
        "hinge": "relu",
        "classifier": "own",
        "epsilon": 1e-6,
    },
    "tgsa": {
        "between_branches": "none",
        "between_modalities": "mixed",
        "diagonal": False,
        "temperature": 1.0,
    },
    "csa": {"forms": ("sample", "stacked"), "temperature": 1.0},
    "divergence": {"symmetric": True, "reduce": "mean"},
    "stop_gradient": False,
    "follow_batch": True,
}

VARIANTS = {"paper": PAPER, "code": CODE}


def get_config(argument: str = "sysu_mm01") -> Config:
    """IDKL on a dataset: `sysu_mm01`, `regdb,trial=3,variant=code`, `llcm`, `synthetic`, ..."""
    words = read_argument(argument, variant=VARIANTS)
    config, variant = defaults(words), words.options["variant"]
    del config.pooling
    config.update(method="idkl", idkl=VARIANTS[variant], weights="imagenet", epochs=160)
    config.batch.update(sampler="random_identity", identities=12, images=5)
    config.image.update(size=(384, 128), resize="bilinear", order="flip_first", padding_fill=127)
    config.image.erase_probability = 0.5
    config.backbone.update(split_stages=0, non_local=(0, 0, 0, 0))
    config.triplet.update(kind="batch_hard", margin=1.3)
    # The paper gives neither weight decay nor epochs: both are from the released code.
    config.optimizer.update(kind="adam", learning_rate=3e-5, weight_decay=5e-3)
    config.optimizer.update(warmup_epochs=0, milestones=(60, 100), lr_multipliers=())
    config.evaluation.update(every_epochs=10, rerank=("none", "query_only", "standard"))
    if variant == "code":
        _follow_code(config)
    if config.data.layout == "regdb":
        config.protocols = both_directions("regdb", ",cmc=identity,distance=euclidean")
    scale = scale_down(config, words)
    if scale:
        # From random weights, the paper's rate is too low and the code's weight decay too strong.
        config.optimizer.update(learning_rate=1e-2, weight_decay=5e-4)
        if scale != "tiny":
            # From random weights, batch-hard triplet losses stay at their margin to the end.
            config.triplet.kind = "weighted_regularized"
        if scale == "small":
            # IDKL's sampler makes half as many steps in each epoch as AGW's.
            config.epochs = 14
            config.optimizer.milestones = (10, 12)
        config.batch.update(
            identities=min(8, config.batch.identities), images=min(4, config.batch.images)
        )
    return config


def _follow_code(config: Config) -> None:
    """Sets what the released code does differently outside of the network and its losses."""
    config.image.size = (384, 144)
    config.optimizer.update(learning_rate=3.5e-4, milestones=(55, 95))
    if config.data.layout == "regdb":
        config.image.size = (256, 128)
        config.batch.identities = 6
        config.idkl.weights.update(tgsa=0.0, mdr_tgsa=0.0)
    if config.data.layout == "llcm":
        config.protocols = both_directions("llcm_all")
