import json
import os
import pickle
import zipfile
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.entries import listed
from helpers.paths import ROOT
from jaxtyping import Array
from safetensors.numpy import save_file

from jreid.config import load as load_config
from jreid.errors import InputError
from jreid.methods import load
from jreid.nn import BatchNormNeck, Layout
from jreid.weights import checkpoint_file
from jreid.weights.checkpoint_file import read_checkpoint
from jreid.weights.torch import convert


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="reading pickles: torch is not installed")


def agw(width=8, identities=7):
    """The method as it ships, and the shapes of its variables."""
    flags = [f"--config.backbone.width={width}", f"--config.data.identities={identities}"]
    method = load(load_config(f"{ROOT}/configs/agw.py:sysu_mm01", flags))
    images = jnp.zeros((1, 64, 32, 3))
    batch = {"visible": images, "infrared": images, "identity": jnp.zeros(1, jnp.int32)}
    return method, jax.eval_shape(method.init, jax.random.key(0), batch)


class Small(nn.Module):
    """A convolution, a normalization and a classifier."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = nn.Conv(3, (2, 2), use_bias=False, name="conv")(x)
        x = BatchNormNeck(name="neck")(x, False)
        return nn.Dense(4, name="classifier")(x)


def small_entries():
    rng = np.random.default_rng(0)
    shapes = {
        "conv.weight": (3, 5, 2, 2),
        "bottleneck.weight": (3,),
        "bottleneck.bias": (3,),
        "bottleneck.running_mean": (3,),
        "bottleneck.running_var": (3,),
        "classifier.weight": (4, 3),
        "classifier.bias": (4,),
    }
    return {name: rng.uniform(1, 2, shape).astype(np.float32) for name, shape in shapes.items()}


def small_variables():
    return Small().init(jax.random.key(0), jnp.zeros((1, 4, 4, 5)))


SMALL = Layout((("^neck/", "bottleneck/"),), unused=(r"old\.",))


def test_every_array_is_filled_in_our_order_of_axes():
    entries = small_entries()
    extra = {"old.weight": np.ones(1), "neck.num_batches_tracked": np.array(3)}
    got = convert(entries | extra, small_variables(), SMALL)
    conv = got["params"]["conv"]["kernel"]
    assert conv.shape == (2, 2, 5, 3)
    assert conv[1, 0, 4, 2] == entries["conv.weight"][2, 4, 1, 0]
    np.testing.assert_array_equal(
        got["params"]["classifier"]["kernel"], entries["classifier.weight"].T
    )
    np.testing.assert_array_equal(got["params"]["neck"]["scale"], entries["bottleneck.weight"])
    statistics = {"bias": "bias", "mean": "running_mean", "var": "running_var"}
    for ours, theirs in statistics.items():
        np.testing.assert_array_equal(
            got["batch_stats"]["neck"][ours], entries[f"bottleneck.{theirs}"]
        )
    assert jax.tree.structure(got) == jax.tree.structure(small_variables())


def test_misfits_are_named_with_shapes_in_one_message():
    entries = small_entries()
    del entries["bottleneck.running_var"]
    entries["conv.weight"] = np.ones((3, 5, 1, 1), np.float32)
    entries["classifier.weight"] = np.ones((9, 3), np.float32)
    entries["bottleneck.bias"][1] = np.nan
    entries |= {f"fc{i}.weight": np.ones(1, np.float32) for i in range(8)}
    with pytest.raises(InputError) as caught:
        convert(entries, small_variables(), SMALL)
    message = str(caught.value)
    for part in (
        "1 missing (bottleneck.running_var)",
        "2 of another shape",
        "conv.weight: 3x5x1x1 in the file but 3x5x2x2 here",
        "classifier.weight: 9x3 in the file but 4x3 here (set config.data.identities)",
        "1 not finite numbers (bottleneck.bias)",
        "8 unknown here (fc0.weight, fc1.weight, fc2.weight, fc3.weight, fc4.weight, ...)",
    ):
        assert part in message


def test_numbers_too_large_for_float32_are_refused(tmp_path):
    entries = small_entries()
    entries["classifier.bias"] = np.array([1e300, 0, 0, 0])
    save_file(entries, tmp_path / "large.safetensors")
    with pytest.raises(InputError, match=r"not finite numbers \(classifier.bias\)"):
        convert(read_checkpoint(tmp_path / "large.safetensors"), small_variables(), SMALL)


def test_a_matrix_takes_a_1x1_convolution():
    variables = {"params": {"g": {"kernel": np.zeros((3, 2), np.float32)}}}
    weight = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1)
    got = convert({"g.weight": weight}, variables, Layout(()))
    np.testing.assert_array_equal(got["params"]["g"]["kernel"], weight[:, :, 0, 0].T)


def test_reference_has_exactly_the_public_agw_entries(reference):
    with reference.torch.device("meta"):
        state = reference.AGW(395).state_dict()
    published = Path(__file__).with_name("published_agw_entries.txt")
    assert listed(state) == published.read_text().splitlines()


def test_full_agw_takes_every_public_entry(reference):
    with reference.torch.device("meta"):
        state = reference.AGW(395).state_dict()
    zeros = {name: np.broadcast_to(np.float32(0), tuple(v.shape)) for name, v in state.items()}
    method, variables = agw(width=64, identities=395)
    leaves = jax.tree.leaves(convert(zeros, variables, method.torch_layout)["params"])
    trunk_and_stems = 23_508_032 + 9_536
    assert sum(leaf.size for leaf in leaves) == trunk_and_stems + 28_687 + 2048 + 395 * 2048


@pytest.mark.parametrize("modality", ["visible", "infrared"])
def test_agw_embeds_as_torch_does(reference, tmp_path, modality):
    theirs = reference.randomize(reference.AGW(7, width=8)).eval()
    saved = {"net": theirs.state_dict(), "mAP": np.float64(0.4), "cmc": np.ones(3), "epoch": 2}
    reference.torch.save(saved, tmp_path / "agw.t")
    method, variables = agw()
    variables = convert(read_checkpoint(tmp_path / "agw.t"), variables, method.torch_layout)
    images = np.random.default_rng(0).normal(size=(2, 64, 32, 3)).astype(np.float32)
    got = method.embed(variables, jnp.asarray(images), modality)
    want = theirs.embed(reference.to_nchw(images), modality).detach().numpy()
    np.testing.assert_allclose(got, want, atol=1e-5 * abs(want).max())


def test_state_dicts_are_found_in_what_scripts_save(torch, tmp_path):
    values = {"module.a.weight": torch.ones(2, 3), "module.b": torch.zeros(2, dtype=torch.bfloat16)}
    parameters = {name: torch.nn.Parameter(value) for name, value in values.items()}
    saves = {
        "flat.pth": values,
        "nested.pt": {"state_dict": {"model": parameters}, "epoch": 3},
        "accuracy.t": {"net": values, "mAP": np.float32(0.5), "cmc": np.arange(4), "best": 0.3},
    }
    for legacy in (False, True):
        for name, saved in saves.items():
            torch.save(saved, tmp_path / name, _use_new_zipfile_serialization=not legacy)
            got = read_checkpoint(tmp_path / name)
            assert {n: v.dtype.name for n, v in got.items()} == {
                "a.weight": "float32",
                "b": "float32",
            }
            np.testing.assert_array_equal(got["a.weight"], np.ones((2, 3)))


def test_bfloat16_safetensors_are_widened(torch, tmp_path):
    from safetensors.torch import save_file as save_torch

    save_torch({"a": torch.full((2,), 1.5, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    got = read_checkpoint(tmp_path / "a.safetensors")["a"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [1.5, 1.5])


class Hostile:
    """Makes a directory when it is unpickled in earnest."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.fault("F10")
