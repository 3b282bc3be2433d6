"""Mutual prediction: its counts, its five readings, where gradients go, and its memory."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.batches import random_batch
from helpers.paths import ROOT
from helpers.variables import count, filled, flat, shapes

from jreid.config import load as load_config
from jreid.distributed.mesh import make_mesh, replicated, split
from jreid.engine import optimizers
from jreid.engine.state import check_owners, create
from jreid.engine.step import make_train_step
from jreid.errors import InputError
from jreid.losses import batch_hard_triplet, cross_entropy, hetero_center_triplet
from jreid.methods import load
from jreid.methods.mutual_prediction import ENCODER, Network
from jreid.runs.checkpoints import Checkpoints

CONFIG = f"{ROOT}/configs/mutual_prediction.py"


def config_of(*flags, data="tiny"):
    prefix = "--config.mutual_prediction."
    general = ("triplet", "dtype", "backbone", "image", "pooling")
    return load_config(
        f"{CONFIG}:{data}",
        [f"--config.{flag}" if flag.startswith(general) else prefix + flag for flag in flags],
    )


@functools.cache
def start(*flags) -> Any:
    """Random variables of the tiny network, filled without compiling its `init`."""
    return filled(shapes(load(config_of(*flags))), seed=3, gain=2)


@functools.cache
def loss_of(*flags, player=0) -> Any:
    """`(loss, (metrics, model state)), gradients` from the start."""
    variables = start(*flags)
    function = jax.value_and_grad(load(config_of(*flags)).players[player].loss, has_aux=True)
    state = {name: variables[name] for name in variables if name != "params"}
    rest = (random_batch(rows=8), jax.random.key(1), jnp.float32(0))
    return jax.jit(function)(variables["params"], state, *rest)


@pytest.mark.parametrize(
    ("data", "network", "stripes", "classifiers"),
    [
        ("sysu_mm01", 24_330_624, 3_759_426, 2_831_360),
        ("regdb,trial=3", 23_943_552, 3_467_988, 1_476_608),
    ],
)
def test_parameters_of_the_specification(data, network, stripes, classifiers):
    """It counts the frozen biases of both necks, which are no parameters of ours."""
    variables = shapes(load(config_of(data=data)), (288, 144))
    params, statistics = variables["params"], variables["batch_stats"]
    assert {*variables} == {"params", "batch_stats"}
    of_global = [params[name] for name in ("backbone", "neck", "classifier")]
    assert count(of_global) + count(statistics["neck"]["bias"]) == network
    assert count([params["parts"], params["part_classifier"]]) == stripes
    assert count(params["modality_classifiers"]) == classifiers
    descriptor_neck = count(params["descriptor_neck"])
    assert descriptor_neck + count(statistics["descriptor_neck"]["bias"]) == 7_168


@pytest.mark.parametrize(
    ("flags", "classifier", "width"),
    [
        ((), 3584 * 395, 3584),
        (("embedding=z",), 3584 * 395, 3584),
        (("embedding=global",), 3584 * 395, 2048),
        (("feature=global",), 2048 * 395, 3584),
        (("feature=each",), 3584 * 395, 3584),
        (("head=mlp512",), 3584 * 512 + 512 * 395, 3584),
        (("feature=each", "head=mlp512"), 3584 * 512 + 7 * 512 * 395, 3584),
        (("parts.n=3", "parts.dim=512"), 3584 * 395, 3584),
        (("parts.n=0",), 2048 * 395, 2048),
        (("form=kl_ema",), 3584 * 395, 3584),
    ],
)
def test_sizes_of_classifiers_and_embeddings(flags, classifier, width):
    config = config_of(*flags, data="sysu_mm01")
    method = load(config)
    variables = shapes(method, (288, 144))
    check_owners(variables["params"], method)
    both = variables["params"]["modality_classifiers"]
    assert [count(both[name]) for name in ("visible", "infrared")] == [classifier] * 2
    if "form=kl_ema" in flags:
        assert jax.tree.map(jnp.shape, variables["memory"]) == jax.tree.map(jnp.shape, both)
    image = jnp.zeros((3, 288, 144, 3))
    embedding = jax.eval_shape(lambda v, x: method.embed(v, x, "infrared"), variables, image)
    assert (embedding.shape, embedding.dtype) == ((3, width), jnp.float32)


OPTIONS = {
    "swap_ce": (),
    "swap_ce_joint": ("feature=each", "parts.triplet=True", "triplet.kind=hetero_center"),
    "kl_ema": ("parts.reduce=mean", "parts.triplet=True"),
    "kl_detach": (
        "head=mlp512",
        "feature=global",
        "parts.pool=max",
        "parts.reduce=mean",
        "normalize=True",
    ),
    "alternate": (),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", OPTIONS)
def test_losses_and_gradients_are_finite(form):
    flags = (f"form={form}", *OPTIONS[form])
    (loss, (aux, changed)), gradients = loss_of(*flags)
    names = ["identity", "triplet", "part_identity", "part_triplet", "specific", "mutual"]
    weights = dict(zip(names, (1, 1, 1, 1, 1.2, 0.4), strict=True))
    if form == "alternate":
        del weights["mutual"]
    if "parts.reduce=mean" not in flags:
        weights |= {"part_identity": 2, "part_triplet": 2}
    if "parts.triplet=True" not in flags:
        del weights["part_triplet"]
    assert {*aux} == {*weights, "accuracy"}
    want = sum(weight * aux[name] for name, weight in weights.items())
    if "normalize=True" in flags:
        want /= 1 + 1.2 + 0.4
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    assert jax.tree.structure(changed) == jax.tree.structure(
        {name: tree for name, tree in start(*flags).items() if name != "params"}
    )
    for path, leaf in flat(gradients).items():
        assert jnp.isfinite(leaf).all(), path
        assert leaf.dtype == jnp.float32
        assert jnp.abs(leaf).max() > 0, path


def test_of_mutual_prediction_the_encoder_alone_learns():
    (loss, (aux, _)), gradients = loss_of("form=alternate", player=1)
    np.testing.assert_allclose(loss, 0.4 * aux["mutual"], rtol=1e-6)
    player = load(config_of("form=alternate")).players[1]
    for path, leaf in flat(gradients).items():
        assert player.owns(path) == path.startswith(ENCODER)
        if player.owns(path):
            assert jnp.abs(leaf).max() > 0, path
        else:
            np.testing.assert_array_equal(leaf, 0, err_msg=path)
    assert any(path.startswith("modality_classifiers/visible/") for path in flat(gradients))


def test_swapped_cross_entropy_adds_to_what_the_other_losses_ask():
    (whole, _), together = loss_of("form=swap_ce")
    (rest, _), first = loss_of("form=alternate")
    (mutual, _), second = loss_of("form=alternate", player=1)
    np.testing.assert_allclose(whole, rest + mutual, rtol=1e-5)
    for path, leaf in flat(together).items():
        want = flat(first)[path] + flat(second)[path]
        np.testing.assert_allclose(leaf, want, rtol=1e-2, atol=1e-4, err_msg=path)


def test_every_loss_gets_its_rows():
    """Recomputed from the network's outputs, whose row 2i is visible and 2i + 1 infrared."""
    flags = ("form=swap_ce_joint", *OPTIONS["swap_ce_joint"])
    variables, batch = start(*flags), random_batch(rows=8)
    apply: Any = Network(config_of(*flags)).apply
    images = {name: batch[name] for name in ("visible", "infrared")}

    def forward(variables):
        return apply(variables, images, train=True, mutable=["batch_stats"])[0]

    out = jax.jit(forward)({name: variables[name] for name in ("params", "batch_stats")})
    _, (aux, _) = loss_of(*flags)[0]
    identity = np.repeat(batch["identity"], 2)
    modality = np.tile([0, 1], 8)

    def of_classifier(name, rows) -> Any:
        """The mean over g, l_1 and l_2 of a modality classifier's cross-entropy on rows."""
        kernels = variables["params"]["modality_classifiers"][name]
        features = np.split(np.asarray(out.normal)[rows::2], [64, 72], axis=1)
        logits = [x @ kernels[f"classifier_{i}"]["kernel"] for i, x in enumerate(features)]
        return np.mean([cross_entropy(x, batch["identity"]) for x in logits])

    def check(name, value):
        np.testing.assert_allclose(aux[name], value, rtol=1e-3, err_msg=name)

    check("identity", cross_entropy(out.logits, identity))
    check("triplet", hetero_center_triplet(out.pooled, identity, modality))
    by_part = [cross_entropy(out.part_logits[:, i], identity) for i in range(2)]
    check("part_identity", np.mean(by_part))
    by_part = [hetero_center_triplet(out.parts[:, i], identity, modality) for i in range(2)]
    check("part_triplet", np.mean(by_part))
    check("specific", of_classifier("visible", 0) + of_classifier("infrared", 1))
    check("mutual", of_classifier("infrared", 0) + of_classifier("visible", 1))
    np.testing.assert_array_equal(
        out.descriptor, np.concatenate([out.pooled, out.parts.reshape(16, -1)], axis=1)
    )
    (_, (plain, _)), _ = loss_of("form=swap_ce")
    assert float(batch_hard_triplet(out.pooled, identity)) != pytest.approx(float(aux["triplet"]))
    np.testing.assert_allclose(
        plain["triplet"], batch_hard_triplet(out.pooled, identity), rtol=1e-3
    )


