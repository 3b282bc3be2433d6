"""The wheel: installed without the clone, it works from any directory.

The virtual environment has the packages of the running interpreter, and of jreid the wheel alone.
"""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from helpers.command_line import SMALL_EVALUATION
from helpers.paths import ROOT, WHEEL_SOURCES


@pytest.fixture(scope="module")
def jreid(tmp_path_factory):
    """Runs the installed command in an empty directory with a space in its name."""
    home = tmp_path_factory.mktemp("wheel")
    source, place = home / "source", home / "an empty place"
    source.mkdir()
    place.mkdir()
    for name in WHEEL_SOURCES:
        (source / name).symlink_to(ROOT / name)
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={home}"]
    pip(sys.executable, *build, source)
    venv.create(home / "venv", with_pip=False, symlinks=True)
    python = home / "venv" / "bin" / "python"
    (packages,) = (home / "venv" / "lib").glob("python*/site-packages")
    (packages / "running.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (wheel,) = home.glob("jreid-*.whl")
    pip(sys.executable, f"--python={python}", "install", "--no-deps", "--no-index", wheel)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*arguments):
        command = [home / "venv" / "bin" / "jreid", *arguments]
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.place, run.files = place, zipfile.ZipFile(wheel).namelist()
    return run


def pip(python: str, *arguments: str | Path) -> None:
    command = [python, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_wheel_has_configs_and_knows_its_version(jreid):
    assert "+clone" not in jreid("--version")
    assert {f"jreid/serve/page.{kind}" for kind in ("css", "html", "js")} <= {*jreid.files}
    assert "pfinet" in jreid("list", "configs")
    assert "config.seed = 0" in jreid("config", "show", "agw:synthetic")


@pytest.mark.slow  # `.ci/run` runs it
def test_a_wheel_renders_trains_evaluates_and_embeds(jreid):
    jreid("data", "synthesize", "--preset=tiny", "--output=my data")
    plain = ["--config.backbone.non_local=(0,0,0,0)", "--config.backbone.width", "4"]
    small = ["--config.epochs", "1", *plain, *SMALL_EVALUATION]
    run = "--workdir=my runs/one"
    jreid("train", "--config=agw:tiny", "--config.data.folder=my data", *small, run)
    assert "all, 1-shot" in jreid("evaluate", run)
    jreid("embed", run, "--split=test", "--output=test features.npz")
    protocol = "--protocol=sysu_mm01:search=all,shots=1,trials=2,sampling=seeded"
    features = ["--features=test features.npz", protocol, "--output=own.json"]
    assert "all, 1-shot" in jreid("evaluate", *features)
    own = json.loads((jreid.place / "own.json").read_text())["rows"]
    assert own[0]["fingerprint"] and own[0]["mAP"] > 0
    record = json.loads((jreid.place / "my runs" / "one" / "run.json").read_text())
    assert record["revision"] is None