def test_hostile_pickles_are_refused_and_do_nothing(torch, tmp_path):
    trap = str(tmp_path / "trap")
    for saved in (
        Hostile(trap),
        {"net": {"a": Hostile(trap)}},
        {"a": torch.ones(1), "b": Hostile(trap)},
    ):
        torch.save(saved, tmp_path / "hostile.pth")
        with pytest.raises(InputError, match=r"would run .*mkdir"):
            read_checkpoint(tmp_path / "hostile.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Hostile(trap), protocol=2))
    with pytest.raises(InputError, match="refused"):
        read_checkpoint(tmp_path / "plain.pth")
    assert not os.path.exists(trap)


@pytest.mark.parametrize("saved", [[1, 2], {"lr": 0.1}, {3: 4}, "text"])
def test_pickles_without_a_state_dict_are_refused(torch, tmp_path, saved):
    torch.save(saved, tmp_path / "other.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        read_checkpoint(tmp_path / "other.pth")


@pytest.mark.fault("F10")
def test_broken_files_are_refused(torch, tmp_path):
    torch.save({"a": torch.ones(999)}, tmp_path / "whole.pth")
    save_file({"a": np.ones(999, np.float32)}, tmp_path / "whole.safetensors")
    for suffix in ("pth", "safetensors"):
        whole = (tmp_path / f"whole.{suffix}").read_bytes()
        broken = tmp_path / f"broken.{suffix}"
        for content in (b"", b"hello", whole[:500], whole[:-9]):
            broken.write_bytes(content)
            with pytest.raises(InputError, match=str(broken)):
                read_checkpoint(broken)
        broken.write_bytes(b"\n<!DOCTYPE html><title>Sign in</title>")
        with pytest.raises(InputError, match="HTML page"):
            read_checkpoint(broken)


def test_paths_that_are_no_checkpoint_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_checkpoint(tmp_path / "missing.pth")
    with pytest.raises(InputError, match="is a folder"):
        read_checkpoint(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="safetensors"):
        read_checkpoint(tmp_path / "notes.txt")


def test_a_pickle_without_torch_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    (tmp_path / "a.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r'pip install "jreid\[torch\]"'):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.fault("A12")
@pytest.mark.parametrize("version", ["2.9.1+cu118", "1.13.0", "2.4.0a0+git", "unknown"])
def test_a_torch_that_unpickles_unsafely_is_refused(torch, tmp_path, monkeypatch, version):
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pth")
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(InputError, match=r"a\.pth is not read by PyTorch .* 2\.10 or newer"):
        read_checkpoint(tmp_path / "a.pth")
    for version in ("2.10.0", "2.13.0+cpu", "3.0"):
        checkpoint_file._require_new_torch(tmp_path, version)


@pytest.mark.fault("C4")
@pytest.mark.parametrize(
    "wrap",
    [
        lambda entries: {f"module.module.{name}": value for name, value in entries.items()},
        lambda entries: {f"_orig_mod.module.{name}": value for name, value in entries.items()},
        lambda entries: {f"module._orig_mod.{name}": value for name, value in entries.items()},
        lambda entries: {name.replace(".", "._orig_mod.", 1): v for name, v in entries.items()},
        lambda entries: {"model_state_dict": {"state_dict": entries}, "epoch": 3},
        lambda entries: {"model": {"net": entries}},
    ],
)
def test_wrappers_are_taken_off(torch, tmp_path, wrap):
    entries = {"a.weight": torch.ones(2), "b.weight": torch.zeros(2)}
    torch.save(wrap(entries), tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").keys() == entries.keys()


@pytest.mark.fault("C4")
def test_names_that_only_a_prefix_tells_apart_are_refused(tmp_path):
    one = np.ones(1, np.float32)
    save_file({"a._orig_mod.b": one, "a.b": one}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"'a\.b' twice"):
        read_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.fault("C4")
def test_the_content_says_what_a_file_is(torch, tmp_path):
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "a.pth")
    torch.save({"a": torch.ones(2)}, tmp_path / "b.safetensors")
    torch.save({"a": torch.ones(2)}, tmp_path / "c", _use_new_zipfile_serialization=False)
    for name in ("a.pth", "b.safetensors", "c"):
        np.testing.assert_array_equal(read_checkpoint(tmp_path / name)["a"], [1, 1])
    (tmp_path / "d.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1")
    with pytest.raises(InputError, match="Git LFS pointer"):
        read_checkpoint(tmp_path / "d.pth")


def raw_safetensors(path, dtype, content):
    header = {"a": {"dtype": dtype, "shape": [4], "data_offsets": [0, len(content)]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)


@pytest.mark.fault("C4")
@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "C64", "F8_E4M3FNUZ"])
def test_numbers_that_numpy_lacks_are_one_sentence(tmp_path, dtype):
    raw_safetensors(tmp_path / "a.safetensors", dtype, bytes(32 if dtype == "C64" else 4))
    with pytest.raises(InputError, match=rf"a\.safetensors: 'a' holds .* type {dtype},.*float32"):
        read_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.fault("C4")
def test_bfloat16_is_converted_exactly(tmp_path):
    values = np.array([1, -(2.0**-120), 3.140625, np.inf], np.float32)
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    raw_safetensors(tmp_path / "a.safetensors", "BF16", halves.tobytes())
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "a.safetensors")["a"], values)


