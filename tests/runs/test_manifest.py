import random
import shutil
import subprocess

import pytest

from jreid.runs import manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "step" / "arrays").mkdir(parents=True)
    (tmp_path / "step" / "arrays" / "kernel").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "step" / "score").write_text("0.5")
    manifest.seal(tmp_path / "step")
    return tmp_path / "step"


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_every_one_of_200_flipped_bits_is_found(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    sizes = [8 * path.stat().st_size for path in files]
    rng = random.Random(0)
    named = set()
    for _ in range(200):
        (path,) = rng.choices(files, sizes)
        bit = rng.randrange(8 * path.stat().st_size)
        flip(path, bit)
        named.add(manifest.fault(folder))
        flip(path, bit)
        assert manifest.fault(folder) is None
    assert None not in named
    assert "arrays/kernel has changed since it was written" in named


def test_bits_of_the_manifest_itself_count(folder):
    path = folder / manifest.MANIFEST
    for bit in range(0, 8 * path.stat().st_size, 7):
        flip(path, bit)
        assert manifest.fault(folder)
        flip(path, bit)


def test_missing_cut_zeroed_and_added_files_are_named(folder, tmp_path):
    def damaged(damage):
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        damage(copy)
        found = manifest.fault(copy)
        shutil.rmtree(copy)
        return found

    assert damaged(lambda copy: (copy / "score").unlink()) == "score is missing"
    assert "arrays/kernel" in damaged(lambda copy: (copy / "arrays/kernel").write_bytes(b""))
    assert "arrays/kernel" in damaged(lambda copy: (copy / "arrays/kernel").write_bytes(bytes(9)))
    assert "more is not in" in damaged(lambda copy: (copy / "more").touch())
    assert "has no SHA256SUMS" in damaged(lambda copy: (copy / manifest.MANIFEST).unlink())
    assert "missing" in damaged(lambda copy: shutil.rmtree(copy / "arrays"))


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_sha256sum_reads_it(folder):
    command = ["sha256sum", "--check", "--strict", manifest.MANIFEST]
    assert subprocess.run(command, cwd=folder, capture_output=True).returncode == 0
    flip(folder / "score", 3)
    assert subprocess.run(command, cwd=folder, capture_output=True).returncode != 0
