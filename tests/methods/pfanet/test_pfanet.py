"""PFANet: counts, whose turn changes what, where gradients flow, phases, options and pictures."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from helpers.paths import ROOT
from helpers.variables import count, filled, shapes
from jax.sharding import AxisType

from jreid.config import load as load_config
from jreid.distributed.mesh import replicated, split
from jreid.engine import optimizers
from jreid.engine.state import check_owners, create
from jreid.engine.step import make_train_step
from jreid.errors import InputError
from jreid.losses.adversarial import discriminator_loss
from jreid.losses.triplet import generated_triplets
from jreid.methods import Phase, load
from jreid.methods.pfanet.network import Networks
from jreid.methods.pfanet.players import OWNED
from jreid.nn.colors import to_unit

CONFIG = f"{ROOT}/configs/pfanet.py"
PLAYERS = ("features", "generators", "visible_discriminator", "infrared_discriminator")
CERTAIN = ("pfanet.classifier.dropout=0.0",)


def config_of(*flags, data="tiny"):
    return load_config(f"{CONFIG}:{data}", [f"--config.{flag}" for flag in flags])


def batch_of(rows=8, size=(32, 16), seed=0) -> Any:
    images = np.random.default_rng(seed).uniform(-2, 2, size=(2, rows, *size, 3))
    visible, infrared = jnp.asarray(images, jnp.float32)
    identity = np.repeat(np.arange(rows // 2), 2).astype(np.int32)
    return {"visible": visible, "infrared": infrared, "identity": identity}


@functools.cache
def start() -> Any:
    """Variables of the tiny networks."""
    return filled(shapes(load(config_of())))


# Variants by name: the config's flags, and which of its players are played.
VARIANTS = {
    "plain": ((), PLAYERS),
    "wrong_pair": (("wrong_pair=True",), PLAYERS[3:]),
    "log": (("adversarial=log",), PLAYERS[3:]),
    "fake_real": (("generator_pair=fake_real",), PLAYERS[1:2]),
    "whole": (("triplet.gan_half=False",), PLAYERS[1:2]),
    "printed": (("triplet.negatives=generated",), PLAYERS[1:2]),
    "optional": (
        ("loss_weights.identity_mapping=0.0", "loss_weights.fooling=0.1", "identity_reduce=sum"),
        PLAYERS[:2],
    ),
    "few_identities": (("gan_identities=2", "gan_images=0"), PLAYERS[2:3]),
}


@pytest.fixture(scope="module")
def played() -> Any:
    """Loss and metrics of each variant and player at the start, and the parts they are made of.

    Compiled as one, so that what they share is compiled once.
    """
    methods = {
        name: load(config_of(*CERTAIN, *(f"pfanet.{flag}" for flag in flags)))
        for name, (flags, _) in VARIANTS.items()
    }
    players = {
        (name, player): methods[name].players_by_name[player]
        for name, (_, playing) in VARIANTS.items()
        for player in playing
    }
    players["warm_up", PLAYERS[3]] = methods["plain"].phases[1].players[2]
    players["warm_up", PLAYERS[0]] = methods["plain"].phases[0].players[0]

    def play(variables, batch):
        state = {"batch_stats": variables["batch_stats"]}
        rest = state, batch, jax.random.key(0), jnp.float32(0)
        results = {key: player.loss(variables["params"], *rest) for key, player in players.items()}
        return {key: (loss, aux) for key, (loss, (aux, _)) in results.items()}, parts(
            variables, {name: values[::2] for name, values in batch.items()}
        )

    losses, made = jax.jit(play)(start(), batch_of())
    losses = {key: (float(loss), {name: float(aux[name]) for name in aux})
              for key, (loss, aux) in losses.items()}  # fmt: skip
    return losses, made


def parts(variables, batch):
    """What the losses of generators and discriminators are made of, by the networks themselves."""
    net = Networks(config_of(*CERTAIN)).bind(variables, mutable=["batch_stats"])
    visible, infrared = (2 * to_unit(batch[name]) - 1 for name in ("visible", "infrared"))
    generated = net.to_infrared(visible)
    both = net.features({"generated": generated, "infrared": infrared}, train=True)
    maps = {"x'": both.of("generated").map, "x": both.of("infrared").map}
    images = {"x'": generated, "x": infrared, "wrong": jnp.roll(infrared, 1, axis=0)}
    pairs = [("x", "x"), ("x'", "x'"), ("x'", "x"), ("x", "x'"), ("wrong", "x")]
    judged = {f"{i},{m}": net.infrared_discriminator(images[i], maps[m]) for i, m in pairs}
    alone = {i: net.infrared_discriminator(images[i], maps[i], True) for i in ("x", "x'")}
    return judged, alone, (both.of("generated").embedding, both.of("infrared").embedding)


def test_parameters_of_the_published_networks():
    params = shapes(load(config_of(data="sysu_mm01")), (128, 128))["params"]
    counts = {name: count(tree) for name, tree in params.items()}
    assert sum(counts[name] for name in OWNED["features"]) == 60_154_507
    assert counts["embedder"] + counts["classifier"] == 1_151_115
    assert counts["to_infrared"] == counts["to_visible"] == 6_053_504
    assert counts["infrared_discriminator"] == 11_810_816
    assert counts["visible_discriminator"] == 11_155_392
    plain = config_of("backbone.attention=none", "backbone.normalization=none", data="sysu_mm01")
    params = shapes(load(plain), (128, 128))["params"]
    assert sum(count(params[name]) for name in OWNED["features"]) == 24_659_147


def mesh_of(devices):
    return jax.make_mesh(
        (devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
    )


@jax.numpy_dtype_promotion("standard")  # Adam
def step(method, options, state, phase=None, devices=1, batch=None) -> Any:
    mesh = mesh_of(devices)
    take = make_train_step(method, options, lambda step: jnp.zeros(()), 0, mesh, phase)
    state, aux = take(
        jax.device_put(state, replicated(mesh)), jax.device_put(batch or batch_of(), split(mesh))
    )
    return jax.device_get(state), {name: float(value) for name, value in aux.items()}


@pytest.fixture(scope="module")
def turns():
    """The states before and after each player's turn alone, and the metrics of all."""
    method = load(config_of(*CERTAIN))
    options = {
        name: optimizers.build(one.optimizer) for name, one in method.players_by_name.items()
    }
    states = [jax.device_get(create(start(), method.players_by_name.values(), options))]
    aux: dict[str, float] = {}
    for player in method.players:
        state, metrics = step(method, options, states[-1], Phase("alone", (player,)))
        states.append(state)
        aux |= metrics
    return method, options, states, aux


