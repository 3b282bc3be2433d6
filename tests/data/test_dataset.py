"""From a folder to its Table: what is in it, what is refused, and what is marked."""

import json
import os
import shutil

import numpy as np
import pytest
from helpers.tiny_dataset import image_of

from jreid.data.dataset import Source, duplicate_faults, load
from jreid.data.layouts.layout import Count, Group
from jreid.errors import InputError


def test_images_are_the_bytes_on_disk_in_order_of_name(tiny_folder, tiny_dataset):
    table = tiny_dataset.table
    assert len(table.name) == len(list(tiny_folder.glob("cam*/*/*.jpg")))
    assert (table.name == np.sort(table.name)).all()
    for name, image in zip(table.name, table.image, strict=True):
        assert image == (tiny_folder / f"{name}.jpg").read_bytes()
    assert not tiny_dataset.partial
    assert not tiny_dataset.skipped


def test_columns_have_their_types(tiny_dataset):
    table = tiny_dataset.table
    assert table.identity.dtype == table.camera.dtype == np.int64
    assert set(table.modality) == {"visible", "infrared"}
    assert set(table.split) == {"train", "validation", "test"}
    assert {(1, 1), (3, 1)} & set(tiny_dataset.gallery_index)


@pytest.mark.parametrize("layout", ["regdb", "llcm"])
def test_other_layouts_are_read_too(layout, render, tmp_path):
    folder = render(tmp_path / layout, layout)
    setting = 2 if layout == "regdb" else 0
    source = Source(f"tiny_{layout}", layout, folder, setting)
    dataset = load(source, tmp_path / "prepared")
    table = dataset.table
    images = [path for path in folder.rglob("*") if path.suffix in (".jpg", ".bmp")]
    assert len(table.name) == len(images)
    by_name = {path.relative_to(folder).with_suffix("").as_posix(): path for path in images}
    assert all(
        image == by_name[name].read_bytes()
        for name, image in zip(table.name, table.image, strict=True)
    )
    assert {"train", "test"} <= set(table.split)
    train, test = (set(table.identity[table.split == split]) for split in ("train", "test"))
    assert not train & test