def test_the_memory_averages_the_classifiers():
    variables = start("form=kl_ema")
    (_, (_, changed)), _ = loss_of("form=kl_ema")
    ours = flat(variables["params"]["modality_classifiers"])
    before, after = flat(variables["memory"]), flat(changed["memory"])
    assert {*ours} == {*after}
    for path in ours:
        assert not np.allclose(before[path], ours[path])
        want = 0.8 * before[path] + 0.2 * ours[path]
        np.testing.assert_allclose(after[path], want, rtol=1e-5, atol=1e-7)


def test_the_memory_starts_equal():
    init = load(config_of("form=kl_ema")).init

    def both(key):
        variables = init(key, random_batch(rows=2))
        return variables["memory"], variables["params"]["modality_classifiers"]

    memory, classifiers = jax.jit(both)(jax.random.key(0))
    for path, leaf in flat(memory).items():
        np.testing.assert_array_equal(leaf, flat(classifiers)[path])
    visible, infrared = (jax.tree.leaves(memory[name])[0] for name in ("visible", "infrared"))
    assert not np.allclose(visible, infrared)


def initial(form) -> Any:
    """The method, its optimizers and the state before the first step."""
    config = config_of(f"form={form}")
    method = load(config)
    options = {p.name: optimizers.build(p.optimizer) for p in method.players}
    return method, options, jax.device_get(create(start(f"form={form}"), method.players, options))


