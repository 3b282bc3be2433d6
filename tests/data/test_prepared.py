"""Packed copies: what is used again, what is packed anew, and what changes or breaks meanwhile."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.tiny_dataset import image_of

from jreid.data import prepared as packing
from jreid.data.dataset import Source, load
from jreid.data.transforms import decode
from jreid.errors import InputError


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_trials_share_their_packed_images(render, tmp_path):
    folder = render(tmp_path / "regdb", "regdb")
    first, second = (
        load(Source("tiny_regdb", "regdb", folder, trial), tmp_path / "prepared")
        for trial in (1, 2)
    )
    assert (first.table.name == second.table.name).all()
    assert (first.table.split != second.table.split).any()
    assert first.fingerprint != second.fingerprint
    assert len(list((tmp_path / "prepared").iterdir())) == 2  # visible and infrared


def test_the_source_is_not_written_to(source, tmp_path):
    before = files(source.folder)
    load(source, tmp_path / "prepared")
    assert files(source.folder) == before


def test_nothing_is_left_in_the_folder_for_temporary_files(source, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    load(source, tmp_path / "prepared")
    assert not any((tmp_path / "temporary").iterdir())


def test_images_that_exif_turns_are_counted_when_they_are_packed(source, tmp_path, caplog):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    paths = [sorted(source.folder.glob(f"{camera}/*/*.jpg"))[0] for camera in ("cam1", "cam3")]
    for path in paths:
        PIL.Image.open(path).save(path, exif=exif)
    for _ in range(2):
        load(source, tmp_path / "prepared")
    (message,) = (message for message in caplog.messages if "EXIF" in message)
    assert message.startswith(tuple(map(str, paths))) and "in all: 2" in message


def test_packed_images_are_used_again(source, tmp_path):
    first = load(source, tmp_path / "prepared")
    written = files(tmp_path / "prepared")
    second = load(source, tmp_path / "prepared")
    assert first.fingerprint == second.fingerprint
    assert files(tmp_path / "prepared") == written


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
