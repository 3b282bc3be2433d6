"""The published checkpoint of IDKL: every entry has its place, and it embeds as PyTorch does."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers.batches import random_batch
from helpers.entries import listed
from helpers.idkl import config_of
from helpers.variables import shapes

from jreid.errors import InputError
from jreid.methods import load
from jreid.methods.idkl.network import Network
from jreid.weights.torch import convert


def released_network(torch, width, identities=None):
    """The released network with its published names, and its two test embeddings."""
    from helpers import torch_reference
    from torch import nn

    channels = 32 * width

    def resnet():
        return torch_reference.ResNet((3, 4, 6, 3), torch_reference.BOTTLENECK, width)

    def mask():
        squeeze = nn.Conv2d(channels, channels // 16, 1, bias=False)
        excite = nn.Conv2d(channels // 16, channels, 1, bias=False)
        layers = nn.Sequential(squeeze, nn.ReLU(), excite, nn.Sigmoid())
        return nn.ModuleDict({"channel_attention": layers})

    def holder(name):
        return nn.ModuleDict({name: resnet()})

    backbone = nn.ModuleDict(
        {
            "shared_module_fr": holder("model_sh_fr"),
            "shared_module_bh": holder("model_sh_bh"),
            "special": holder("special_module"),
            "IN": nn.InstanceNorm2d(channels, affine=True, track_running_stats=True),
            "special_att": mask(),
            "mask1": mask(),
            "mask2": mask(),
        }
    )
    parts: dict[str, Any] = {"backbone": backbone}
    parts |= {name: nn.BatchNorm1d(channels) for name in ("bn_neck", "bn_neck_sp")}
    if identities:
        parts["classifier_sp"] = nn.Linear(channels, identities, bias=False)

    def pooled(x):
        return (x.clamp(min=1e-6) ** 3).mean((2, 3)) ** (1 / 3)

    def part(resnet, x, stages):
        for stage in stages:
            for block in resnet.get_submodule(f"layer{stage}"):
                x = block(x)
        return x

    def embed(x):
        trunk = backbone["shared_module_fr"]["model_sh_fr"]
        x = part(trunk, trunk.stem(x), (1, 2))
        shared = part(backbone["shared_module_bh"]["model_sh_bh"], x, (3, 4))
        special = part(backbone["special"]["special_module"], x, (3, 4))
        normalized = backbone["IN"](special)
        m_r = backbone["mask1"]["channel_attention"](normalized)
        m_e = backbone["mask2"]["channel_attention"](special)
        purified = m_r * (m_e * special) + m_e * (m_r * normalized)
        return parts["bn_neck"](pooled(shared)), parts["bn_neck_sp"](pooled(purified))

    return nn.ModuleDict(parts), embed


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")


def test_every_published_entry_has_its_place(torch):
    with torch.device("meta"):
        state = released_network(torch, 64)[0].state_dict()
    published = Path(__file__).with_name("published_entries.txt")
    assert listed(state) == published.read_text().splitlines()
    zeros = {name: np.broadcast_to(np.float32(0), tuple(v.shape)) for name, v in state.items()}
    config = config_of("code", data="sysu_mm01")
    method = load(config)
    got = convert(zeros, shapes(method), method.torch_layout)
    heads = {"shared_classifier", "specific_classifier", "entropy_classifier"}
    heads |= {"discriminators_neck", "confusers_neck"}
    for name, tree in got["params"].items():
        for leaf in jax.tree.leaves(tree):  # what the file lacks is still only a shape
            assert isinstance(leaf, jax.ShapeDtypeStruct) is (name in heads), name
    paper = load(config_of("paper", data="sysu_mm01"))
    with pytest.raises(InputError, match=r"backbone\.IN\."):
        convert(zeros, shapes(paper), paper.torch_layout)


@pytest.mark.slow
def test_a_published_checkpoint_embeds_as_pytorch_does(torch):
    from helpers import torch_reference

    network, embed = released_network(torch, width=8, identities=10)
    torch_reference.randomize(network).eval()
    flags = ("weights=none", "backbone.width=8", "data.identities=10")
    config = config_of("code", *flags, data="sysu_mm01")
    method = load(config)
    entries = torch_reference.arrays(network)
    variables = convert(entries, shapes(method), method.torch_layout)
    classifier = variables["params"]["specific_classifier"]["kernel"]
    np.testing.assert_array_equal(classifier, entries["classifier_sp.weight"].T)
    present = jax.tree.map(
        lambda x: np.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else x,
        variables,
    )
    images = random_batch(2, (96, 48))["visible"]
    with torch.no_grad():
        expected = [x.numpy() for x in embed(torch_reference.to_nchw(images))]
    apply: Any = Network(config).apply
    run = jax.jit(lambda v, x: apply(v, {"infrared": x}, train=False))
    out = run(present, images)
    for reading, theirs in zip((out.shared, out.specific), expected, strict=True):
        assert theirs.shape == (2, 256)
        assert 0.1 < np.abs(theirs).max() < 100
        np.testing.assert_allclose(reading.embedding, theirs, atol=1e-4)
