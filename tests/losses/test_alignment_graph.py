"""TGSA against loops in float64, and what it must not depend on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses import graph_alignment, log_affinity

compiled = jax.jit(
    graph_alignment, static_argnames=("cross", "diagonal", "symmetric", "reduce", "temperature")
)
RELEASED: dict = {"diagonal": False, "symmetric": True, "reduce": "mean"}


def features(seed, rows=6, width=4):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def softmax(x):
    weights = np.exp(x - x.max())
    return weights / weights.sum()


def rows_of(left, right, temperature=1.0, diagonal=True):
    """Equation 15 by loops: for each row its probabilities, without its own if not `diagonal`."""
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    result = []
    for i, x in enumerate(left):
        kept = [k for k in range(len(right)) if diagonal or k != i]
        distances = np.array([np.linalg.norm(x - right[k]) for k in kept])
        result.append(softmax(distances / temperature))
    return result


def kl(p, q):
    return sum(float((a * np.log(a / b)).sum()) for a, b in zip(p, q, strict=True))


def test_affinities_by_hand():
    # Distances 0, 3, 5 of the first row: the farthest has the most weight.
    x = jnp.array([[0.0, 0], [3, 0], [3, 4]])
    got = np.exp(log_affinity(x))
    np.testing.assert_allclose(got[0], softmax(np.array([0.0, 3, 5])), rtol=1e-5)
    np.testing.assert_allclose(got[2], softmax(np.array([5.0, 4, 0])), rtol=1e-5)
    got = np.exp(log_affinity(x, temperature=2.0, diagonal=False))
    np.testing.assert_allclose(got[0], [0, *softmax(np.array([1.5, 2.5]))], rtol=1e-5)
    cross = np.exp(log_affinity(x, jnp.array([[0.0, 0], [0, 1]])))
    np.testing.assert_allclose(cross[0], softmax(np.array([0.0, 1])), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cross", ["full", "mixed", "none"])
@pytest.mark.parametrize("options", [{}, RELEASED, {"temperature": 0.5, "reduce": "mean"}])
def test_equals_equation_16_by_loops(cross, options):
    a, b = features(0), features(1) + 3
    rule = {k: options[k] for k in ("temperature", "diagonal") if k in options}
    own, other = rows_of(a, a, **rule), rows_of(b, b, **rule)
    half = np.concatenate([a[:3], b[:3]])
    between = rows_of(a, b, **rule) if cross == "full" else rows_of(half, half, **rule)
    pairs = [(own, other)]
    pairs += [] if cross == "none" else [(own, between), (between, other)]
    expected = sum(kl(p, q) for p, q in pairs)
    if options.get("symmetric"):
        expected += sum(kl(q, p) for p, q in pairs)
    if options.get("reduce") == "mean":
        expected /= len(a)
    got = compiled(a, b, cross=cross, **options)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_it_is_zero_where_distances_agree():
    a = features(0)
    for options in ({}, RELEASED):
        np.testing.assert_allclose(compiled(a, a, **options), 0, atol=1e-5)
        # Turned and moved, all distances within are the same, but not those across.
        turn, _ = np.linalg.qr(features(2, 4))
        moved = a @ turn + 7
        np.testing.assert_allclose(compiled(a, moved, cross="none", **options), 0, atol=1e-4)
        assert compiled(a, moved, **options) > 0.01
        assert compiled(a, 2 * a, cross="none", **options) > 0.01


@pytest.mark.parametrize("cross", ["full", "none"])
@pytest.mark.parametrize("options", [{}, RELEASED])
def test_a_joint_order_of_rows_means_nothing(cross, options):
    a, b = features(0), features(1)
    order = np.random.default_rng(2).permutation(6)
    got = compiled(a[order], b[order], cross=cross, **options)
    np.testing.assert_allclose(got, compiled(a, b, cross=cross, **options), rtol=1e-4)
    apart = compiled(a[order], b, cross=cross, **options)
    assert abs(apart - got) > 1e-3


def test_both_directions_are_symmetric_where_there_is_no_cross():
    a, b = features(0), features(1)
    released = functools.partial(compiled, cross="none", **RELEASED)
    np.testing.assert_allclose(released(a, b), released(b, a), rtol=1e-5)
    printed = functools.partial(compiled, cross="none")
    assert abs(printed(a, b) - printed(b, a)) > 1e-3


@pytest.mark.parametrize("cross", ["full", "mixed", "none"])
def test_gradients_are_finite_for_coincident_and_for_far_points(cross):
    gradient_of = jax.jit(jax.grad(functools.partial(graph_alignment, cross=cross), argnums=(0, 1)))
    same = np.ones((4, 3), np.float32)
    far = 1000 * features(3, 4, 3)
    for a, b in ((same, same), (same, far), (far, far), (far, features(4, 4, 3))):
        for gradient in gradient_of(a, b):
            assert jnp.isfinite(gradient).all()
    assert all(jnp.abs(g).max() > 0 for g in gradient_of(features(0, 4), features(1, 4)))


def test_what_all_rows_share_does_not_eat_the_digits():
    """As pooled maps behind a ReLU are: far from the origin, near each other."""
    rng = np.random.default_rng(0)
    a, b = (5 + 0.02 * rng.normal(size=(2, 16, 2000))).astype(np.float32)
    pairs = ((rows_of(a, a), rows_of(b, b)), (rows_of(a, a), rows_of(a, b)))
    pairs += ((rows_of(a, b), rows_of(b, b)),)
    np.testing.assert_allclose(compiled(a, b), sum(kl(p, q) for p, q in pairs), rtol=1e-3)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="full, mixed, none"):
        graph_alignment(features(0), features(1), cross="half")
    with pytest.raises(ValueError, match="5 rows cannot be halved"):
        graph_alignment(features(0, 5), features(1, 5), cross="mixed")