@pytest.mark.slow
def test_each_player_changes_its_own_alone(turns):
    method, _, states, _ = turns
    assert tuple(player.name for player in method.players) == PLAYERS
    check_owners(states[0].params, method)
    for player, before, after in zip(method.players, states, states[1:], strict=False):
        changed = jax.tree.map(lambda a, b: a.tobytes() != b.tobytes(), before.params, after.params)
        for path, differs in flatten_dict(changed, sep="/").items():
            if not player.owns(path):
                assert not differs, (player.name, path)
        moved = [differs for path, differs in flatten_dict(changed, sep="/").items()
                 if player.owns(path)]  # fmt: skip
        assert np.mean(moved) > 0.9, player.name
        for name in PLAYERS:
            same = jax.tree.map(
                lambda a, b: a.tobytes() == b.tobytes(),
                before.opt_state[name], after.opt_state[name],
            )  # fmt: skip
            assert all(jax.tree.leaves(same)) == (name != player.name)
        statistics = jax.tree.map(
            lambda a, b: (a != b).any(), before.model_state, after.model_state
        )
        assert any(jax.tree.leaves(statistics)) == (player.name == "features")


@pytest.mark.slow
def test_the_joint_step_is_the_four_turns_in_order(turns):
    method, options, states, aux = turns
    together, metrics = step(method, options, states[0])
    assert metrics == pytest.approx(aux, rel=1e-4, abs=1e-6)
    for one, other in (
        (together.opt_state, states[-1].opt_state),  # moments: Adam's first step is a sign
        (together.params["backbone"], states[-1].params["backbone"]),
    ):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4 * max(np.abs(b).max(), 1e-3))


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYERS)
def test_four_devices_take_a_turn_as_one_does(name):
    # At 32 x 16 an instance norm is over two positions: a sign, in which rounding shows.
    method = load(config_of(*CERTAIN, "image.size=(64,32)"))
    options = {key: optimizers.build(one.optimizer) for key, one in method.players_by_name.items()}
    state = jax.device_get(create(start(), method.players_by_name.values(), options))
    phase, batch = Phase("alone", (method.players_by_name[name],)), batch_of(size=(64, 32))
    (one, aux_one), (four, aux_four) = (
        step(method, options, state, phase, devices, batch) for devices in (1, 4)
    )
    assert aux_one == pytest.approx(aux_four, rel=1e-3, abs=1e-5)
    for a, b in zip(
        jax.tree.leaves(one.opt_state[name]), jax.tree.leaves(four.opt_state[name]), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-3 * max(np.abs(b).max(), 1e-2))


