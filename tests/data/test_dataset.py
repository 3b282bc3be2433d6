"""From a folder to its Table: what is used again, what is refused, and what is marked."""

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from jreid.data import prepared as packing
from jreid.data.dataset import Source, duplicate_faults, load
from jreid.data.transforms import decode
from jreid.errors import InputError
from jreid.synthetic.synthesize import synthesize


@pytest.fixture
def folder(tiny_folder, tmp_path) -> Path:
    """A copy of the tiny dataset, to break."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.fixture
def source(folder) -> Source:
    return Source("tiny", "sysu_mm01", folder)


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def image_of(folder: Path, split: str) -> Path:
    """The first image of the split's first identity in camera 6."""
    first = (folder / "exp" / f"{split}_id.txt").read_text().split(",")[0]
    return min((folder / "cam6" / f"{int(first):04d}").glob("*.jpg"))


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
def test_other_layouts_are_read_too(layout, tmp_path):
    folder = tmp_path / layout
    synthesize(folder, "tiny", seed=0, layout=layout)
    trial = 2 if layout == "regdb" else 0
    source = Source(f"tiny_{layout}", layout, folder, trial)
    dataset = load(source, tmp_path / "prepared")
    table = dataset.table
    images = [path for path in folder.rglob("*") if path.suffix in (".jpg", ".bmp")]
    assert len(table.name) == len(images)
    by_name = {path.relative_to(folder).with_suffix("").as_posix(): path for path in images}
    assert all(
        image == by_name[name].read_bytes()
        for name, image in zip(table.name, table.image, strict=True)
    )
    assert set(table.split) == {"train", "test"}
    train, test = (set(table.identity[table.split == split]) for split in ("train", "test"))
    assert not train & test


def test_trials_share_their_packed_images(tmp_path):
    folder = tmp_path / "regdb"
    synthesize(folder, "tiny", seed=0, layout="regdb")
    first, second = (
        load(Source("tiny_regdb", "regdb", folder, trial), tmp_path / "prepared")
        for trial in (1, 2)
    )
    assert (first.table.name == second.table.name).all()
    assert (first.table.split != second.table.split).any()
    assert first.fingerprint != second.fingerprint
    assert len(list((tmp_path / "prepared").iterdir())) == 2  # visible and infrared


def test_packed_images_are_used_again(source, tmp_path):
    first = load(source, tmp_path / "prepared")
    written = files(tmp_path / "prepared")
    second = load(source, tmp_path / "prepared")
    assert first.fingerprint == second.fingerprint
    assert files(tmp_path / "prepared") == written


def test_the_source_is_not_written_to(source, tmp_path):
    before = files(source.folder)
    load(source, tmp_path / "prepared")
    assert files(source.folder) == before


def test_an_interrupted_preparation_goes_on_with_the_rest(source, tmp_path, monkeypatch):
    read = packing.read_images
    seen = []

    def interrupted(rows, *options):
        seen.append(rows[0].camera)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return read(rows)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "read_images", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load(source, tmp_path / "prepared")
    done, seen[:] = seen[:2], []
    monkeypatch.setattr(
        packing, "read_images", lambda rows, *_: seen.append(rows[0].camera) or read(rows)
    )
    resumed = load(source, tmp_path / "prepared")
    assert len(seen) == 4
    assert not {*seen} & {*done}
    assert resumed.fingerprint == load(source, tmp_path / "other").fingerprint


def test_a_changed_image_is_packed_anew(source, tmp_path):
    before = load(source, tmp_path / "prepared")
    visible = sorted((source.folder / "cam1").glob("*/*.jpg"))
    infrared = image_of(source.folder, "train")
    infrared.write_bytes(visible[0].read_bytes() + b"\0")
    after = load(source, tmp_path / "prepared")
    assert before.fingerprint != after.fingerprint
    name = infrared.relative_to(source.folder).with_suffix("").as_posix()
    (image,) = after.table.image[after.table.name == name]
    assert image == visible[0].read_bytes() + b"\0"


@pytest.mark.parametrize("file", ["*tfrecord*", "dataset_info.json"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.unlink(),
    ],
)
def test_a_damaged_packed_copy_is_named_or_made_again(source, tmp_path, file, damage):
    whole = load(source, tmp_path / "prepared")
    damage(max((tmp_path / "prepared").rglob(file), key=lambda path: path.stat().st_size))
    try:
        assert load(source, tmp_path / "prepared").fingerprint == whole.fingerprint
    except InputError as error:
        assert str(error).endswith("is damaged; remove it, and jreid creates it again.")


def test_a_flipped_bit_in_a_packed_copy_is_found(source, tmp_path):
    load(source, tmp_path / "prepared")
    record = max((tmp_path / "prepared").rglob("*tfrecord*"), key=lambda p: p.stat().st_size)
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 1
    record.write_bytes(content)
    with pytest.raises(InputError, match="is damaged; remove it"):
        load(source, tmp_path / "prepared")


