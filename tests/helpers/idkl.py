"""Configs of IDKL's two variants."""

from helpers.paths import ROOT
from jreid.config import load as load_config

CONFIG = f"{ROOT}/configs/idkl.py"
VARIANTS = ("paper", "code")


def config_of(variant, *flags, data="tiny"):
    """By default with the weights of the code's own batch, which has more rows than these."""
    flags = ("idkl.follow_batch=False", *flags)
    return load_config(f"{CONFIG}:{data},variant={variant}", [f"--config.{f}" for f in flags])
