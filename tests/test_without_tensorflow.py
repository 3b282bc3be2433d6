"""Without the extra `data`: what embeds and evaluates works, what trains says what to install."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import SMALL_EVALUATION
from helpers.paths import ROOT
from helpers.run_folder import rows_of

from jreid.__main__ import main
from jreid.commands.overview import KINDS

PROTOCOL = "sysu_mm01:search=all,shots=1,trials=2,sampling=seeded"
# A process in which TensorFlow cannot be imported, for any number of jreid's commands.
SCRIPT = """
import json, sys
sys.modules |= dict.fromkeys(["tensorflow", "tensorflow_datasets", "tensorboard"])
from jreid.__main__ import main
for command in json.loads(sys.argv[1]):
    print("status", main(command), flush=True)
"""


def embed_of(workdir):
    return ["embed", "--workdir", workdir, "--trust-code"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_folder, prepared):
    """The flags of a run of no epoch, which this process trained with TensorFlow."""
    workdir = str(tmp_path_factory.mktemp("whole") / "run")
    places = [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]
    flags = [f"--config={ROOT}/configs/agw.py:tiny", "--config.epochs=0", *places]
    flags.append("--config.method=helpers.small_method")
    assert main(["train", "--no-report", *flags, *SMALL_EVALUATION, "--workdir", workdir]) == 0
    assert main([*embed_of(workdir), "--split=test", "--output", f"{workdir}.npz"]) == 0
    return workdir, flags


def test_embed_and_evaluate_work_and_training_says_what_it_needs(run, tiny_folder, tmp_path):
    workdir, flags = run
    split, folder = tmp_path / "split.npz", tmp_path / "folder.npz"
    rows = rows_of(Path(workdir))
    commands = [
        [*embed_of(workdir), "--split=test", "--output", str(split)],
        [
            *embed_of(workdir),
            "--images",
            str(tiny_folder / "cam1"),
            "--modality=visible",
            "--output",
            str(folder),
        ],
        ["evaluate", "--workdir", workdir, "--trust-code"],
        ["evaluate", "--features", str(split), f"--protocol={PROTOCOL}"],
        *(["list", kind] for kind in KINDS),
        ["train", *flags, "--workdir", str(tmp_path / "run")],
        ["data", "prepare", "synthetic", "--source", str(tiny_folder)],
        ["import", *flags[:1], "--checkpoint", str(tmp_path / "no.pth"), "--workdir=x"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=ROOT / "tests",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    statuses = [line[-1] for line in done.stdout.splitlines() if line.startswith("status")]
    assert statuses == [*"0000", *["0"] * len(KINDS), *"222"], done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("jreid:")]
    training, preparing, importing = sentences
    for sentence in (training, preparing):
        assert 'pip install "jreid[data]"' in sentence
    assert "no.pth" in importing
    with np.load(f"{workdir}.npz") as one, np.load(split) as other:
        np.testing.assert_allclose(one["features"], other["features"], rtol=1e-5, atol=1e-5)
        assert json.loads(str(one["origin"]))["row"] == json.loads(str(other["origin"]))["row"]
    assert rows_of(Path(workdir)) == rows
