"""PFINet: its parts and counts, its losses, its options, and the published checkpoint."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict
from helpers.batches import random_batch
from helpers.paths import ROOT
from helpers.variables import count, filled, flat, shapes

from jreid.config import load as load_config
from jreid.distributed.mesh import make_mesh, replicated, split
from jreid.engine import optimizers
from jreid.engine.state import create
from jreid.engine.step import make_train_step
from jreid.errors import InputError
from jreid.losses import center_cluster, cross_entropy
from jreid.methods import load
from jreid.methods.pfinet import TORCH_LAYOUT, Network
from jreid.nn.colors import LUMA, to_unit
from jreid.weights.torch import convert, expected_leaves

CONFIG = f"{ROOT}/configs/pfinet.py"
COLOURS = "image.gray_visible=False"
RELEASED = ("backbone.ibn=True", "pfinet.add_raw_c4=True")


def config_of(*flags, data="tiny"):
    return load_config(f"{CONFIG}:{data}", [f"--config.{flag}" for flag in flags])


@functools.cache
def start(*flags) -> Any:
    """Random variables of the tiny network, filled without compiling its `init`."""
    return filled(shapes(load(config_of(*flags))), seed=3, gain=2)


def loss_of(*flags) -> Any:
    """`(loss, (metrics, model state)), gradients` from the start."""
    variables = start(*flags)
    function = jax.value_and_grad(load(config_of(*flags)).players[0].loss, has_aux=True)
    state = {"batch_stats": variables["batch_stats"]}
    rest = (random_batch(), jax.random.key(1), jnp.float32(0))
    return jax.jit(function)(variables["params"], state, *rest)


@functools.cache
def runner(*flags) -> Any:
    apply: Any = Network(config_of(*flags)).apply
    return jax.jit(lambda v, x: apply(v, x, train=False))


def forward(images, *flags, variables=None) -> Any:
    return runner(*flags)(start(*flags) if variables is None else variables, images)


@pytest.mark.parametrize(
    ("data", "flags", "expected"),
    [
        ("sysu_mm01", (), 41_556_804),
        ("sysu_mm01", RELEASED, 42_369_860),  # IBN-a has as many as its batch norm
        ("regdb,trial=3", (), 40_831_044),
        ("regdb,trial=3", RELEASED[1:], 41_257_028),
        ("sysu_mm01", ("pfinet.pyramid=none",), 24_321_088),
    ],
)
def test_parameters_of_the_published_networks(data, flags, expected):
    """The specification counts the neck's frozen bias, which is no parameter of ours."""
    variables = shapes(load(config_of(*flags, data=data)))
    params = variables["params"]
    assert count(params) + count(variables["batch_stats"]["neck"]["bias"]) == expected
    parts = count(params.get("pyramid", {})) + count(params.get("response", {}))
    assert parts == (0 if "pfinet.pyramid=none" in flags else 16_524_292)


@pytest.mark.parametrize(
    ("flags", "width"),
    [
        ((), 3840),
        (("pfinet.add_raw_c4=True",), 5888),
        (("pfinet.pyramid=none",), 2048),
        (("pfinet.pyramid=literal",), 5632),
        (("pfinet.pyramid=fpn256",), 1024),
        (("pfinet.levels=(4,)",), 2048),
        (("pfinet.levels=(4,3)",), 3072),
        (("pfinet.levels=(4,3,2)",), 3584),
        (("backbone.last_stride=2",), 3840),
    ],
)
def test_widths_of_the_representation_and_sizes_of_the_responses(flags, width):
    config = config_of(*flags, data="sysu_mm01")
    network: Any = Network(config)
    image = {"visible": jnp.zeros((1, 384, 128, 3))}
    variables = shapes(load(config), (384, 128))
    representation, embedding, logits, responses = jax.eval_shape(
        lambda v, x: network.apply(v, x, train=False), variables, image
    )
    assert representation.shape == embedding.shape == (1, width)
    assert logits.shape == (1, 395)
    top = (12, 4) if config.backbone.last_stride == 2 else (24, 8)
    sizes = [top, (24, 8), (48, 16), (96, 32)]
    levels = 0 if config.pfinet.pyramid == "none" else len(config.pfinet.levels)
    assert [m.shape for m in responses] == [(1, *size, 1) for size in sizes[:levels]]


