"""Base-Derivative: its parts and counts, its losses, the rows of Table IV and its pictures."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict
from helpers.batches import random_batch
from helpers.paths import ROOT
from helpers.variables import count, flat, shapes
from safetensors.numpy import save_file

from jreid.config import load as load_config
from jreid.distributed.mesh import make_mesh, replicated, split
from jreid.engine import optimizers
from jreid.engine.state import create
from jreid.engine.step import make_train_step
from jreid.errors import InputError
from jreid.losses.triplet import multi_directional_triplet, multi_mode_triplet
from jreid.methods import load
from jreid.methods.base_derivative import Network
from jreid.weights.backbone import LAYOUT, load_backbone
from jreid.weights.torch import expected_leaves

CONFIG = f"{ROOT}/configs/base_derivative.py"
FOUR = ("visible", "infrared", "derived_visible", "derived_infrared")
BASE, VISIBLE, INFRARED = FOUR[:2], ("visible", "derived_infrared"), ("infrared", "derived_visible")
# Table IV: modalities, pairs, weight of the loss within a modality, parameters of the derivation.
ROWS = {
    "B1": (BASE, (), 0.0, 0),
    "B2": (BASE, (BASE,), 1.0, 0),
    "MDL1": ((*BASE, "derived_infrared"), (BASE, VISIBLE), 1.0, 6),
    "MDL2": ((*BASE, "derived_visible"), (BASE, INFRARED), 1.0, 10),
    "MDL3": (FOUR, (BASE, VISIBLE, INFRARED, FOUR[:1:-1]), 1.0, 10),
    "MDL4": (FOUR, (BASE, VISIBLE, INFRARED), 1.0, 10),
}


def config_of(*flags, data="tiny"):
    return load_config(f"{CONFIG}:{data}", [f"--config.{flag}" for flag in flags])


def row_config(name, data="tiny"):
    modalities, pairs, weight, _ = ROWS[name]
    options = (f"modalities={modalities}", f"pairs={pairs}", f"loss_weights.multi_mode={weight}")
    return config_of(*(f"base_derivative.{option}" for option in options), data=data)


def images_of(batch):
    return {name: jnp.asarray(batch[name]) for name in BASE}


@functools.cache
def start() -> Any:
    """Variables of the tiny network with all four modalities."""
    return jax.jit(load(config_of()).init)(jax.random.key(0), random_batch())


def start_of(method):
    """Those of `start` that the method has."""
    variables = flat(start())
    return unflatten_dict({path: variables[path] for path in flat(shapes(method))}, sep="/")


def loss_of(config, batch, gradient=False) -> Any:
    """`loss, (metrics, model state)` from the start, and the gradients if asked for."""
    method = load(config)
    variables = start_of(method)
    function = method.players[0].loss
    function = jax.value_and_grad(function, has_aux=True) if gradient else function
    state = {"batch_stats": variables["batch_stats"]}
    rest = (batch, jax.random.key(1), jnp.float32(0))
    return jax.jit(function)(variables["params"], state, *rest)


@pytest.mark.parametrize(
    ("data", "expected"), [("sysu_mm01", 24_349_706), ("regdb,trial=3", 23_962_634)]
)
def test_parameters_of_the_published_network(data, expected):
    """The specification counts the neck's frozen bias, which is no parameter of ours."""
    variables = shapes(load(config_of(data=data)))
    params = variables["params"]
    assert count(params) + count(variables["batch_stats"]["neck"]["bias"]) == expected
    assert count(params["derivation"]) == 10
    assert {name: count(params["backbone"][name]) for name in FOUR} == dict.fromkeys(FOUR, 9_536)
    assert count(params["backbone"]["shared"]) == 23_498_496


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_table_4_own_what_they_use(name):
    modalities, *_, derivation = ROWS[name]
    params = shapes(load(row_config(name, "sysu_mm01")))["params"]
    assert count(params.get("derivation", {})) == derivation
    assert set(params["backbone"]) == {*modalities, "shared"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_rows_of_table_4_have_finite_losses_and_gradients(name):
    config = row_config(name)
    (loss, (aux, _)), gradients = loss_of(config, random_batch(), gradient=True)
    weights = config.base_derivative.loss_weights
    total = sum(weights[term] * aux[term] for term in weights)
    np.testing.assert_allclose(loss, total, rtol=1e-6)
    # A classifier that knows nothing guesses among the 8 identities, once a modality.
    modalities = len(config.base_derivative.modalities)
    np.testing.assert_allclose(aux["identity"], modalities * np.log(8), rtol=0.02)
    of_each = [aux[f"identity_{name}"] for name in config.base_derivative.modalities]
    np.testing.assert_allclose(aux["identity"], sum(of_each), rtol=1e-5)
    assert len({*map(float, of_each)}) == modalities
    assert (aux["multi_directional"] > 0) == bool(ROWS[name][1])
    for path, leaf in flat(gradients).items():
        assert jnp.isfinite(leaf).all(), path
        assert jnp.abs(leaf).max() > 0, path


def test_rows_of_every_modality_are_its_own():
    """Of the four modalities together, row 4 i + m is image i of the m-th alone."""
    network: Any = Network(config_of())
    variables, images = start(), images_of(random_batch())
    derived = network.apply(variables, images, method="derive")
    together = jax.jit(lambda x: network.apply(variables, x, False, method="with_derived"))(images)
    apply = jax.jit(lambda x: network.apply(variables, x, False))
    for m, name in enumerate(FOUR):
        alone = apply({name: (images | derived)[name]})
        for joint, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(joint[m::4], single, rtol=1e-4, atol=1e-5)


def test_the_losses_get_each_modalitys_features_and_joint_statistics(monkeypatch):
    seen = {}

    def spy(function):
        def spied(features, identity, *rest):
            seen["features"], seen["identity"] = features, identity
            return function(features, identity, *rest)

        return spied

    for function in (multi_mode_triplet, multi_directional_triplet):
        monkeypatch.setattr(f"jreid.methods.base_derivative.{function.__name__}", spy(function))
    config, batch = config_of(), random_batch()
    method, variables = load(config), start()
    network: Any = Network(config)
    state = {"batch_stats": variables["batch_stats"]}
    rest = state, batch, jax.random.key(0), jnp.zeros(())
    _, (_, after) = method.players[0].loss(variables["params"], *rest)
    (pooled, *_), _ = network.apply(
        variables, images_of(batch), True, method="with_derived", mutable=["batch_stats"]
    )
    assert tuple(seen["features"]) == FOUR
    for m, name in enumerate(FOUR):
        np.testing.assert_allclose(seen["features"][name], pooled[m::4], rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(seen["identity"][name], batch["identity"])
    neck = after["batch_stats"]["neck"]["mean"]
    np.testing.assert_allclose(neck, 0.1 * pooled.mean(0), rtol=1e-3, atol=1e-5)


def test_options_of_the_losses():
    _, (plain, _) = loss_of(config_of(), random_batch())
    flags = ("triplet_reduce=sum", "identity_reduce=mean", "loss_weights.multi_directional=5.0")
    loss, (aux, _) = loss_of(config_of(*(f"base_derivative.{f}" for f in flags)), random_batch())
    np.testing.assert_allclose(aux["multi_mode"], 4 * plain["multi_mode"], rtol=1e-4)
    np.testing.assert_allclose(aux["multi_directional"], 4 * plain["multi_directional"], rtol=1e-4)
    np.testing.assert_allclose(aux["identity"], plain["identity"] / 4, rtol=1e-4)
    expected = aux["identity"] + aux["multi_mode"] + 5 * aux["multi_directional"]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    _, (unit, _) = loss_of(config_of("base_derivative.normalize=True"), random_batch())
    assert unit["multi_mode"] <= 4 * 2.3  # distances of unit vectors are at most 2


def test_embedding_passes_by_what_is_derived():
    variables = flat(start())
    variables = {
        path: jnp.full_like(leaf, jnp.nan) if "deriv" in path else leaf
        for path, leaf in variables.items()
    }
    variables = unflatten_dict(variables, sep="/")
    images = jnp.asarray(random_batch()["visible"])
    embedded = {}
    for feature, neck in (("bn", "bnneck"), ("pool", "bnneck"), ("bn", "none")):
        method = load(
            config_of(f"base_derivative.feature={feature}", f"base_derivative.neck={neck}")
        )
        embedded[feature, neck] = method.embed(variables, images, "visible")
    scale = variables["params"]["neck"]["scale"][None] / np.sqrt(1 + 1e-5)
    pooled = embedded["pool", "bnneck"]
    assert pooled.shape == (4, 64)
    assert jnp.isfinite(pooled).all()
    np.testing.assert_allclose(embedded["bn", "bnneck"], pooled * scale, rtol=1e-4)
    np.testing.assert_array_equal(embedded["bn", "none"], pooled)
    infrared = load(config_of()).embed(variables, images, "infrared")
    assert not np.allclose(infrared, embedded["bn", "bnneck"])


def test_without_a_neck_none_is_owned():
    params = shapes(load(config_of("base_derivative.neck=none")))["params"]
    assert set(params) == {"backbone", "classifier", "derivation"}


def test_agws_blocks_can_be_had():
    flags = ("backbone.non_local=(0,2,3,0)", "pooling=generalized_mean")
    plain = shapes(load(config_of(data="sysu_mm01")))["params"]
    blocks = shapes(load(config_of(*flags, data="sysu_mm01")))["params"]
    assert count(blocks) - count(plain) == 28_687


def test_computing_in_bfloat16_keeps_parameters_and_embeddings_in_float32():
    method = load(config_of("dtype=bfloat16"))
    variables = shapes(method)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    embedding = jax.eval_shape(
        lambda v, x: method.embed(v, x, "visible"), variables, random_batch()["visible"]
    )
    assert embedding.dtype == jnp.float32


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("base_derivative.modalities=('visible',)", "base_derivative.modalities"),
        ("base_derivative.modalities=('visible','infrared','visible')", "each once"),
        ("base_derivative.modalities=('visible','infrared')", "base_derivative.pairs"),
        ("base_derivative.pairs=('visible','infrared')", "must be a tuple of pairs"),
        ("base_derivative.pairs=(('visible','visible'),)", "must be a tuple of pairs"),
        ("base_derivative.pairs=(('visible','infrared'),('infrared','visible'))", "each pair once"),
        ("base_derivative.pairs=(1,)", "must be a tuple of pairs"),
    ],
)
def test_modalities_and_pairs_that_do_not_fit_are_named(flag, message):
    with pytest.raises(InputError) as caught:
        load(config_of(flag))
    assert message in str(caught.value)