@functools.cache
def trainer() -> Any:
    """`kl_ema` on four devices: `(batch numbers, state) -> state`, with each step's metrics."""
    method, options, fresh = initial("kl_ema")
    mesh = make_mesh()
    assert mesh.size == 4
    step: Any = make_train_step(method, options, lambda step: step / 4, 0, mesh)
    place = {"state": replicated(mesh), "batch": split(mesh)}

    def train(numbers, state=fresh):
        state, aux = jax.device_put(state, place["state"]), []
        for number in numbers:
            batch = jax.device_put(random_batch(8, seed=number), place["batch"])
            state, metrics = step(state, batch)
            aux.append({name: float(value) for name, value in metrics.items()})
        return jax.device_get(state), aux

    return train


@pytest.mark.slow
def test_four_devices_take_the_step_of_one():
    state, (aux,) = trainer()([0])
    (loss, (metrics, after)), gradients = loss_of("form=kl_ema")
    norm = jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradients)))
    want = {"loss": loss, **metrics, "gradient_norm": norm}
    assert aux == pytest.approx(
        {f"model/{name}": float(value) for name, value in want.items()}, rel=1e-3
    )
    for path, leaf in flat(state.model_state).items():
        np.testing.assert_allclose(leaf, flat(after)[path], rtol=1e-3, atol=1e-5, err_msg=path)