def test_the_representation_is_raw_then_level_4_to_1():
    flags = RELEASED[1:]
    images = {"visible": jnp.asarray(random_batch()["visible"])}
    whole = forward(images, *flags)[0]  # widths 64, 64, 32, 16, 8 of a ResNet-18 of width 8
    assert whole.shape == (4, 184)
    variables = {**start(*flags)}
    # A response of almost one everywhere leaves level 4 as C_4 is.
    params = flat(variables["params"])
    params["response/level4/bias"] = np.full(1, 30.0, np.float32)
    params["response/level1/bias"] = np.full(1, -1e4, np.float32)
    variables["params"] = unflatten_dict(params, sep="/")
    opened = forward(images, *flags, variables=variables)[0]
    raw, level4, between, level1 = np.split(np.asarray(opened), [64, 128, 176], axis=1)
    np.testing.assert_allclose(level4, raw, rtol=1e-5)
    np.testing.assert_array_equal(level1, 0)
    np.testing.assert_allclose(raw, whole[:, :64], rtol=1e-5)
    np.testing.assert_allclose(between, whole[:, 128:176], rtol=1e-4, atol=1e-6)
    assert not np.allclose(level4, whole[:, 64:128])


def test_both_modalities_share_everything_and_alternate():
    batch = random_batch()
    images = {name: jnp.asarray(batch[name]) for name in ("visible", "infrared")}
    both = forward(images)[:3]
    for m, name in enumerate(images):
        for other in images:  # as whatever it is given, an image is embedded the same
            alone = forward({other: images[name]})[:3]
            for joint, single in zip(both, alone, strict=True):
                np.testing.assert_allclose(joint[m::2], single, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ("pfinet.pyramid=literal", "pfinet.response.attention=cbam7"),
        ("pfinet.pyramid=fpn256", "pfinet.response.share=top_upsampled"),
        ("pfinet.response.share=joint", "backbone.ibn=True", "pfinet.add_raw_c4=True"),
        ("pfinet.pyramid=none", COLOURS, "pfinet.transformation.kind=lmp"),
        ("pfinet.levels=(4,3)", COLOURS, "pfinet.transformation.kind=lsp", "dtype=bfloat16"),
    ],
)
def test_losses_and_gradients_are_finite(flags):
    (loss, (aux, changed)), gradients = loss_of(*flags)
    np.testing.assert_allclose(loss, aux["identity"] + aux["center_cluster"], rtol=1e-6)
    assert jnp.isfinite(loss)
    assert jax.tree.structure(changed) == jax.tree.structure(
        {"batch_stats": start(*flags)["batch_stats"]}
    )
    for path, leaf in flat(gradients).items():
        assert leaf.dtype == jnp.float32
        assert jnp.isfinite(leaf).all(), path
        assert jnp.abs(leaf).max() > 0, path


def test_the_losses_get_every_row_with_its_identity_and_group(monkeypatch):
    seen = {}

    def spy(name, function):
        def spied(values, identity, *options):
            seen[name] = values, identity
            return function(values, identity, *options)

        monkeypatch.setattr(f"jreid.methods.pfinet.{name}", spied)

    spy("cross_entropy", cross_entropy)
    spy("center_cluster", center_cluster)
    method = load(config_of("pfinet.groups=2", "pfinet.margin=50.0"))
    variables = start()
    state = {"batch_stats": variables["batch_stats"]}

    rest = (jax.random.key(0), jnp.float32(0))

    def traced(params):
        loss, (aux, after) = method.players[0].loss(params, state, random_batch(), *rest)
        return loss, aux, after, dict(seen)

    run = jax.jit(traced)
    loss, aux, after, got = run(variables["params"])
    representation, identity = got["center_cluster"]
    logits, _ = got["cross_entropy"]
    for _, labels in got.values():
        assert labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    # What the neck takes the mean of is what the loss sees: all rows before it.
    statistics = after["batch_stats"]["neck"]["mean"]
    np.testing.assert_allclose(statistics, 0.1 * representation.mean(0), rtol=1e-3, atol=1e-5)
    # A group is one of the two identities here, which leaves no pair of centers.
    halves = [center_cluster(representation[i : i + 4], identity[:4]) for i in (0, 4)]
    np.testing.assert_allclose(aux["center_cluster"], sum(halves), rtol=1e-5)
    assert center_cluster(representation, identity, 50.0) > sum(halves) / 2 + 1
    np.testing.assert_allclose(aux["identity"], 2 * cross_entropy(logits, identity), rtol=1e-5)
    np.testing.assert_allclose(loss, aux["identity"] + aux["center_cluster"], rtol=1e-6)


