"""PFANet: visible images made infrared by a GAN, then one network with BNG attention and MMM.

jreid train --config=pfanet:sysu_mm01 --workdir=runs/pfanet --config.data.folder=DIR

SYSU-MM01 at 128 x 128 for the generators and 384 x 192 for ResNet-50 from ImageNet; 25,100 steps of
72 images, of which the first 5,000 train infrared features alone and 10,000 more the generators;
32 of the 72 images make the generators' and discriminators' batch. The paper (Chan et al., Learning
Identity-Consistent Feature for Cross-Modality Person Re-Identification via Pixel and Feature
Alignment, Mobile Information Systems 2022) prints rank-1 40.83, mAP 39.84 for all search and 44.0,
52.96 for indoor search, single shot. It does not say how long it trains; the length here is that of
AlignGAN. It has no numbers on RegDB or LLCM. Not yet run by us on the real images; needs a GPU.

jreid train --config=pfanet:synthetic --workdir=runs/synthetic

The synthetic dataset (also synthetic_regdb and synthetic_llcm) from random weights: 64 x 32 and
96 x 48, a ResNet-18 of a quarter of the width, generators of an eighth. `tiny` (also tiny_regdb and
tiny_llcm) is for tests: it takes seconds, and its numbers mean nothing.

Table 2's baseline is --config.backbone.attention=none --config.backbone.normalization=none; each of
the two rows after it has one of these flags. BNG and MMM learn at the rate of the backbone. To
train them at the rate of the heads, add
--config.optimizer.lr_multipliers="(('backbone/.*(bng|mmm).*',1.0),('backbone/.*',0.1))".
"""

from jreid.config import Config, defaults, scale_down

STEPS = {"features": 5_000, "generation": 10_000, "joint": 10_100}  # AlignGAN's, of 36 + 36 images
FALL = 5_000  # joint steps after which all rates fall

BACKBONE = {
    "attention": "bng",  # none or bng
    "bng": {
        "place": "stage",  # stage: behind each of layer1-4, or block: in every block
        "reduction": 16,  # r, of the channels; GAM: 4
        "channel_sigmoid": True,
        "groups": 1,  # of its convolutions; GAM: 4, which then shuffles channels
        "nam_literal": False,  # the gate of equation 9 alone, not times its input
        "nam_relu": False,  # before that gate's sigmoid
        "zero_init_last_bn": True,  # spatial gates begin at 0.5
    },
    "normalization": "mmm",  # none or mmm
    "mmm": {
        "stages": (3, 4),  # of layer1-4
        "reduction": 16,  # of the channels
    },
}

METHOD = {
    "reid_size": (384, 192),  # height, width that the backbone sees; image.size is the generators'
    "warm_ups": {"features": 0, "generation": 0},  # epochs at which they end; set below
    # The first ones of F's batch train the GAN; 0: all of them. AlignGAN draws other images for it.
    "gan_identities": 4,
    "gan_images": 0,  # of each of these and of each modality; 0: all of them
    "adversarial": "lsgan",  # lsgan or log, equations 1 to 4 as printed
    "generator_pair": "fake_fake",  # that D_I judges for G_I, equation 1; AlignGAN's: fake_real
    "wrong_pair": False,  # a fourth fake: an infrared image with another identity's map
    "loss_weights": {  # 0 switches a loss off
        "adversarial": 1.0,  # of G_I, lambda_1
        "adversarial_visible": 1.0,  # of G_R, lambda_1 too
        "cycle": 10.0,  # lambda_1 omega
        # A generator leaves its own modality as it is; equation 16: 0. Without it, generated images
        # of the synthetic dataset are negatives, and F matches hardly anybody across modalities.
        "identity_mapping": 5.0,
        "gan_identity": 0.1,  # lambda_3
        "gan_triplet": 0.1,  # lambda_4
        "discrimination": 1.0,  # lambda_2
        "identity": 1.0,  # lambda_5
        "triplet": 1.0,  # lambda_6
        "fooling": 0.0,  # F makes maps of generated images look real; AlignGAN: 0.1
    },
    "triplet": {
        "kind": "batch_hard",  # or weighted_regularized, without a margin, which is not the paper's
        "metric": "cosine",  # cosine or euclidean
        "margin": 1.0,  # JSIA, Euclidean: 0.3
        "negatives": "other",  # other, or generated as equations 14 and 15 are printed
        "gan_half": True,  # equation 14's half
    },
    "identity_reduce": "mean",  # over generated and infrared images, or the sum of their means
    "embedding": 256,  # numbers, for the triplets
    "classifier": {
        "width": 256,
        "dropout": 0.5,
        "dropout_place": "bottleneck",  # bottleneck or input
        "activation": "relu",  # relu or leaky_relu
    },
    "generator": {"width": 64, "residual_blocks": 4},
    "discriminator": {"width": 64, "stages": 5},
}