@pytest.mark.slow
def test_gradients_flow_from_f_into_its_generator_and_not_from_f_back():
    off = ("adversarial", "adversarial_visible", "cycle", "identity_mapping")
    zeros = [f"pfanet.loss_weights.{name}=0.0" for name in off]
    features, generators = load(config_of(*CERTAIN, *zeros)).players[:2]
    state = {"batch_stats": start()["batch_stats"]}

    def gradients(params, batch):
        rest = state, batch, jax.random.key(0), jnp.float32(0)
        return [jax.grad(lambda p, of=player: of.loss(p, *rest)[0])(params)
                for player in (generators, features)]  # fmt: skip

    run = jax.jit(gradients)
    of_generators, of_features = run(start()["params"], batch_of())
    moved = jax.tree.leaves(of_generators["to_infrared"])
    assert max(np.abs(leaf).max() for leaf in moved) > 1e-6
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_generators["to_visible"]))
    assert np.abs(of_features["backbone"]["shared"]["conv1"]["kernel"]).max() > 0
    for name in ("to_infrared", "to_visible", "infrared_discriminator"):
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_features[name]))


def test_losses_are_the_sums_of_their_weighted_terms(played):
    weights = {
        "features": {"identity": 1.0, "triplet": 1.0},
        "generators": {"adversarial": 1.0, "adversarial_visible": 1.0, "cycle": 10.0,
                       "gan_identity": 0.1, "gan_triplet": 0.1, "identity_mapping": 5.0},
        "visible_discriminator": {"discrimination": 1.0},
        "infrared_discriminator": {"discrimination": 1.0},
    }  # fmt: skip
    losses, _ = played
    for name, terms in weights.items():
        loss, aux = losses["plain", name]
        assert loss == pytest.approx(sum(terms[term] * aux[term] for term in terms), rel=1e-5)
    assert 0 < losses["plain", "generators"][1]["variation"] < 10
    assert -1 < losses["plain", "generators"][1]["brightness_correlation"] < 1
    # The warm-up of F is on infrared images alone: another number, of the same two terms.
    loss, aux = losses["warm_up", "features"]
    assert loss == pytest.approx(aux["identity"] + aux["triplet"], rel=1e-5)
    assert loss != pytest.approx(losses["plain", "features"][0], rel=1e-4)


@pytest.mark.parametrize("variant", ["plain", "wrong_pair", "log"])
def test_the_joint_discriminator_judges_the_pairs_of_equation_5(played, variant):
    losses, (judged, _, _) = played
    real = judged["x,x"]
    fakes = [judged[pair] for pair in ("x',x'", "x',x", "x,x'", "wrong,x")]
    fakes = fakes if variant == "wrong_pair" else fakes[:3]
    loss, aux = losses[variant, "infrared_discriminator"]
    expected = discriminator_loss(real, fakes, "log" if variant == "log" else "lsgan")
    assert loss == pytest.approx(float(expected), rel=1e-4)
    assert aux["real"] == pytest.approx(float(real.mean()), rel=1e-3, abs=1e-5)


def test_warming_up_the_discriminator_judges_images_alone(played):
    losses, (_, alone, _) = played
    expected = discriminator_loss(alone["x"], [alone["x'"]])
    loss, _ = losses["warm_up", "infrared_discriminator"]
    assert loss == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("variant", "pair", "half", "negatives"),
    [
        ("plain", "x',x'", 0.5, "other"),
        ("fake_real", "x',x", 0.5, "other"),
        ("whole", "x',x'", 1.0, "other"),
        ("printed", "x',x'", 0.5, "generated"),
    ],
)
def test_options_of_the_generators_loss(played, variant, pair, half, negatives):
    losses, (judged, _, embeddings) = played
    _, aux = losses[variant, "generators"]
    adversarial = ((judged[pair] - 1) ** 2).mean()
    assert aux["adversarial"] == pytest.approx(float(adversarial), rel=1e-4)
    options, identity = config_of().pfanet.triplet, jnp.arange(4)
    triplets = generated_triplets(*embeddings, identity, options.metric, options.margin, negatives)
    assert aux["gan_triplet"] == pytest.approx(half * float(triplets), rel=1e-3)


def test_losses_that_can_be_switched(played):
    losses, _ = played
    loss, aux = losses["optional", "features"]
    plain = losses["plain", "features"][1]
    assert aux["identity"] == pytest.approx(2 * plain["identity"], rel=1e-4)
    total = aux["identity"] + aux["triplet"] + 0.1 * aux["fooling"]
    assert loss == pytest.approx(total, rel=1e-5)
    loss, aux = losses["optional", "generators"]
    whole, terms = losses["plain", "generators"]
    assert whole - loss == pytest.approx(5 * terms["identity_mapping"], rel=1e-3)
    assert "identity_mapping" not in aux


def test_the_generators_may_have_other_images_of_the_batch(played):
    losses, _ = played
    one, few = (losses[name, "visible_discriminator"][0] for name in ("plain", "few_identities"))
    assert one != pytest.approx(few, rel=1e-4)


