"""The building blocks of methods: linen modules that do not depend on identities or losses."""

from jreid.nn.attention import NonLocal
from jreid.nn.gan import Generator, ImageDiscriminator, JointDiscriminator
from jreid.nn.gradient_reversal import reverse_gradient
from jreid.nn.heads import BatchNormNeck, Classifier, FeatureClassifier
from jreid.nn.modality_generator import ModalityGenerator
from jreid.nn.normalization import BatchNorm, InstanceBatchNorm, instance_norm
from jreid.nn.parts import PartClassifier, Parts
from jreid.nn.pooling import generalized_mean, global_average, global_max
from jreid.nn.pyramid import Pyramid
from jreid.nn.region_response import RegionResponse
from jreid.nn.resize import resize
from jreid.nn.resnet import ResNet
from jreid.nn.torch_layout import Layout, resnet_renames

__all__ = [
    "BatchNorm",
    "BatchNormNeck",
    "Classifier",
    "FeatureClassifier",
    "Generator",
    "ImageDiscriminator",
    "InstanceBatchNorm",
    "JointDiscriminator",
    "Layout",
    "ModalityGenerator",
    "NonLocal",
    "PartClassifier",
    "Parts",
    "Pyramid",
    "RegionResponse",
    "ResNet",
    "generalized_mean",
    "global_average",
    "global_max",
    "instance_norm",
    "resize",
    "resnet_renames",
    "reverse_gradient",
]