def get_config(argument: str = "sysu_mm01") -> Config:
    """PFANet on a dataset: `sysu_mm01`, `regdb,trial=3`, `llcm`, `folder`, `synthetic`, ..."""
    config = defaults(argument)
    del config.triplet, config.pooling
    config.update(method="pfanet", pfanet=METHOD, weights="imagenet")
    config.update(checkpoint_every_epochs=10)
    config.batch.update(sampler="uniform", identities=9, images=4)
    config.image.update(size=(128, 128), padding=0)  # mirrored, nothing else
    config.backbone.update(split_stages=0, non_local=(0, 0, 0, 0))
    config.backbone.update(BACKBONE)
    config.optimizer.update(learning_rate=0.2, warmup_epochs=0)
    for player in (config.pfanet.generator, config.pfanet.discriminator):
        player.optimizer = config.optimizer.copy_and_resolve_references()
        player.optimizer.update(kind="adam", learning_rate=2e-4, betas=(0.5, 0.999))
        player.optimizer.update(weight_decay=0.0, lr_multipliers=())
    config.evaluation.update(every_epochs=20, flip=True)
    _set_lengths(config, STEPS, FALL)
    scale = scale_down(config, argument)
    if scale:
        _scale_down(config, scale)
    return config


def _set_lengths(config: Config, steps: dict[str, int], fall: int) -> None:
    """Converts the steps of each phase to whole epochs; an epoch has each identity once."""
    # The identities of a folder are counted only when it is read. For a folder of few people, give
    # --config.epochs and warm_ups.
    identities = config.data.identities or 395
    epoch = max(1, identities // config.batch.identities)
    features = round(steps["features"] / epoch)
    generation = features + round(steps["generation"] / epoch)
    config.pfanet.warm_ups.update(features=features, generation=generation)
    config.epochs = generation + round(steps["joint"] / epoch)
    for player in (config, config.pfanet.generator, config.pfanet.discriminator):
        player.optimizer.milestones = (generation + round(fall / epoch),)


def _scale_down(config: Config, scale: str) -> None:
    tiny = scale == "tiny"
    config.batch.identities = min(8, config.batch.identities)
    config.image.update(size=(32, 16) if tiny else (64, 32), padding=0)
    config.pfanet.reid_size = (32, 16) if tiny else (96, 48)
    config.pfanet.generator.update(width=4 if tiny else 8, residual_blocks=1 if tiny else 2)
    config.pfanet.discriminator.update(width=4 if tiny else 16, stages=4)
    # F judges generated images by the statistics of their batch. Those of few people differ from
    # the statistics by which F learns.
    config.pfanet.update(gan_identities=0, gan_images=1)
    # From random weights and in few steps, the paper's rate is too low for the generators, F hardly
    # learns with the paper's optimizer and dropout, and the cosine distance makes all embeddings
    # equal.
    for player in (config.pfanet.generator, config.pfanet.discriminator):
        player.optimizer.learning_rate = 1e-3
    config.optimizer.update(kind="adam", learning_rate=1e-3, lr_multipliers=())
    config.pfanet.classifier.dropout = 0.0
    config.pfanet.triplet.update(metric="euclidean", margin=0.3)
    if not tiny:
        # From random weights, batch-hard triplet losses stay at their margin to the end.
        config.pfanet.triplet.kind = "weighted_regularized"
    config.backbone.bng.reduction = config.backbone.mmm.reduction = 4
    config.evaluation.every_epochs = 1 if tiny else 20
    config.checkpoint_every_epochs = 1 if tiny else 10
    if scale == "long":  # the phases' shares are those of the small scale
        config.optimizer.learning_rate = 2e-3  # chosen by experiments.rates
        features, generation = (round(share * config.epochs) for share in (3 / 11, 6 / 11))
        config.pfanet.warm_ups.update(features=features, generation=generation)
        joint = config.epochs - generation
        falls = tuple(generation + round(share * joint) for share in (0.7, 0.9))
        for player in (config, config.pfanet.generator, config.pfanet.discriminator):
            player.optimizer.milestones = falls
        return
    config.optimizer.warmup_epochs = 0
    lengths = {"features": 300, "generation": 300, "joint": 500}
    if tiny:
        lengths = {"features": 2, "generation": 2, "joint": 4}
    _set_lengths(config, lengths, fall=lengths["joint"] * 4 // 5)