@pytest.mark.slow
def test_visible_images_are_embedded_as_what_is_generated_of_them():
    method, batch = load(config_of()), batch_of(4)
    embed = jax.jit(method.embed, static_argnums=2)
    picture = jax.jit(method.pictures["cycle"], static_argnums=2)
    visible, infrared = batch["visible"], batch["infrared"]
    embedded = embed(start(), visible, "visible")
    assert (embedded.shape, embedded.dtype) == ((4, 64), jnp.float32)
    row = picture(start(), visible, "visible")
    assert row.shape == (4, 32, 48, 3)
    assert 0 <= row.min() <= row.max() <= 1
    np.testing.assert_allclose(row[:, :, :16], np.clip(to_unit(visible), 0, 1), atol=1e-5)
    generated = (row[:, :, 16:32] - to_unit(jnp.zeros((1, 1, 1, 3)))) / (
        to_unit(jnp.ones((1, 1, 1, 3))) - to_unit(jnp.zeros((1, 1, 1, 3)))
    )
    np.testing.assert_allclose(embed(start(), generated, "infrared"), embedded, atol=1e-4)
    assert not np.allclose(embed(start(), visible, "infrared"), embedded, atol=1e-3)
    pair = method.pictures["generated"](start(), infrared, "infrared")
    np.testing.assert_allclose(pair, picture(start(), infrared, "infrared")[:, :, :32], atol=1e-5)


def test_phases_and_lengths():
    sysu, llcm = config_of(data="sysu_mm01"), config_of(data="llcm")
    # 395 and 713 identities in batches of 9 make epochs of 43 and 79 steps.
    assert (sysu.pfanet.warm_ups.features, sysu.pfanet.warm_ups.generation) == (116, 349)
    assert (sysu.epochs, sysu.optimizer.milestones) == (584, (465,))
    assert (llcm.pfanet.warm_ups.features, llcm.epochs) == (63, 318)
    method = load(sysu)
    names = {epoch: [player.name for player in method.phase_at(epoch).players]
             for epoch in (0, 115, 116, 348, 349, 583)}  # fmt: skip
    assert names[0] == names[115] == ["features"]
    assert names[116] == names[348] == [*PLAYERS[1:]]
    assert names[349] == names[583] == [*PLAYERS]
    # Its feature branch sees no features before.
    assert method.phase_at(349).restarted == ("infrared_discriminator",)
    generators = method.players_by_name["generators"].optimizer
    assert (generators.kind, generators.learning_rate, generators.betas) == (
        "adam", 2e-4, (0.5, 0.999)
    )  # fmt: skip
    assert method.players_by_name["features"].optimizer.learning_rate == 0.2


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("gan_identities=5", "must be from 2 to the 4 identities"),
        ("gan_identities=1", "pfanet.gan_identities=1"),
        ("gan_images=3", "must be from 1 to the 2 images"),
        ("gan_images=-1", "pfanet.gan_images=-1"),
        ("discriminator.stages=3", "pfanet.discriminator.stages=3"),
        ("discriminator.stages=5", "pfanet.discriminator.stages=5"),
        ("warm_ups.features=4", "warm_ups.generation=2 ends before"),
        ("warm_ups.generation=99", "ends before the main phase"),
        ("reid_size=(32,)", "must be a height and a width"),
    ],
)
def test_numbers_that_do_not_fit_are_named(flag, message):
    with pytest.raises(InputError) as caught:
        load(config_of(f"pfanet.{flag}"))
    assert message in str(caught.value)


@pytest.mark.parametrize("stages", ["()", "(9,)", "(0,3)"])
def test_stages_that_do_not_exist_are_refused(stages):
    with pytest.raises(InputError, match=r"backbone\.mmm\.stages=.* stages 1 to 4"):
        load(config_of(f"backbone.mmm.stages={stages}"))


@pytest.mark.parametrize("field", ["bng.reduction=7", "bng.groups=3", "mmm.reduction=100000"])
def test_channels_that_cannot_be_divided_are_refused(field):
    config = config_of(f"backbone.{field}")
    with pytest.raises(InputError, match=rf"config\.backbone\.{field[:3]}"):
        shapes(load(config))


def test_sizes_that_generators_cannot_halve_are_refused():
    with pytest.raises(InputError, match="cannot be divided by 4"):
        load(config_of("image.size=(30,16)"))


@pytest.mark.parametrize(("variation", "warns"), [(0.05, True), (0.5, False)])
def test_generated_images_that_are_all_the_same_are_warned_of(variation, warns):
    from jreid.training.monitor import MetricWarnings

    warnings = MetricWarnings(load(config_of()).metric_warnings)
    messages = warnings.messages({"generators/variation": variation})
    assert bool(messages) == warns
    assert not warns or f"generators/variation is {variation}" in messages[0]