@pytest.mark.parametrize(("kind", "reduce"), [("lsp", "sum_to_gray"), ("lmp", "none")])
def test_learned_transformations_are_of_visible_images_alone(kind, reduce):
    options = (f"kind={kind}", f"reduce={reduce}", "weight_init=bt601")
    flags = (COLOURS, *(f"pfinet.transformation.{option}" for option in options))
    images = jnp.asarray(random_batch()["visible"])
    params = shapes(load(config_of(*flags)))["params"]
    size = (1, 1) if kind == "lsp" else (32, 16)
    assert params["transformation"]["weight"].shape == (1, *size, 3)
    luma = np.broadcast_to(np.array(LUMA, np.float32), (1, *size, 3))
    variables = {**start()}  # which has no transformation
    variables["params"] = {**variables["params"], "transformation": {"weight": luma}}
    weighted = images * jnp.asarray(luma)
    gray = jnp.repeat(weighted.sum(-1, keepdims=True), 3, -1)
    by_hand = gray if reduce == "sum_to_gray" else weighted
    plain = forward({"visible": by_hand})[1]
    got = forward({"visible": images}, *flags, variables=variables)[1]
    np.testing.assert_allclose(got, plain, rtol=1e-3, atol=1e-4)
    infrared = forward({"infrared": images}, *flags, variables=variables)[1]
    np.testing.assert_allclose(infrared, forward({"infrared": images})[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["lsp", "lmp"])
def test_learned_transformations_start_as_asked(kind):
    weights = {}
    for begin in ("randn", "bt601"):
        flags = (f"pfinet.transformation.kind={kind}", f"pfinet.transformation.weight_init={begin}")
        init = load(config_of(COLOURS, *flags)).init
        only = jax.jit(lambda key, init=init: init(key, random_batch())["params"]["transformation"])
        weights[begin] = only(jax.random.key(0))["weight"]
    np.testing.assert_array_equal(weights["bt601"][0, -1, -1], np.array(LUMA, np.float32))
    assert jnp.abs(weights["randn"] - weights["bt601"]).max() > 0.1
    if kind == "lmp":
        assert 0.9 < weights["randn"].std() < 1.1


def enlarged(maps, size):
    """Bilinear enlargement by numpy: pixel centers lie at halves, borders are repeated."""
    for axis, length in zip((1, 2), size, strict=True):
        count = maps.shape[axis]
        centers = (np.arange(length) + 0.5) * count / length - 0.5
        line = functools.partial(np.interp, centers, np.arange(count))
        maps = np.apply_along_axis(line, axis, maps)
    return maps


def test_pictures_show_the_image_and_its_responses():
    images = jnp.asarray(random_batch()["infrared"])
    picture = load(config_of()).pictures["responses"]
    draw = jax.jit(picture, static_argnums=2)
    shown = draw(start(), images, "infrared")
    assert shown.shape == (4, 32, 5 * 16, 3)
    assert shown.dtype == jnp.float32
    source, *maps = np.split(np.asarray(shown), 5, axis=2)
    np.testing.assert_allclose(source, np.clip(to_unit(images), 0, 1), rtol=1e-6)
    responses = forward({"infrared": images})[-1]
    for large, response in zip(maps, responses, strict=True):
        expected = enlarged(np.asarray(response)[..., 0], (32, 16))
        for channel in range(3):
            np.testing.assert_allclose(large[..., channel], expected, rtol=1e-3, atol=1e-4)
    assert np.std(maps[-1]) > 0.01
    baseline = load(config_of("pfinet.pyramid=none"))
    with pytest.raises(InputError, match="has no responses to show"):
        baseline.pictures["responses"](start("pfinet.pyramid=none"), images, "infrared")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("pfinet.levels=(4,2)",), "pfinet.levels=(4, 2)"),
        (("pfinet.levels=()",), "pfinet.levels=()"),
        (("pfinet.transformation.kind=lsp",), "set --config.image.gray_visible=False"),
        (("pfinet.groups=3",), "groups=3 does not divide the 4 identities"),
        (("pfinet.groups=0",), "groups=0"),
    ],
)
def test_what_does_not_fit_is_named(flags, message):
    with pytest.raises(InputError) as caught:
        load(config_of(*flags))
    assert message in str(caught.value)