@pytest.mark.fault("B7")
@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_contains_itself_ends(torch, tmp_path, legacy):
    saved = {"a": torch.ones(1)}
    saved["model"] = saved
    torch.save(saved, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(InputError, match="'model' is a dict"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.fault("B7")
def test_checkpoints_that_grow_without_bounds_are_refused(torch, tmp_path):
    torch.save({"a": torch.ones(1).expand(10**12)}, tmp_path / "strides.pth")
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
    for name in ("strides.pth", "bomb.pth"):
        with pytest.raises(InputError, match=r"would take [\d,]+ of memory"):
            read_checkpoint(tmp_path / name)
    tied = torch.zeros(10**4)
    torch.save({"a": tied, "b": tied, "c": tied}, tmp_path / "tied.pth")
    assert len(read_checkpoint(tmp_path / "tied.pth")) == 3


@pytest.mark.fault("B7")
@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(InputError, match="not a regular file"):
        read_checkpoint(tmp_path / "pipe.pth")


def published_agw(identities):
    """Entries with the names and shapes of AGW's public checkpoint, each of one value of its own.

    CAJ, PAMI23_Supervised and LLCM's AGW have the same network, for other numbers of people.
    """
    lines = Path(__file__).with_name("published_agw_entries.txt").read_text().splitlines()
    rng = np.random.default_rng(0)
    entries = {}
    for line in lines:
        name, _, shape = line.partition(" ")
        sizes = [int(size) for size in shape.split("x") if size]
        if name.startswith("classifier."):
            sizes[0] = identities
        entries[name] = np.broadcast_to(np.float32(rng.normal()), sizes)
    return entries


def test_checkpoints_of_methods_with_agw_s_network():
    entries = published_agw(identities=713)
    method, variables = agw(width=64, identities=713)
    params = convert(entries, variables, method.torch_layout)["params"]
    shared = params["backbone"]["shared"]
    for ours, theirs in (
        (params["backbone"]["infrared"]["conv1"], "thermal_module.thermal.conv1"),
        (shared["layer4_2"]["conv3"], "base_resnet.base.layer4.2.conv3"),
        (shared["layer3_non_local_1"]["theta"], "NL_3.1.theta"),
        (params["classifier"], "classifier"),
    ):
        assert np.all(ours["kernel"] == entries[f"{theirs}.weight"].flat[0])


@pytest.mark.parametrize(
    ("names", "method"),
    [
        (("encode1.weight", "decode.weight"), "MMN"),
        (("DEE.FC11.weight", "MFA1.CNL.g.weight"), "DEEN"),
    ],
)
def test_checkpoints_of_methods_that_jreid_lacks(names, method):
    entries = small_entries() | dict.fromkeys(names, np.ones(1, np.float32))
    with pytest.raises(InputError, match=rf"mine\.pth is of {method}"):
        convert(entries, small_variables(), SMALL, "mine.pth")