@pytest.mark.slow
def test_a_restored_memory_goes_on_as_if_it_had_not_stopped(tmp_path):
    train, (_, _, fresh) = trainer(), initial("kl_ema")
    state, _ = train([0, 1])
    everywhere = replicated(make_mesh())
    with Checkpoints(tmp_path / "c", writes=True) as checkpoints:
        checkpoints.save(jax.device_put(state, everywhere))
    with Checkpoints(tmp_path / "c") as checkpoints:
        restored = jax.device_get(checkpoints.restore(2, fresh, everywhere))
    for path, leaf in flat(restored.model_state["memory"]).items():
        np.testing.assert_array_equal(leaf, flat(state.model_state["memory"])[path])
        assert not np.array_equal(leaf, flat(fresh.model_state["memory"])[path])
    (resumed, _), (whole, _) = train([2], restored), train(range(3))
    for a, b in zip(jax.tree.leaves(resumed), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_second_player_moves_the_encoder_alone():
    method, _, state = initial("alternate")
    assert [player.name for player in method.players] == ["model", "mutual"]
    momentum = {
        name: {path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(kept)}
        for name, kept in state.opt_state.items()
    }
    assert momentum["model"] == {*flat(state.params)}
    assert momentum["mutual"] == {path for path in flat(state.params) if path.startswith(ENCODER)}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("parts.n=-1",), "parts.n=-1 is less than 0"),
        (("parts.dim=0",), "parts.dim=0 is less than 1"),
        (("alpha=-0.5",), "alpha=-0.5 is less than 0"),
        (("beta=-1.0",), "beta=-1.0 is less than 0"),
        (("ema_rate=0.0",), "ema_rate=0.0"),
    ],
)
def test_numbers_out_of_range_are_named(flags, message):
    with pytest.raises(InputError) as caught:
        load(config_of(*flags))
    assert message in str(caught.value)


def test_a_map_that_does_not_divide_is_named():
    with pytest.raises(InputError, match="2 rows cannot be cut into 3 equal parts"):
        shapes(load(config_of("parts.n=3")))


def test_presets_are_values_of_alpha_and_beta():
    def weights(data, *flags):
        options = config_of(*flags, data=data).mutual_prediction
        return options.alpha, options.beta

    assert weights("sysu_mm01") == weights("synthetic_llcm") == weights("folder") == (1.2, 0.4)
    assert weights("regdb,trial=3") == weights("synthetic_regdb") == (3.5, 4.0)
    assert weights("sysu_mm01,preset=B") == (12.2, 0.4)
    assert weights("regdb,trial=3,preset=B") == (35.0, 4.0)
    assert weights("regdb,preset=B", "alpha=2.0") == (2.0, 4.0)
    assert weights("regdb,preset=A", "beta=1.0") == (3.5, 1.0)
    with pytest.raises(InputError, match=r"preset=C.*Choices: A, B"):
        config_of(data="regdb,preset=C")


def test_configs_of_the_datasets():
    sysu, regdb = config_of(data="sysu_mm01"), config_of(data="regdb,trial=3")
    assert sysu.image.size == (288, 144)
    assert (sysu.epochs, sysu.batch.identities, sysu.batch.images) == (80, 8, 4)
    assert (sysu.optimizer.learning_rate, sysu.optimizer.milestones) == (0.1, (20, 50))
    assert (regdb.data.split_number, regdb.pooling, regdb.triplet.kind) == (
        3,
        "average",
        "batch_hard",
    )
    for data in ("llcm", "folder", "synthetic", "synthetic_regdb", "synthetic_llcm", "tiny_llcm"):
        config = config_of(data=data)
        load(config)
        assert config.image.size[0] % (16 * config.mutual_prediction.parts.n) == 0
