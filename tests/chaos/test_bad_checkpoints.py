"""Checkpoints that cannot be written, are damaged, or lie where another run wants to be."""

import errno
import itertools
import os
import random
import re
import shutil
import subprocess

import pytest
from helpers.command_line import outcome, run, started, steps_in, tiny_flags
from helpers.run_folder import rows_of

from jreid.__main__ import main
from jreid.runs import manifest
from jreid.runs.checkpoints import Checkpoints

FLIPS = 200
PAGE = 4096  # bytes that a small file takes in a tmpfs
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def flags(tiny_folder, prepared):
    return ["train", *tiny_flags(tiny_folder, prepared)]


@pytest.fixture(scope="module")
def trained(flags, tmp_path_factory):
    """A run of two epochs; nobody writes to it."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    assert main([*flags, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def zero(path):
    content = path.read_bytes()
    path.write_bytes(bytes(min(4096, len(content))) + content[4096:])


DAMAGES = {
    "zeroed": zero,
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "deleted": lambda path: path.unlink(),
}


@pytest.mark.fault("F06")
def test_any_flipped_bit_is_found(copy):
    newest = copy / "checkpoints" / str(steps_in(copy)[-1])
    files = [path for path in sorted(newest.rglob("*")) if path.is_file()]
    sizes = [path.stat().st_size for path in files]
    moments = random.Random(0)
    for _ in range(FLIPS):
        (path,) = moments.choices(files, sizes)
        whole = path.read_bytes()
        bit = moments.randrange(8 * len(whole))
        rotten = bytearray(whole)
        rotten[bit // 8] ^= 1 << bit % 8
        path.write_bytes(rotten)
        assert manifest.fault(newest), (path, bit)
        path.write_bytes(whole)
    assert manifest.fault(newest) is None


@pytest.mark.fault("F06")
def test_damage_to_any_file_is_found(copy):
    newest = copy / "checkpoints" / str(steps_in(copy)[-1])
    files = sorted(path for path in newest.rglob("*") if path.is_file())
    some = [path for path in files if path.parent == newest] + files[::9]
    for path, damage in zip(some, itertools.cycle(DAMAGES.values()), strict=False):
        whole = path.read_bytes()
        damage(path)
        changed = not path.exists() or path.read_bytes() != whole
        assert bool(manifest.fault(newest)) == changed, path
        path.write_bytes(whole)


@pytest.mark.fault("F06")
def test_a_damaged_checkpoint_is_passed_over(copy, trained, flags, capsys):
    first, second = steps_in(copy)
    newest = copy / "checkpoints" / str(second)
    (array,) = newest.glob("model/params.classifier.kernel/c/0/0")
    zero(array)
    assert main(["evaluate", f"--workdir={copy}"]) == 0
    err = capsys.readouterr().err
    assert f"{newest} is damaged (model/params.classifier.kernel/c/0/0 has changed since" in err
    assert {row["step"] for row in rows_of(copy)} == {first}
    assert main([*flags, f"--workdir={copy}"]) == 0
    assert outcome(copy) == outcome(trained)


@pytest.mark.fault("F06")
def test_no_whole_checkpoint_at_all(copy, flags, capsys):
    for path in (copy / "checkpoints").glob("*/notes.json"):
        path.unlink()
    for verb in (flags, ["evaluate"]):
        assert main([*verb, f"--workdir={copy}"]) == 2
        message = capsys.readouterr().err.strip().splitlines()[-1]
        assert str(copy) in message
        assert "checkpoint" in message


@pytest.mark.fault("F05")
def test_a_disk_that_fills_while_saving(flags, trained, tmp_path, capsys, monkeypatch):
    workdir, seal, calls = tmp_path / "run", manifest.seal, []

    def filling(folder):
        calls.append(folder)
        if len(calls) > 3:  # those of step 0, of step 11 and with its score
            raise OSError(errno.ENOSPC, "No space left on device")
        seal(folder)

    monkeypatch.setattr(manifest, "seal", filling)
    assert main([*flags, f"--workdir={workdir}"]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("jreid: the checkpoint of step 22 cannot be written to ")
    assert "No space left on device" in message
    assert "; free disk space and give the same command again; " in message
    assert "the last good checkpoint is step 11 in" in message
    assert not [*workdir.glob("checkpoints/*.unfinished*")]
    assert not (workdir / "result.json").exists()
    monkeypatch.undo()
    assert main([*flags, f"--workdir={workdir}"]) == 0
    assert outcome(workdir) == outcome(trained)


@pytest.fixture
def small_disk(trained, tmp_path):
    """A file system of its own that holds one checkpoint and not two."""
    place = tmp_path / "small"
    place.mkdir()
    files = (trained / "checkpoints" / str(steps_in(trained)[0])).rglob("*")
    pages = sum(-(-path.stat().st_size // PAGE) for path in files if path.is_file())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE * 5 // 4}", "tmpfs", str(place)],
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.fault("F05")
def test_a_full_disk(flags, small_disk):
    workdir = small_disk / "run"
    done = run(*flags, f"--workdir={workdir}")
    message = done.refused()
    assert message.startswith("jreid: the checkpoint of step 11 cannot be written to ")
    assert "; free disk space and give the same command again; " in message
    last_good = re.search(r"the last good checkpoint is step (\d+) in", message)
    assert len({*done.messages}) == len(done.messages)
    assert "WARNING:" not in done.err, "a warning is reported twice"
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        assert last_good and checkpoints.latest == int(last_good[1])
    assert not [*workdir.glob("checkpoints/*.unfinished*")]


@pytest.mark.fault("F07")
@pytest.mark.parametrize("verb", ["evaluate", "embed"])
def test_a_checkpoint_of_another_config(copy, trained, capsys, verb):
    """Its own config file and record say otherwise than its arrays do."""
    for file in (copy / "config.json", copy / "run.json"):
        file.write_text(file.read_text().replace('"width": 8', '"width": 16'))
    flags = ["--split=test", f"--output={copy}/x.npz"] if verb == "embed" else []
    before = (copy / "result.json").read_bytes()
    assert main([verb, f"--workdir={copy}", *flags]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "nothing is loaded" in message
    assert "float32[" in message
    assert (copy / "result.json").read_bytes() == before
    assert not (copy / "x.npz").exists()


@pytest.mark.fault("F09")
def test_two_runs_in_one_folder(flags, tmp_path, capsys):
    with started(*flags, "--config.epochs=50", f"--workdir={tmp_path}/run") as process:
        assert any(line.startswith("step 1/") for line in process.stderr)
        assert main([*flags, "--config.epochs=50", f"--workdir={tmp_path}/run"]) == 2
        message = capsys.readouterr().err.strip().splitlines()[-1]
        assert f"run is in use by process {process.pid} on " in message
        assert process.poll() is None


@pytest.mark.fault("F09")
@pytest.mark.parametrize("place", ["file/run", "readonly/run"])
def test_a_folder_that_cannot_be_made(flags, tmp_path, capsys, place):
    (tmp_path / "file").touch()
    (tmp_path / "readonly").mkdir(mode=0o500)
    if place.startswith("readonly") and os.access(tmp_path / "readonly", os.W_OK):
        pytest.skip("this user may write everywhere")
    assert main([*flags, f"--workdir={tmp_path}/{place}"]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{tmp_path}/{place} cannot be written to" in message