def test_configs_of_the_datasets():
    sysu, regdb = config_of(data="sysu_mm01"), config_of(data="regdb,trial=3")
    assert (sysu.image.size, regdb.image.size) == ((384, 128), (256, 128))
    assert (sysu.batch.identities, sysu.batch.images, sysu.batch.sampler) == (
        16,
        4,
        "random_identity",
    )
    assert regdb.protocols == tuple(
        f"regdb:direction={direction},cmc=identity,distance=euclidean"
        for direction in ("infrared_to_visible", "visible_to_infrared")
    )
    assert (sysu.pfinet.groups, sysu.pfinet.margin) == (1, 0.7)
    assert sysu.evaluation.rerank == ("none", "query_only", "standard")
    assert regdb.data.split_number == 3
    assert sysu.image.gray_visible
    rate = optimizers.schedule(sysu.optimizer)
    rates = [float(rate(jnp.float32(e))) for e in range(240)]
    np.testing.assert_allclose([rates[0], rates[9]], [3.5e-5, 3.5e-4], rtol=1e-5)
    falls = [e for e in range(1, 240) if rates[e] < rates[e - 1]]
    assert falls == [90, 150, 200]
    for data in ("llcm", "folder", "synthetic", "synthetic_regdb", "tiny_llcm"):
        load(config_of(data=data))


