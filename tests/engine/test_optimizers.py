import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.paths import ROOT
from ml_collections import ConfigDict

from jreid.engine import optimizers
from jreid.errors import InputError

SGD = {
    "kind": "sgd",
    "learning_rate": 0.1,
    "weight_decay": 5e-4,
    "momentum": 0.9,
    "nesterov": True,
    "betas": (0.5, 0.99),
    "warmup_epochs": 10,
    "warmup_initial": 0.0,
    "milestones": (20, 50),
    "lr_decay": 0.1,
    "lr_multipliers": (("backbone/.*", 0.1),),
}


def test_agw_schedule_by_hand():
    rates = {
        e: float(optimizers.schedule(ConfigDict(SGD))(jnp.float32(e)))
        for e in (0, 0.99, 4, 9, 10, 19.5, 20, 49, 50, 79)
    }
    expected = {0: 0.01, 0.99: 0.01, 4: 0.05, 9: 0.1, 10: 0.1, 19.5: 0.1, 20: 0.01, 49: 0.01,
                50: 0.001, 79: 0.001}  # fmt: skip
    assert rates == pytest.approx(expected, rel=1e-5)


def test_pfinets_released_warmup_by_hand():
    """Its epochs count from 1, and its milestones 90, 150 and 200 from the end of the warm-up."""
    page = (ROOT / "docs/methods/pfinet.md").read_text()
    (text,) = re.findall(r'config\.optimizer\.milestones="\(([0-9,]+)\)"', page)
    milestones = tuple(map(int, text.split(",")))
    assert milestones == tuple(20 + one - 1 for one in (90, 150, 200))
    options = SGD | {"warmup_epochs": 20, "warmup_initial": 0.1, "milestones": milestones}
    rate = optimizers.schedule(ConfigDict(options))
    rates = [float(rate(jnp.float32(e))) for e in (0, 1, 19, 20, 108, 109, 169, 219)]
    assert rates == pytest.approx([0.01, 0.0145, 0.0955, 0.1, 0.1, 0.01, 1e-3, 1e-4], rel=1e-5)


@pytest.mark.parametrize("initial", [0.0, 0.1])
def test_no_warmup_and_no_milestones(initial):
    flat = ConfigDict(SGD | {"warmup_epochs": 0, "warmup_initial": initial, "milestones": ()})
    assert float(optimizers.schedule(flat)(jnp.float32(0))) == pytest.approx(0.1)
    assert float(optimizers.schedule(flat)(jnp.float32(1000))) == pytest.approx(0.1)


def test_rates_are_float64_where_it_is_on():
    with jax.enable_x64(True):
        rate = jax.jit(optimizers.schedule(ConfigDict(SGD)))(jnp.float64(10))
    assert rate.dtype == np.float64
    assert float(rate) == pytest.approx(0.1, rel=1e-15)


@pytest.mark.parametrize(("kind", "nesterov"), [("sgd", True), ("sgd", False), ("adam", True)])
@jax.numpy_dtype_promotion("standard")
def test_steps_equal_pytorch_with_two_groups(kind, nesterov):
    torch = pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")
    rng = np.random.default_rng(0)
    start = {"backbone/kernel": rng.normal(size=3), "neck/scale": rng.normal(size=3)}
    options = ConfigDict(SGD | {"kind": kind, "nesterov": nesterov, "warmup_epochs": 0})
    tx = optimizers.build(options)
    ours = {name: jnp.asarray(value, jnp.float32) for name, value in start.items()}
    state = tx.init(ours)
    theirs = {
        name: torch.nn.Parameter(torch.tensor(value, dtype=torch.float32))
        for name, value in start.items()
    }
    groups = [
        {"params": [theirs["backbone/kernel"]], "lr": 0.01},
        {"params": [theirs["neck/scale"]]},
    ]
    if kind == "sgd":
        torch_optimizer = torch.optim.SGD(
            groups, lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=5e-4
        )
    else:
        torch_optimizer = torch.optim.Adam(groups, lr=0.1, betas=(0.5, 0.99), weight_decay=5e-4)
    for _ in range(5):
        gradients = {name: rng.normal(size=3).astype(np.float32) for name in start}
        for name, gradient in gradients.items():
            theirs[name].grad = torch.tensor(gradient)
        torch_optimizer.step()
        updates, state = tx.update(
            {n: jnp.asarray(g) for n, g in gradients.items()}, state, ours, rate=jnp.float32(0.1)
        )
        ours = {name: ours[name] + updates[name] for name in ours}
    for name in start:
        np.testing.assert_allclose(ours[name], theirs[name].detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "change", [{"kind": "adamw"}, {"lr_multipliers": (("(", 0.1),)}, {"lr_multipliers": ("a",)}]
)
def test_bad_options_are_named(change):
    with pytest.raises(InputError, match=r"optimizer\.(kind|lr_multipliers)="):
        optimizers.build(ConfigDict(SGD | change))


def test_a_pattern_that_matches_no_parameter_is_named():
    patterns = (("backbone", 0.1), ("backbone/.*", 0.1), ("neck/.*", 10.0))
    options = ConfigDict(SGD | {"lr_multipliers": patterns})
    paths = ["backbone/conv1/kernel", "shared_neck/scale"]
    assert optimizers.unmatched(options, paths) == ["backbone", "neck/.*"]
