import sys
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from jreid.errors import InputError
from jreid.methods.pfanet.network import backbone
from jreid.nn import ResNet
from jreid.weights.imagenet import HUB_REVISION, load_imagenet


def variables_of(net):
    """A method's variables: a backbone that starts from -1, and a classifier."""
    images = {name: jnp.zeros((1, 32, 32, 3)) for name in net.modalities}
    shapes = jax.eval_shape(lambda key: net.init(key, images, True), jax.random.key(0))
    start = jax.tree.map(lambda leaf: np.full(leaf.shape, -1, np.float32), shapes)
    classifier = {"classifier": {"kernel": np.full((4, 2), -1, np.float32)}}
    params = {"backbone": start["params"]} | classifier
    return {"params": params, "batch_stats": {"backbone": start["batch_stats"]}}


def imagenet_entries(width=8):
    """Entries named and shaped as torchvision's ResNet-18, each with values of its own."""
    rng = np.random.default_rng(0)
    entries = {}

    def conv(name, inputs, outputs, size):
        entries[f"{name}.weight"] = rng.normal(size=(outputs, inputs, size, size))

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            entries[f"{name}.{part}"] = rng.normal(size=channels)
        entries[f"{name}.num_batches_tracked"] = np.array(5)

    conv("conv1", 3, width, 7)
    norm("bn1", width)
    inputs = width
    for stage in (1, 2, 3, 4):
        planes = width * 2 ** (stage - 1)
        for i in (0, 1):
            block = f"layer{stage}.{i}"
            conv(f"{block}.conv1", inputs, planes, 3)
            norm(f"{block}.bn1", planes)
            conv(f"{block}.conv2", planes, planes, 3)
            norm(f"{block}.bn2", planes)
            if inputs != planes:
                conv(f"{block}.downsample.0", inputs, planes, 1)
                norm(f"{block}.downsample.1", planes)
            inputs = planes
    entries |= {"fc.weight": rng.normal(size=(10, inputs)), "fc.bias": rng.normal(size=10)}
    return {n: v.astype(np.float32) if v.ndim else v for n, v in entries.items()}


@pytest.fixture
def file(tmp_path):
    save_file(imagenet_entries(), tmp_path / "resnet18.safetensors")
    return str(tmp_path / "resnet18.safetensors")


def untouched(variables):
    """Paths of the arrays that still have no value but -1."""
    flat = flatten_dict(variables, sep="/")
    return {path for path, value in flat.items() if np.all(np.asarray(value) == -1)}


def test_every_array_of_the_trunk_is_filled_and_nothing_else(file):
    loaded, kept = load_imagenet(variables_of(ResNet(18, 8)), file)
    assert kept == []
    assert untouched(loaded) == {"params/classifier/kernel"}
    entries = imagenet_entries()
    stages = loaded["params"]["backbone"]["shared"]
    np.testing.assert_array_equal(
        stages["layer2_0"]["downsample_0"]["kernel"][0, 0],
        entries["layer2.0.downsample.0.weight"][:, :, 0, 0].T,
    )
    np.testing.assert_array_equal(
        loaded["batch_stats"]["backbone"]["shared"]["layer4_1"]["bn2"]["var"],
        entries["layer4.1.bn2.running_var"],
    )


def test_every_modality_starts_from_the_same_stem(file):
    loaded, _ = load_imagenet(variables_of(ResNet(18, 8, split_stages=2)), file)
    for collection in ("params", "batch_stats"):
        backbone = loaded[collection]["backbone"]
        jax.tree.map(np.testing.assert_array_equal, backbone["visible"], backbone["infrared"])
    assert untouched(loaded) == {"params/classifier/kernel"}


def test_what_imagenet_has_not_is_kept_and_named(file):
    variables = variables_of(ResNet(18, 8, non_local=(0, 1, 0, 0), ibn=True))
    loaded, kept = load_imagenet(variables, file)
    assert untouched(loaded) == {"params/classifier/kernel", *kept}
    assert {path.split("/")[3] for path in kept if "non_local" in path} == {"layer2_non_local_0"}
    instance = [path for path in kept if "/IN/" in path]
    assert len(instance) == 2 * 6  # scale and bias in the blocks of layer1 to layer3
    assert len(kept) == len(instance) + 10 + 2  # the non-local block, and its two statistics


@pytest.mark.parametrize("place", ["stage", "block"])
def test_bng_and_mmm_are_kept(file, place):
    options = {"attention": "bng", "bng": {"place": place, "reduction": 4}}
    options |= {"normalization": "mmm", "mmm": {"stages": (3, 4), "reduction": 4}}
    net = backbone({"depth": 18, "width": 8, **options}, ("visible", "infrared"), jnp.float32)
    loaded, kept = load_imagenet(variables_of(net), file)
    assert untouched(loaded) == {"params/classifier/kernel", *kept}
    modules = {part for path in kept for part in path.split("/") if part.endswith(("bng", "mmm"))}
    bng = {f"layer{stage}_bng" for stage in (1, 2, 3, 4)} if place == "stage" else {"bng"}
    assert modules == {"layer3_mmm", "layer4_mmm"} | bng