def published_entries():
    """Names and shapes of the released network's arrays: 395 identities, IBN-a, 5888 numbers."""
    entries = {}

    def conv(name, inputs, outputs, size, bias=False):
        entries[f"{name}.weight"] = (outputs, inputs, size, size)
        if bias:
            entries[f"{name}.bias"] = (outputs,)

    def norm(name, width, kinds=("weight", "bias", "running_mean", "running_var")):
        entries.update({f"{name}.{kind}": (width,) for kind in kinds})

    def block(name, inputs, planes, stage, first):
        conv(f"{name}.conv1", inputs, planes, 1)
        if stage < 4:
            norm(f"{name}.bn1.IN", planes // 2, ("weight", "bias"))
            norm(f"{name}.bn1.BN", planes // 2)
        else:
            norm(f"{name}.bn1", planes)
        conv(f"{name}.conv2", planes, planes, 3)
        norm(f"{name}.bn2", planes)
        conv(f"{name}.conv3", planes, 4 * planes, 1)
        norm(f"{name}.bn3", 4 * planes)
        if first:
            conv(f"{name}.downsample.0", inputs, 4 * planes, 1)
            norm(f"{name}.downsample.1", 4 * planes)

    conv("backbone.conv1", 3, 64, 7)
    norm("backbone.bn1", 64)
    inputs = 64
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        planes = 32 * 2**stage
        for i in range(blocks):
            block(f"backbone.layer{stage}.{i}", inputs, planes, stage, i == 0)
            inputs = 4 * planes
    entries |= {"backbone.fc.weight": (395, 2048), "backbone.fc.bias": (395,)}
    for level, width in enumerate((256, 512, 1024, 2048), start=1):
        conv(f"space_att{level}.att.0", width, 1, 1, bias=True)
        conv(f"horizontal{level}", width, width, 1, bias=True)
        if level < 4:
            conv(f"Conv_unit{level}", width, width, 3, bias=True)
            up = f"up_sample{level + 1}.{0 if level == 3 else 1}"
            conv(up, 2 * width, width, 1, bias=True)
    norm("bottleneck", 5888)
    entries["classifier.weight"] = (395, 5888)
    return entries


def test_the_layout_names_every_published_array():
    entries = published_entries()
    variables = shapes(load(config_of(*RELEASED, data="sysu_mm01")))
    ours = {leaf.entry: leaf.shape for leaf in expected_leaves(variables, TORCH_LAYOUT)}
    unused = {"backbone.fc.weight", "backbone.fc.bias", "horizontal4.weight", "horizontal4.bias"}
    assert set(entries) == set(ours) | unused
    for name, shape in ours.items():
        in_torch = (shape[-1], shape[-2], *shape[:-2]) if len(shape) > 1 else shape
        assert entries[name] == in_torch, name


def released_network(torch, width, identities):
    """The released network in PyTorch with the published names, and its test feature."""
    from helpers import torch_reference
    from torch import nn

    widths = [4 * width * 2**i for i in range(4)]
    backbone = torch_reference.ResNet(
        (3, 4, 6, 3), torch_reference.BOTTLENECK, width, last_stride=1, ibn=True
    )
    backbone.fc = nn.Linear(widths[3], identities)

    def enlarging(inputs, outputs):
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        return nn.Sequential(up, nn.Conv2d(inputs, outputs, 1))

    parts: dict[str, Any] = {"backbone": backbone}
    for level, c in enumerate(widths, start=1):
        parts[f"space_att{level}"] = nn.ModuleDict({"att": nn.Sequential(nn.Conv2d(c, 1, 1))})
        parts[f"horizontal{level}"] = nn.Conv2d(c, c, 1)
    for level, c in enumerate(widths[:3], start=1):
        parts[f"Conv_unit{level}"] = nn.Conv2d(c, c, 3, padding=1)
    parts["up_sample2"] = enlarging(widths[1], widths[0])
    parts["up_sample3"] = enlarging(widths[2], widths[1])
    parts["up_sample4"] = nn.Sequential(nn.Conv2d(widths[3], widths[2], 1))
    parts["bottleneck"] = nn.BatchNorm1d(sum(widths) + widths[3])
    parts["classifier"] = nn.Linear(sum(widths) + widths[3], identities, bias=False)

    def embed(x):
        c1, c2, c3, c4 = backbone(x)
        t3 = parts["up_sample4"](c4) + parts["horizontal3"](c3)
        t2 = parts["up_sample3"](t3) + parts["horizontal2"](c2)
        t1 = parts["up_sample2"](t2) + parts["horizontal1"](c1)
        levels = [parts[f"Conv_unit{i}"](t) for i, t in ((1, t1), (2, t2), (3, t3))] + [c4]
        features = [c4.mean((2, 3))]
        for level in (4, 3, 2, 1):
            p = levels[level - 1]
            mask = torch.sigmoid(parts[f"space_att{level}"]["att"](p))
            features.append((mask * p).mean((2, 3)))
        return parts["bottleneck"](torch.cat(features, 1))

    return nn.ModuleDict(parts), embed


@pytest.mark.slow
def test_a_published_checkpoint_embeds_as_pytorch_does():
    torch = pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")
    from helpers import torch_reference

    network, embed = released_network(torch, width=8, identities=10)
    torch_reference.randomize(network).eval()
    flags = ("weights=none", "backbone.width=8", "data.identities=10", *RELEASED)
    config = config_of(*flags, data="sysu_mm01")
    method = load(config)
    variables = convert(torch_reference.arrays(network), shapes(method), method.torch_layout)
    images = random_batch(rows=2, size=(96, 32))["visible"]
    with torch.no_grad():
        expected = embed(torch_reference.to_nchw(images)).numpy()
    assert expected.shape == (2, 736)
    assert 0.1 < np.abs(expected).max() < 100
    run = jax.jit(method.embed, static_argnums=2)
    for modality in ("visible", "infrared"):
        np.testing.assert_allclose(run(variables, images, modality), expected, atol=1e-4)


@pytest.mark.slow
@jax.numpy_dtype_promotion("standard")  # for Adam, see conftest.py
def test_training_on_four_devices_lowers_the_loss():
    config, mesh, batch = config_of(), make_mesh(), random_batch(rows=8)
    assert mesh.size == 4
    method = load(config)

    def epochs(step):
        return 1 + step / 100

    options = {"model": optimizers.build(config.optimizer)}
    step = make_train_step(method, options, epochs, 0, mesh)
    state = jax.device_put(create(start(), method.players, options), replicated(mesh))
    losses = []
    for _ in range(15):
        state, metrics = step(state, jax.device_put(batch, split(mesh)))
        losses.append(float(metrics["model/loss"]))
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.6 * losses[0]
    for path, leaf in flat(jax.device_get(state.params)).items():
        assert np.abs(leaf - flat(start()["params"])[path]).max() > 0, path
