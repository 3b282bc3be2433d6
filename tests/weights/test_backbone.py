import argparse
import logging
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from jreid.errors import InputError
from jreid.methods.pfanet.network import backbone
from jreid.nn import ResNet
from jreid.weights.backbone import load_backbone


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
    loaded, kept = load_backbone(variables_of(ResNet(18, 8)), file)
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
    loaded, _ = load_backbone(variables_of(ResNet(18, 8, split_stages=2)), file)
    for collection in ("params", "batch_stats"):
        backbone = loaded[collection]["backbone"]
        jax.tree.map(np.testing.assert_array_equal, backbone["visible"], backbone["infrared"])
    assert untouched(loaded) == {"params/classifier/kernel"}


def test_what_imagenet_has_not_is_kept_and_named(file):
    variables = variables_of(ResNet(18, 8, non_local=(0, 1, 0, 0), ibn=True))
    loaded, kept = load_backbone(variables, file)
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
    loaded, kept = load_backbone(variables_of(net), file)
    assert untouched(loaded) == {"params/classifier/kernel", *kept}
    modules = {part for path in kept for part in path.split("/") if part.endswith(("bng", "mmm"))}
    bng = {f"layer{stage}_bng" for stage in (1, 2, 3, 4)} if place == "stage" else {"bng"}
    assert modules == {"layer3_mmm", "layer4_mmm"} | bng


def test_ibn_takes_the_second_half_or_its_own_entries(tmp_path, file):
    variables = variables_of(ResNet(18, 8, ibn=True))
    entries = imagenet_entries()
    loaded, _ = load_backbone(variables, file)
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
    loaded, kept = load_backbone(variables, str(tmp_path / "resnet18_ibn_a.safetensors"))
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
        load_backbone(variables_of(net), file)


def test_a_network_without_a_backbone_is_refused(file):
    with pytest.raises(InputError, match=r"no scope `backbone`; give --config\.weights=none"):
        load_backbone({"params": {"encoder": {}}}, file)


def test_a_deeper_file_is_refused(file, tmp_path):
    entries = imagenet_entries() | {"layer3.2.conv1.weight": np.ones((32, 32, 3, 3), np.float32)}
    save_file(entries, tmp_path / "deeper.safetensors")
    with pytest.raises(InputError, match=r"unknown here \(layer3.2.conv1.weight\)"):
        load_backbone(variables_of(ResNet(18, 8)), str(tmp_path / "deeper.safetensors"))


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="reading pickles: torch is not installed")


def prefixed(entries, prefix):
    return {prefix + name: value for name, value in entries.items()}


def conv1_of(variables):
    return variables["params"]["backbone"]["shared"]["conv1"]["kernel"]


def loaded_conv1(path):
    """The first kernel in our order of axes, as a plain ResNet takes it from the file."""
    loaded, kept = load_backbone(variables_of(ResNet(18, 8)), str(path))
    assert kept == []
    return conv1_of(loaded)


def expected_conv1():
    return imagenet_entries()["conv1.weight"].transpose(2, 3, 1, 0)


@pytest.mark.parametrize("prefix", ["encoder_q.", "backbone.", "base.", "module.encoder."])
def test_a_resnet_in_a_larger_network_is_found(tmp_path, prefix, caplog):
    caplog.set_level(logging.INFO)
    file = tmp_path / "a.safetensors"
    save_file(prefixed(imagenet_entries(), prefix), file)
    np.testing.assert_array_equal(loaded_conv1(file), expected_conv1())
    below = prefix.removeprefix("module.")
    assert f"below '{below}' are taken" in caplog.text and not re.search(
        "LUPerson|CION", caplog.text
    )


def test_the_query_encoder_of_moco_is_taken(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    query = imagenet_entries()
    query["fc.0.weight"], query["fc.2.weight"] = query.pop("fc.weight"), query.pop("fc.bias")
    key = {name: np.zeros_like(value) for name, value in query.items()}
    queue = {"queue": np.ones((4, 6), np.float32), "queue_ptr": np.array([3])}
    entries = prefixed(key, "encoder_k.") | prefixed(query, "encoder_q.") | queue
    save_file(prefixed(entries, "module."), tmp_path / "lup.safetensors")
    np.testing.assert_array_equal(loaded_conv1(tmp_path / "lup.safetensors"), expected_conv1())
    assert "(encoder_k., queue, queue_ptr)" in caplog.text
    assert "LUPerson's are for research only" in caplog.text


def test_the_teacher_is_taken_and_a_script_s_arguments_are_not(torch, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    entries = {name: torch.from_numpy(value) for name, value in imagenet_entries().items()}
    del entries["fc.weight"], entries["fc.bias"]
    teacher = prefixed(entries, "module.backbone.") | {"module.head.mlp.0.weight": torch.ones(2, 2)}
    saved = {
        "student": {name: torch.zeros_like(value) for name, value in teacher.items()},
        "teacher": teacher,
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{}]},
        "args": argparse.Namespace(arch="resnet18", lr=0.1),
        "epoch": 3,
    }
    torch.save(saved, tmp_path / "cion.pth")
    np.testing.assert_array_equal(loaded_conv1(tmp_path / "cion.pth"), expected_conv1())
    assert "1 others are not (head.)" in caplog.text and "CION" in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["fc.weight", "fc.bias"], r"no conv1\.weight, and its names begin with fc\.;"),
        (["encoder_q.fc.weight", "queue"], r"begin with encoder_q\., queue;"),
        (["visible_module.visible.conv1.weight"], r"visible_module\..*`jreid import`"),
        (["encode1.weight", "decode.weight"], "a checkpoint of MMN"),
        (["DEE.FC11.weight", "MFA1.CNL.g.weight"], "a checkpoint of DEEN or YYDS"),
    ],
)
def test_a_file_without_a_resnet_is_refused(tmp_path, names, message):
    save_file(dict.fromkeys(names, np.ones((2, 2), np.float32)), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=message):
        load_backbone(variables_of(ResNet(18, 8)), str(tmp_path / "a.safetensors"))


def test_a_part_of_a_resnet_is_refused_with_its_prefix(tmp_path):
    entries = {n: v for n, v in imagenet_entries().items() if not n.startswith("layer4")}
    save_file(prefixed(entries, "encoder_q."), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"below 'encoder_q\.'.* missing \(layer4\.0"):
        load_backbone(variables_of(ResNet(18, 8)), str(tmp_path / "a.safetensors"))


def test_kinds_of_ibn_that_do_not_fit(tmp_path, file, caplog):
    caplog.set_level(logging.INFO)
    norm = {"weight": np.ones(4, np.float32), "bias": np.ones(4, np.float32)}
    for kind, place, message in (
        ("a", "layer1.0.bn1.IN.", r"IBN-a.*--config\.backbone\.ibn=True"),
        ("b", "layer1.1.IN.", "IBN-b"),
    ):
        save_file(imagenet_entries() | prefixed(norm, place), tmp_path / f"{kind}.safetensors")
        with pytest.raises(InputError, match=message):
            load_backbone(variables_of(ResNet(18, 8)), str(tmp_path / f"{kind}.safetensors"))
    load_backbone(variables_of(ResNet(18, 8, ibn=True)), file)
    assert "a plain ResNet for a backbone with IBN-a" in caplog.text