def test_ibn_takes_the_second_half_or_its_own_entries(tmp_path, file):
    variables = variables_of(ResNet(18, 8, ibn=True))
    entries = imagenet_entries()
    loaded, _ = load_imagenet(variables, file)
    norm = loaded["batch_stats"]["backbone"]["shared"]["layer1_0"]["bn1"]["BN"]
    np.testing.assert_array_equal(norm["mean"], entries["layer1.0.bn1.running_mean"][4:])

    for name in [
        n for n in entries if n.startswith(("layer1", "layer2", "layer3")) and ".bn1." in n
    ]:
        whole, (scope, part) = entries.pop(name), name.split(".bn1.")
        if whole.ndim:
            half = len(whole) // 2
            entries[f"{scope}.bn1.BN.{part}"] = whole[:half] * 3
            if not part.startswith("running"):
                entries[f"{scope}.bn1.IN.{part}"] = whole[:half]
    save_file(entries, tmp_path / "resnet18_ibn_a.safetensors")
    loaded, kept = load_imagenet(variables, str(tmp_path / "resnet18_ibn_a.safetensors"))
    assert kept == []
    np.testing.assert_array_equal(
        loaded["params"]["backbone"]["shared"]["layer3_1"]["bn1"]["IN"]["scale"],
        imagenet_entries()["layer3.1.bn1.weight"][:16],
    )


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (ResNet(18, 16), r"of another shape .*conv1.weight: 8x3x7x7 in the file but 16x3x7x7 here"),
        (ResNet(34, 8), r"missing \(.*layer1.2"),
        (ResNet(50, 8), r"conv1.weight: 8x8x3x3 in the file but 8x8x1x1 here"),
    ],
)
def test_files_of_another_network_are_refused(file, net, message):
    with pytest.raises(InputError, match=message):
        load_imagenet(variables_of(net), file)


def test_a_deeper_file_is_refused(file, tmp_path):
    entries = imagenet_entries() | {"layer3.2.conv1.weight": np.ones((32, 32, 3, 3), np.float32)}
    save_file(entries, tmp_path / "deeper.safetensors")
    with pytest.raises(InputError, match=r"unknown here \(layer3.2.conv1.weight\)"):
        load_imagenet(variables_of(ResNet(18, 8)), str(tmp_path / "deeper.safetensors"))


def test_without_huggingface_hub_the_remedies_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError) as caught:
        load_imagenet(variables_of(ResNet(18, 8)), "imagenet")
    for remedy in ("pip install huggingface_hub", "--config.weights=PATH", "--config.weights=none"):
        assert remedy in str(caught.value)


class Hub(SimpleNamespace):
    """Stands for huggingface_hub: what is cached, whether there is a network, what was asked."""

    def __init__(self, cached, online, file):
        super().__init__(asked=[], cached=cached, online=online, file=file)

    def try_to_load_from_cache(self, repo_id, filename, revision):
        assert (repo_id, filename) == ("timm/resnet50.tv_in1k", "model.safetensors")
        assert revision == HUB_REVISION
        return self.file if self.cached else None

    def hf_hub_url(self, repo_id, filename, revision):
        return f"{repo_id}/{revision}/{filename}"

    def get_hf_file_metadata(self, url, timeout):
        self.asked.append("metadata")
        if not self.online:
            raise ConnectionError("no network")

    def hf_hub_download(self, repo_id, filename, revision):
        self.asked.append("download")
        return self.file


@pytest.mark.parametrize(
    ("cached", "online", "asked"),
    [(True, False, []), (True, True, []), (False, True, ["metadata", "download"])],
)
def test_imagenet_comes_from_the_cache_or_the_hub(monkeypatch, file, cached, online, asked):
    hub = Hub(cached, online, file)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    loaded, _ = load_imagenet(variables_of(ResNet(18, 8)), "imagenet")
    assert untouched(loaded) == {"params/classifier/kernel"}
    assert hub.asked == asked


@pytest.mark.fault("F24")
def test_without_a_network_one_question_is_asked(monkeypatch, file):
    hub = Hub(cached=False, online=False, file=file)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(InputError, match=r"--config.weights=PATH.*--config.weights=none"):
        load_imagenet(variables_of(ResNet(18, 8)), "imagenet")
    assert hub.asked == ["metadata"]


@pytest.mark.fault("F24")
def test_the_real_hub_is_given_up_within_seconds(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    monkeypatch.setattr(hub, "hf_hub_url", lambda **_: "https://jreid.invalid/model.safetensors")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda **_: None)
    start = time.monotonic()
    with pytest.raises(InputError, match="cannot be fetched"):
        load_imagenet(variables_of(ResNet(18, 8)), "imagenet")
    assert time.monotonic() - start < 10