def test_fields_of_other_methods_are_refused():
    with pytest.raises(InputError, match="did you mean"):
        config_of("triplet.margin=0.5")


def test_configs_of_the_datasets():
    sysu, regdb = config_of(data="sysu_mm01"), config_of(data="regdb,trial=3")
    assert (sysu.epochs, sysu.base_derivative.loss_weights.multi_directional) == (80, 1.0)
    assert (regdb.epochs, regdb.base_derivative.loss_weights.multi_directional) == (60, 5.0)
    assert (regdb.data.split_number, regdb.batch.identities, regdb.batch.images) == (3, 6, 4)
    assert config_of(data="llcm").data.identities == 713
    synthetic = config_of(data="synthetic_regdb")
    assert (synthetic.weights, synthetic.base_derivative.loss_weights.multi_directional) == (
        "none",
        1,
    )


def test_imagenet_fills_all_four_stems(tmp_path):
    variables = jax.tree.map(np.asarray, start())
    rng = np.random.default_rng(0)
    trunk = {name: {"backbone": variables[name]["backbone"]} for name in variables}
    entries = {}
    for leaf in expected_leaves(trunk, LAYOUT):
        shape = (*leaf.shape[:-3:-1], *leaf.shape[:-2]) if len(leaf.shape) > 1 else leaf.shape
        entries[leaf.entry] = rng.normal(size=shape).astype(np.float32)
    save_file(entries, tmp_path / "resnet18.safetensors")
    loaded, kept = load_backbone(variables, str(tmp_path / "resnet18.safetensors"))
    assert kept == []
    for name in FOUR:
        stem = loaded["params"]["backbone"][name]
        expected = entries["conv1.weight"].transpose(2, 3, 1, 0)
        np.testing.assert_array_equal(stem["conv1"]["kernel"], expected)
        mean = loaded["batch_stats"]["backbone"][name]["bn1"]["mean"]
        np.testing.assert_array_equal(mean, entries["bn1.running_mean"])


