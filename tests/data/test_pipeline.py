import os
from itertools import islice

import jax
import numpy as np
import pytest
from helpers.augmentation import AUGMENTATION
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jreid.data import pipeline
from jreid.data.augmentation import sample_augmentation
from jreid.data.embedding_batches import embedding_batches
from jreid.data.pipeline import training_batches
from jreid.data.pixels import IMAGENET_MEAN, IMAGENET_STD, preprocess
from jreid.data.samplers import Plan
from jreid.data.transforms import augment, normalize_and_erase
from jreid.errors import InputError
from jreid.process import cores


@pytest.fixture(scope="module")
def sharding():
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec("data"))


@pytest.fixture(scope="module")
def table(tiny_dataset):
    return tiny_dataset.table.of_split("train")


@pytest.fixture(scope="module")
def plan(table):
    return Plan("random_identity", table, 4, 2, seed=3, epochs=2)


def same(left, right):
    return all((np.asarray(left[name]) == np.asarray(right[name])).all() for name in left)


def test_batches_show_the_plan(table, plan, sharding):
    batch = next(training_batches(table, plan, AUGMENTATION, 0, 1, sharding))
    visible, infrared = plan.rows(1)
    assert batch["visible"].shape == batch["infrared"].shape == (8, 32, 16, 3)
    assert batch["visible"].sharding == sharding
    classes = np.unique(table.identity)
    assert (classes[batch["identity"]] == table.identity[visible]).all()
    assert (classes[batch["identity"]] == table.identity[infrared]).all()


@pytest.mark.parametrize("step", [0, 3])
def test_each_image_has_the_flip_corner_and_box_that_are_drawn_for_its_row(
    table, plan, sharding, step
):
    batch = next(training_batches(table, plan, AUGMENTATION, 9, step, sharding))
    params = sample_augmentation(9, step, 16, AUGMENTATION)
    assert params.flip.any() and params.box[:, 2].any()
    images = np.stack(
        [
            augment(table.image[row], flip, corner, AUGMENTATION)
            for row, flip, corner in zip(plan.rows(step).flat, *params[:2], strict=True)
        ]
    )
    expected = normalize_and_erase(images, params.box, AUGMENTATION)
    found = np.concatenate([batch["visible"], batch["infrared"]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_any_starting_step_gives_the_same_batches(table, plan, sharding):
    whole = list(training_batches(table, plan, AUGMENTATION, 5, 0, sharding))
    assert len(whole) == plan.steps
    tail = list(training_batches(table, plan, AUGMENTATION, 5, plan.steps - 3, sharding))
    assert all(same(a, b) for a, b in zip(whole[-3:], tail, strict=True))
    other = next(training_batches(table, plan, AUGMENTATION, 6, 0, sharding))
    assert not same(whole[0], other)


def test_batches_are_the_same_where_cores_cannot_be_chosen_as_on_macos(
    table, plan, sharding, monkeypatch
):
    first = next(training_batches(table, plan, AUGMENTATION, 0, 0, sharding))
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    assert len(cores()) == os.cpu_count()
    assert same(next(training_batches(table, plan, AUGMENTATION, 0, 0, sharding)), first)


def test_processes_decode_their_own_rows_alone(table, plan, monkeypatch):
    """Two processes' halves are the rows of the global batch, augmentation included."""
    device = NamedSharding(
        jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1]),
        PartitionSpec("data"),
    )
    whole = next(training_batches(table, plan, AUGMENTATION, 0, 2, device))
    halves = []
    for half in (slice(0, 4), slice(4, 8)):
        monkeypatch.setattr(pipeline, "own_rows", lambda N, half=half: half)
        halves.append(next(training_batches(table, plan, AUGMENTATION, 0, 2, device)))
    for name, value in whole.items():
        joined = np.concatenate([np.asarray(half[name]) for half in halves])
        assert (joined == np.asarray(value)).all()