BAD_IMAGES = [
    (lambda jpeg: jpeg[: len(jpeg) // 2], "cannot be"),
    (lambda jpeg: b"", "is no JPEG, PNG, BMP image"),
    (lambda jpeg: b"<html>not found</html>", "is no JPEG, PNG, BMP image"),
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
    with pytest.raises(InputError, match="is no JPEG"):
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


def swap_unseen(one: Path, other: Path) -> None:
    """Writes the other's content over a file of equal size, and sets its time back."""
    stat = one.stat()
    one.write_bytes(other.read_bytes().ljust(stat.st_size, b"\0")[: stat.st_size])
    os.utime(one, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (one.stat().st_size, one.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


@pytest.mark.fault("A4")
def test_images_of_the_same_size_and_time_are_distinguished(source, tmp_path):
    before = load(source, tmp_path / "prepared")
    smaller, larger = sorted((source.folder / "cam6").glob("*/*.jpg"), key=os.path.getsize)[::11][
        :2
    ]
    swap_unseen(larger, smaller)
    after = load(source, tmp_path / "prepared")
    name = larger.relative_to(source.folder).with_suffix("").as_posix()
    (image,) = after.table.image[after.table.name == name]
    assert image == larger.read_bytes()
    assert after.fingerprint != before.fingerprint
    assert after.fingerprint == load(source, tmp_path / "anew").fingerprint
    assert len(list((tmp_path / "prepared").iterdir())) == 7  # six cameras, one of them twice


@pytest.mark.fault("A4")
def test_a_file_that_changes_while_it_is_packed_is_reported(source, tmp_path, monkeypatch):
    path, hash_file = image_of(source.folder, "train"), packing.hash_file

    def then_changed(file):
        digest = hash_file(file)
        if file == path:
            file.write_bytes(file.read_bytes() + b"\0")
        return digest

    monkeypatch.setattr(packing, "hash_file", then_changed)
    with pytest.raises(InputError, match="changed while it was packed") as error:
        load(source, tmp_path / "prepared")
    assert str(path) in str(error.value)
    assert not list((tmp_path / "prepared").glob("*infrared_6*"))


@pytest.mark.fault("A4")
def test_a_fault_is_forgotten_with_its_file(source, tmp_path, monkeypatch):
    path, read_bytes = image_of(source.folder, "train"), Path.read_bytes

    def refused(file):
        if file == path:
            raise PermissionError(13, "Permission denied")
        return read_bytes(file)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refused)
        with pytest.raises(InputError, match="cannot be read \\(Permission denied\\)"):
            load(source, tmp_path / "prepared")
    assert load(source, tmp_path / "prepared").table.name.size


def test_deep_images_are_packed_by_their_range(source, tmp_path):
    path = image_of(source.folder, "train")
    counts = np.linspace(51_200, 52_220, 64 * 32).astype(np.uint16).reshape(64, 32)
    path.unlink()
    PIL.Image.fromarray(counts).save(path.with_suffix(".png"))
    for on_bad_image in ("raise", "skip"):
        with pytest.raises(InputError, match=r"depth_range=.*16 bits per channel: 1\.$"):
            load(source._replace(on_bad_image=on_bad_image), tmp_path / "prepared")
    name = path.relative_to(source.folder).with_suffix("").as_posix()
    for high in (52_220, 60_000):
        stretched = source._replace(depth_range=(51_200, high))
        table = load(stretched, tmp_path / "prepared").table
        (image,) = table.image[table.name == name]
        level = np.asarray(decode(image))[-1, -1, 0]
        assert level == round((52_220 - 51_200) / (high - 51_200) * 255)
    with pytest.raises(InputError, match=r"config\.data\.depth_range=\(5, 5\)"):
        load(source._replace(depth_range=(5, 5)), tmp_path / "prepared")


@pytest.mark.fault("B4")
def test_of_jobs_that_pack_at_once_all_have_the_dataset(source, tmp_path, monkeypatch):
    barrier, read = threading.Barrier(3), packing.read_images

    def at_once(rows, *options):
        if rows[0].camera == 1:
            barrier.wait(30)
        yield from read(rows, *options)

    monkeypatch.setattr(packing, "read_images", at_once)
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(load, source, tmp_path / "prepared") for _ in range(3)]
        assert len({job.result().fingerprint for job in jobs}) == 1
    assert len(list((tmp_path / "prepared").iterdir())) == 6  # cameras, and nothing unfinished


def test_a_place_that_cannot_be_written_is_reported(source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file.* cannot be written \(Not a directory\)"):
        load(source, tmp_path / "file" / "prepared")