def test_pictures_show_source_and_derived():
    method, variables = load(config_of()), start()
    images = jnp.asarray(random_batch(rows=2)["visible"])
    pair, channels, differences = (
        method.pictures[name](variables, images, "visible")
        for name in ("derived", "channels", "differences")
    )
    assert pair.shape == (2, 32, 32, 3)
    assert channels.shape == (2, 64, 48, 3)
    assert differences.shape == (2, 32, 48, 3)
    assert all(((x >= 0) & (x <= 1)).all() for x in (pair, channels, differences))
    source, result = np.split(np.asarray(pair), 2, axis=2)
    assert not np.allclose(source, result)
    for c in range(3):
        columns = slice(16 * c, 16 * (c + 1))
        for k in range(3):
            np.testing.assert_array_equal(channels[:, :32, columns, k], source[..., c])
            np.testing.assert_array_equal(channels[:, 32:, columns, k], result[..., c])
            np.testing.assert_allclose(
                differences[:, :, columns, k], np.abs(source - result)[..., c], atol=1e-6
            )


def test_what_is_not_derived_is_not_shown():
    method = load(row_config("MDL1"))
    variables, images = start_of(method), jnp.asarray(random_batch()["infrared"])
    assert method.pictures["derived"](variables, images, "infrared").shape == (4, 32, 32, 3)
    with pytest.raises(InputError, match="has no derived_visible"):
        method.pictures["derived"](variables, images, "visible")