def test_embedding_batches_are_in_order_and_filled_up(table):
    images, names = table.image[:5], table.name[:5]
    batches = list(embedding_batches(images, names, (32, 16), "bilinear", 3))
    assert [batch.shape for batch in batches] == [(3, 32, 16, 3)] * 2
    alone = [
        next(embedding_batches(images[i:], names[i:], (32, 16), "bilinear", 1)) for i in range(5)
    ]
    assert (np.concatenate(batches)[:5] == np.concatenate(alone)).all()
    assert (batches[1][2] == 0).all()


def test_parts_of_embedding_batches_make_the_whole(table):
    """The second process has none of the last batch's images, and gives it all the same."""
    images, names = table.image[:5], table.name[:5]
    whole = embedding_batches(images, names, (32, 16), "bilinear", 4)
    parts = [
        embedding_batches(images, names, (32, 16), "bilinear", 4, own=own)
        for own in (slice(0, 2), slice(2, 4))
    ]
    for batch, *halves in zip(whole, *parts, strict=True):
        assert (np.concatenate(halves) == batch).all()


BROKEN = {
    "cut off": lambda image: image[: len(image) // 2],
    "empty": lambda image: b"",
    "text": lambda image: b"not an image\n",
}


@pytest.mark.fault("F11")
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_training_stops_at_the_very_image_that_cannot_be_decoded(table, plan, sharding, broken):
    first, second = plan.rows(0), plan.rows(1)
    for half in range(2):
        row = np.setdiff1d(second[half], first)[0]
        images = table.image.copy()
        images[row] = broken(images[row])
        batches = training_batches(table._replace(image=images), plan, AUGMENTATION, 0, 0, sharding)
        assert next(batches)["visible"].shape == (8, 32, 16, 3)
        with pytest.raises(InputError, match=f"^{table.name[row]} cannot be decoded.* replace"):
            next(batches)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_embedding_stops_at_the_very_image_that_cannot_be_decoded(table, broken):
    images, names = table.image[:7].copy(), table.name[:7]
    for row in (4, 6):  # the first of two is reported
        images[row] = broken(images[row])
    batches = embedding_batches(images, names, (32, 16), "bilinear", 3)
    assert next(batches).shape == (3, 32, 16, 3)
    with pytest.raises(InputError, match=f"^{names[4]} cannot be decoded.* replace"):
        next(batches)


def test_gray_visible_leaves_infrared_as_it_is(table, plan, sharding):
    plain = next(training_batches(table, plan, AUGMENTATION, 0, 0, sharding))
    options = AUGMENTATION._replace(gray_visible=True)
    batch = next(training_batches(table, plan, options, 0, 0, sharding))
    assert (np.asarray(batch["infrared"]) == np.asarray(plain["infrared"])).all()

    def colored(images):
        levels = np.asarray(images) * IMAGENET_STD + IMAGENET_MEAN
        kept = (np.asarray(images) != 0).all(axis=-1)  # not erased
        return (np.ptp(levels, axis=-1) > 1e-3)[kept].mean()

    assert colored(plain["visible"]) > 0.2 and colored(batch["visible"]) == 0


def test_embedding_batches_are_gray_if_asked(table):
    images, names = table.image[table.modality == "visible"][:2], table.name[:2]
    (gray,) = embedding_batches(images, names, (32, 16), "bilinear", 2, gray=True)
    expected = [preprocess(image, (32, 16), "bilinear", True) for image in images]
    np.testing.assert_array_equal(gray, expected)
    (plain,) = embedding_batches(images, names, (32, 16), "bilinear", 2)
    assert (plain != gray).any()


def test_only_as_many_batches_are_made_as_asked_for(table, plan, sharding):
    assert len(list(islice(training_batches(table, plan, AUGMENTATION, 0, 0, sharding), 2))) == 2
    assert list(training_batches(table, plan, AUGMENTATION, 0, plan.steps, sharding)) == []


def test_processes_share_the_rows_without_gap_or_overlap(monkeypatch):
    monkeypatch.setattr("jax.process_count", lambda: 4)
    rows = []
    for process in range(4):
        monkeypatch.setattr("jax.process_index", lambda process=process: process)
        rows += range(*pipeline.own_rows(12).indices(12))
    assert rows == list(range(12))
