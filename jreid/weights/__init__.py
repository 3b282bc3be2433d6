"""Reads the parameters of other implementations and renames them to ours."""

from jreid.weights.backbone import load_backbone
from jreid.weights.checkpoint_file import read_checkpoint
from jreid.weights.torch import convert

__all__ = ["convert", "load_backbone", "read_checkpoint"]