def train(steps) -> Any:
    """The state and the metrics of each step on one batch, on four devices."""
    config = config_of()
    method = load(config)
    mesh = make_mesh()
    assert mesh.size == 4

    def epochs(step):
        return step / 100

    options = {"model": optimizers.build(config.optimizer)}
    step = make_train_step(method, options, epochs, 0, mesh)
    state = create(jax.device_get(start()), method.players, options)
    state = jax.device_put(state, replicated(mesh))
    aux = []
    for _ in range(steps):
        state, metrics = step(state, jax.device_put(random_batch(8), split(mesh)))
        aux.append({name: float(value) for name, value in metrics.items()})
    return jax.device_get(state), aux


@pytest.mark.slow
def test_training_on_four_devices_lowers_the_loss():
    before = jax.device_get(start())["params"]["derivation"]
    state, aux = train(steps=12)
    losses = [metrics["model/loss"] for metrics in aux]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.5 * losses[0]
    assert aux[-1]["model/accuracy"] > aux[0]["model/accuracy"]
    for path, leaf in flat(state.params["derivation"]).items():
        assert np.abs(leaf - flat(before)[path]).max() > 0, path
    (loss, _), gradients = loss_of(config_of(), random_batch(8), gradient=True)
    norm = jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradients)))
    np.testing.assert_allclose(losses[0], loss, rtol=1e-3)
    np.testing.assert_allclose(aux[0]["model/gradient_norm"], norm, rtol=1e-3)
