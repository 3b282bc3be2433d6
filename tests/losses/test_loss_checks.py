"""Every public loss refuses arrays of another shape or type than it says, in and out of jit."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid import losses

F = jax.random.normal(jax.random.key(0), (4, 3))  # features, or logits
IDENTITY = jnp.array([0, 0, 1, 1])
BOTH = {"visible": F, "infrared": F + 1}
WEIGHTS = {"visible": jnp.ones((3, 2)), "infrared": jnp.ones((3, 2))}
LOG = jax.nn.log_softmax(F)
IMAGES = jnp.ones((2, 4, 2, 3))
PAIRS = [("visible", "infrared")]
LABELS = {"visible": IDENTITY, "infrared": IDENTITY}

# A valid call of each public function of arrays, by the names of its arguments.
CALLS = {
    "batch_hard_triplet": {"features": F, "identity": IDENTITY},
    "center_cluster": {"features": F, "identity": IDENTITY},
    "cosine_distances": {"left": F, "right": F},
    "cross_entropy": {"logits": F, "identity": IDENTITY},
    "cross_modality_triplet": {
        "anchors": F,
        "candidates": F,
        "anchor_identity": IDENTITY,
        "candidate_identity": IDENTITY,
    },
    "cycle_loss": {
        "visible": IMAGES,
        "visible_again": IMAGES,
        "infrared": IMAGES,
        "infrared_again": IMAGES,
    },
    "discrepancy_margin": {"reduced": (F, F + 1), "before": (F, F + 2), "images": 2},
    "discriminator_loss": {"real": F, "fakes": [F]},
    "entropy": {"logits": F},
    "entropy_margin": {"enhanced": F, "before": F},
    "euclidean_distances": {"left": F, "right": F},
    "generated_triplets": {"generated": F, "real": F, "identity": IDENTITY},
    "graph_alignment": {"a": F, "b": F + 1},
    "hetero_center_triplet": {"features": F, "identity": IDENTITY, "modality": IDENTITY},
    "kl_detach": {"features": BOTH, "classifiers": WEIGHTS},
    "kl_divergence": {"log_p": LOG, "log_q": LOG},
    "kl_ema": {"features": BOTH, "classifiers": WEIGHTS, "averages": WEIGHTS},
    "log_affinity": {"left": F},
    "mined_triplet": {
        "anchors": F,
        "identity": IDENTITY,
        "positives": F,
        "negatives": F,
        "candidate_identity": IDENTITY,
    },
    "modality_centroid_distance": {"visible": F, "infrared": F, "images": 2},
    "multi_directional_triplet": {"features": BOTH, "identity": LABELS, "pairs": PAIRS},
    "multi_mode_triplet": {"features": BOTH, "identity": LABELS},
    "real_or_fake": {"logits": F, "real": True},
    "semantic_alignment": {"a": F, "b": F},
    "set_triplet": {"anchors": F, "positives": F, "negatives": F, "identity": IDENTITY},
    "specific_ce": {"features": BOTH, "classifiers": WEIGHTS, "identity": IDENTITY % 2},
    "swap_ce": {"features": BOTH, "classifiers": WEIGHTS, "identity": IDENTITY % 2},
    "swap_ce_joint": {"features": BOTH, "classifiers": WEIGHTS, "identity": IDENTITY % 2},
    "weighted_triplet": {"features": F, "identity": IDENTITY},
}
# The options of each that are names: loss, option, and a name that there is.
OPTIONS = [
    (name, option, parameter.default)
    for name in CALLS
    for option, parameter in inspect.signature(getattr(losses, name)).parameters.items()
    if isinstance(parameter.default, str)
]
# What an array of integers, and one of any kind, must not be.
WRONG_IDENTITIES = {
    "a column": lambda x: x[:, None],
    "of another length": lambda x: x[:1],
    "of floats": lambda x: x.astype(jnp.float32),
    "of booleans": lambda x: x > 0,
}
WRONG_ARRAYS = {"of one more axis": lambda x: x[..., None], "empty": lambda x: x[:0]}
ANY_SHAPE = {"real_or_fake", "discriminator_loss"}  # the mean over all of a discriminator's patches


def with_each_changed(arguments, change, wanted):
    """The arguments with one array changed, for each array that is wanted; weights are left."""
    leaves, tree = jax.tree.flatten_with_path(arguments)
    for i, (path, leaf) in enumerate(leaves):
        if path[0].key not in ("classifiers", "averages") and wanted(leaf):
            changed = [change(x) if i == k else x for k, (_, x) in enumerate(leaves)]
            yield jax.tree.unflatten(tree, changed)


def is_identity(leaf):
    return getattr(leaf, "dtype", None) == jnp.int32


def is_array(leaf):
    return hasattr(leaf, "shape")


def test_every_public_function_is_here():
    assert set(losses.__all__) == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_takes_what_it_says(name):
    assert np.isfinite(getattr(losses, name)(**CALLS[name])).all()


@pytest.mark.fault("A10")
@pytest.mark.parametrize("name", CALLS)
def test_wrong_arrays_are_refused(name):
    for change in WRONG_IDENTITIES.values():
        for arguments in with_each_changed(CALLS[name], change, is_identity):
            refuses(name, arguments)
    for wrong, change in WRONG_ARRAYS.items():
        if wrong == "empty" or name not in ANY_SHAPE:
            for arguments in with_each_changed(CALLS[name], change, is_array):
                refuses(name, arguments)


def test_the_message_names_argument_and_shapes():
    with pytest.raises(ValueError, match=r"identity of weighted_triplet .*int32\[4, 1\]"):
        losses.weighted_triplet(F, IDENTITY[:, None])


@pytest.mark.parametrize(("name", "option", "known"), OPTIONS)
def test_unknown_options_are_refused_with_the_known_ones(name, option, known):
    with pytest.raises(ValueError, match=f"must be one of .*{known}.*, not 'nothing'"):
        getattr(losses, name)(**CALLS[name], **{option: "nothing"})


def test_numpy_arrays_give_the_same():
    got = losses.batch_hard_triplet(np.asarray(F), np.asarray(IDENTITY, np.uint16))
    assert got == losses.batch_hard_triplet(F, IDENTITY)


def refuses(name, arguments):
    loss = getattr(losses, name)
    with pytest.raises(ValueError, match="does not fit"):
        loss(**arguments)
    traced = {key: value for key, value in arguments.items() if is_tree_of_arrays(value)}
    fixed = {key: value for key, value in arguments.items() if key not in traced}
    with pytest.raises(ValueError, match="does not fit"):
        jax.eval_shape(jax.jit(lambda traced: loss(**traced, **fixed)), traced)


def is_tree_of_arrays(value):
    return all(hasattr(leaf, "shape") for leaf in jax.tree.leaves(value))