BAD_IMAGES = [
    (lambda jpeg: jpeg[: len(jpeg) // 2], "cannot be"),
    (lambda jpeg: b"", "is not a JPEG, PNG or BMP image"),
    (lambda jpeg: b"<html>not found</html>", "is not a JPEG, PNG or BMP image"),
]


@pytest.mark.parametrize(("content", "message"), BAD_IMAGES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_damaged_images_are_named(source, tmp_path, content, message, split):
    path = image_of(source.folder, split)
    path.write_bytes(content(path.read_bytes()))
    for _ in range(2):  # the packed copy tells it again
        with pytest.raises(InputError, match=message) as error:
            load(source, tmp_path / "prepared")
        assert str(path.relative_to(source.folder)) in str(error.value)
        assert "replace the file" in str(error.value)


def test_damaged_training_images_can_be_skipped(source, tmp_path, monkeypatch):
    monkeypatch.setattr("jreid.data.dataset.MAX_SKIPPED", 0.05)
    path = image_of(source.folder, "train")
    path.write_bytes(b"")
    dataset = load(source._replace(on_bad_image="skip"), tmp_path / "prepared")
    name = path.relative_to(source.folder).with_suffix("").as_posix()
    assert dataset.skipped == [name]
    assert name not in dataset.table.name
    assert not dataset.partial


def test_no_more_than_a_thousandth_is_skipped(source, tmp_path):
    image_of(source.folder, "train").write_bytes(b"")
    with pytest.raises(InputError, match=r"more than 0\.1% of \d+ training images"):
        load(source._replace(on_bad_image="skip"), tmp_path / "prepared")


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_damaged_image_to_evaluate_is_never_skipped(source, tmp_path, monkeypatch, split):
    monkeypatch.setattr("jreid.data.dataset.MAX_SKIPPED", 1.0)
    image_of(source.folder, split).write_bytes(b"")
    with pytest.raises(InputError, match="is not a JPEG"):
        load(source._replace(on_bad_image="skip"), tmp_path / "prepared")


def test_a_partial_folder_is_refused_unless_asked_for(source, tmp_path):
    path = image_of(source.folder, "test")
    path.unlink()
    with pytest.raises(
        InputError, match="marks every result: `data prepare --allow-partial`"
    ) as error:
        load(source, tmp_path / "prepared")
    assert path.relative_to(source.folder).with_suffix("").as_posix() in str(error.value)
    dataset = load(source._replace(allow_partial=True), tmp_path / "prepared")
    assert dataset.partial
    draws = dataset.gallery_index[6, int(path.parent.name)]
    assert draws.shape[0] == 10
    assert 1 not in draws


def test_images_in_two_splits_are_refused(source, tmp_path):
    shutil.copy(image_of(source.folder, "train"), image_of(source.folder, "test"))
    with pytest.raises(InputError, match="an image must not be in two splits"):
        load(source, tmp_path / "prepared")


def test_every_duplicate_is_found(tiny_dataset):
    table = tiny_dataset.table
    rng = np.random.default_rng(0)
    split = table.split == "test"
    to = rng.choice(np.flatnonzero(split), 50, replace=True)
    to = np.unique(to)
    come = rng.choice(np.flatnonzero(~split), len(to), replace=False)
    image = table.image.copy()
    image[to] = image[come]
    faults = duplicate_faults(table._replace(image=image))
    assert len(faults) == len(to)
    assert {fault.kind for fault in faults} == {"error"}
    message = " ".join(map(str, faults))
    assert all(f"{name} " in message for name in [*table.name[to], *table.name[come]])


def test_a_duplicate_within_a_split_is_odd(tiny_dataset):
    table = tiny_dataset.table
    one, other = np.flatnonzero(table.split == "train")[[0, -1]]
    image = table.image.copy()
    image[one] = image[other]
    (fault,) = duplicate_faults(table._replace(image=image))
    assert fault.kind == "warning"
    assert "repeated images within a split: 1" in str(fault)
    assert str(table.identity[one]) in str(fault) and str(table.identity[other]) in str(fault)
    assert not duplicate_faults(table._replace(image=image), across_splits=True)
    names = {int(table.identity[one]): "anna", int(table.identity[other]): "bob"}
    (fault,) = duplicate_faults(table._replace(image=image), names)
    assert "identity anna" in str(fault) and "identity bob" in str(fault)


def test_a_synthetic_dataset_is_no_real_one(source, tmp_path):
    with pytest.raises(InputError, match="not mixed up with real ones"):
        load(source._replace(name="sysu_mm01"), tmp_path / "prepared")


def test_known_counts_are_checked(source, tmp_path):
    (source.folder / "synthetic.json").unlink()
    with pytest.raises(InputError, match=r"has \d+ images of \d identities, not the 4,721 of"):
        load(source._replace(name="sysu_mm01"), tmp_path / "prepared")
    assert load(source._replace(name="mine"), tmp_path / "prepared").table.name.size


def test_more_images_than_the_authors_need_another_name(source, tmp_path, monkeypatch):
    (source.folder / "synthetic.json").unlink()
    counts = {Group("train", "visible", 1): Count(1, 1)}
    monkeypatch.setattr("jreid.data.layouts.sysu_mm01.COUNTS", counts)
    for allow_partial in (False, True):
        theirs = source._replace(name="sysu_mm01", allow_partial=allow_partial)
        with pytest.raises(InputError, match=r"not the 1 of 1 .*--config\.data\.name=NAME"):
            load(theirs, tmp_path / "prepared")
    dataset = load(source._replace(name="mine"), tmp_path / "prepared")
    assert dataset.table.name.size and not dataset.partial


def test_a_missing_folder(source, tmp_path):
    with pytest.raises(InputError, match="jreid data synthesize --layout=sysu_mm01"):
        load(source._replace(folder=tmp_path / "no"), tmp_path / "prepared")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("synthetic", "--layout=sysu_mm01 --output="),
        ("tiny", "--layout=sysu_mm01 --preset=tiny --output="),
        ("tiny_regdb", "--layout=regdb --preset=tiny --output="),
        ("synthetic_llcm", "--layout=llcm --output="),
        ("synthetic_2", "--layout=sysu_mm01 --output="),
    ],
)
@pytest.mark.parametrize("dataset", [None, "sysu_mm01"])
def test_a_folder_called_as_a_synthetic_dataset_can_be_rendered(tmp_path, name, command, dataset):
    layout = "sysu_mm01" if dataset else command.split()[0].partition("=")[2]
    source = Source(dataset or name, layout, tmp_path / name)
    with pytest.raises(InputError) as error:
        load(source, tmp_path / "prepared")
    assert f"jreid data synthesize {command}{tmp_path / name}." in str(error.value)
    assert "agreement" not in str(error.value)


def test_a_label_that_does_not_fit_the_memory_is_refused(source, tmp_path):
    os.truncate(source.folder / "synthetic.json", 200 * 10**9)
    with pytest.raises(InputError, match=r"synthetic\.json is damaged"):
        load(source, tmp_path / "prepared")


def test_the_whole_synthetic_dataset_is_not_the_tiny_one(source, tmp_path):
    label = json.loads((source.folder / "synthetic.json").read_text())
    (source.folder / "synthetic.json").write_text(json.dumps(label | {"preset": "default"}))
    with pytest.raises(InputError, match=r"preset default, not tiny.*synthesize.*--preset=tiny"):
        load(source, tmp_path / "prepared")


def test_an_error_of_many_faults_names_the_command_that_shows_all(source, tmp_path):
    for path in sorted((source.folder / "cam4").glob("*/*.jpg"))[:5]:
        path.unlink()
    with pytest.raises(InputError, match=r"and \d+ more, see `") as error:
        load(source, tmp_path / "prepared")
    assert f"`jreid data check synthetic --source={source.folder}`" in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_image_is_named(source, tmp_path):
    image_of(source.folder, "train").chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        load(source, tmp_path / "prepared")
