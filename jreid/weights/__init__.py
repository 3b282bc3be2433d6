"""Reads the parameters of other implementations and renames them to ours."""

from jreid.weights.checkpoint_file import read_checkpoint
from jreid.weights.imagenet import load_imagenet
from jreid.weights.torch import convert

__all__ = ["convert", "load_imagenet", "read_checkpoint"]
