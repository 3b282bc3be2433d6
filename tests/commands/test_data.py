"""`jreid data` as a user meets it, on folders rendered in each dataset's layout."""

import json
import shutil
from itertools import product

import pytest
from PIL import Image

from jreid import config as configs
from jreid.__main__ import main
from jreid.commands.common import dataset_of
from jreid.datasets import MODALITIES
from jreid.synthetic.synthesize import synthesize

LAYOUTS = ["sysu_mm01", "regdb", "llcm"]


@pytest.fixture(scope="module", params=LAYOUTS)
def rendered(request, render, tmp_path_factory):
    return render(tmp_path_factory.mktemp("verbs") / request.param, request.param)


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_synthesize_check_prepare_show(capsys, tmp_path):
    folder, prepared = tmp_path / "people", tmp_path / "prepared"
    for layout in LAYOUTS:
        shutil.rmtree(folder, ignore_errors=True)
        flags = ["--preset=tiny", f"--layout={layout}", f"--output={folder}"]
        assert run(capsys, "data", "synthesize", *flags)[0] == 0
        status, out, _ = run(capsys, "data", "check", "synthetic", f"--source={folder}")
        assert status == 0
        assert out.splitlines()[-1] == f"{folder}: OK, no problems found"
        images = sum(
            row[-1] for row in json.loads((folder / "synthetic.json").read_text())["counts"]
        )
        flags = [f"--source={folder}", f"--prepared={prepared}"]
        status, out, _ = run(capsys, "data", "prepare", "synthetic", *flags)
        assert status == 0
        assert f"{images} images of synthetic" in out
        sheet = tmp_path / f"{layout}.jpg"
        status, out, _ = run(capsys, "data", "show", "synthetic", *flags, f"--output={sheet}")
        assert status == 0
        assert sheet.stat().st_size > 1000
        assert "train" in out and "infrared" in out


@pytest.mark.fault("F13")
def test_a_half_unpacked_folder(capsys, rendered, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(rendered, folder)
    lost = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".bmp"))[::7]
    for path in lost:
        path.unlink()
    status, out, _ = run(capsys, "data", "check", "synthetic", f"--source={folder}")
    assert status == 1
    for path in lost:
        assert path.relative_to(folder).with_suffix("").as_posix() in out
    flags = [f"--source={folder}", f"--prepared={tmp_path}/prepared"]
    status, _, err = run(capsys, "data", "prepare", "synthetic", *flags)
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "prepared").exists()
    status, out, _ = run(capsys, "data", "prepare", "synthetic", *flags, "--allow-partial")
    assert status == 0
    assert "(partial)" in out


@pytest.fixture
def own(tmp_path):
    """A folder of two people, each with one image of each modality, to spoil."""
    for number, (modality, person) in enumerate(product(MODALITIES, ("anna", "bob"))):
        path = tmp_path / "own" / modality / person / "1.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 16), (60 * number, 0, 0)).save(path)
    return tmp_path / "own"


def test_a_folder_without_images_is_not_sound_and_train_says_why(capsys, own, tmp_path):
    for modality in MODALITIES:
        for path in (own / modality).rglob("*.png"):
            path.rename(own / modality / f"{path.parent.name}.png")
    status, out, _ = run(capsys, "data", "check", "folder", f"--source={own}")
    cause = "visible holds no image in a folder of an identity; put the visible images into folders"
    assert status == 1 and cause in out and "OK" not in out
    flags = ["--config=agw:folder,small", f"--config.data.folder={own}", "--config.weights=none"]
    status, _, err = run(capsys, "train", *flags, f"--workdir={tmp_path}/run")
    assert status == 2 and cause in err.splitlines()[-1]


def test_images_that_are_left_out_are_logged_whenever_a_dataset_is_loaded(capsys, own, tmp_path):
    (own / "visible/anna/2.tif").touch()
    (own / "visible/bob/deep").mkdir()
    (own / "visible/bob/deep/2.png").touch()
    (own / "visible/eve").mkdir()
    shutil.copy(own / "visible/bob/1.png", own / "visible/eve")
    (own / "splits.txt").write_text("anna train\n\nbob test\n")
    prepared = f"--prepared={tmp_path}/prepared"
    status, out, err = run(capsys, "data", "prepare", "folder", f"--source={own}", prepared)
    assert status == 0 and "4 images of folder" in out
    left_out = ("2.tif", "bob/deep/2.png", "does not name 1 folder, 1 image, left out")
    lines = err.splitlines()
    assert len(lines) == len(left_out)
    for what in left_out:
        (line,) = (line for line in lines if what in line)
        assert line.startswith(f"jreid: {own}: ") and "left out" in line


def test_what_is_left_out_is_logged_once_and_never_floods(caplog, monkeypatch, own, tmp_path):
    for number in range(5):
        place = own / f"copy{number}/visible/anna"
        place.mkdir(parents=True)
        (place / "1.png").touch()
    flags = [f"--config.data.folder={own}", f"--config.data.prepared={tmp_path}/prepared"]
    config = configs.load("agw:folder,small", flags)
    with monkeypatch.context() as patch:
        patch.setattr("jreid.distributed.processes.is_main_process", lambda: False)
        dataset_of(config)
    assert "left out" not in caplog.text
    for _ in range(2):
        dataset_of(config)
    lines = [line for line in caplog.messages if "splits.txt" not in line]
    assert [line.count("one folder deeper; they are left out") for line in lines] == [1, 1, 1, 0]
    assert lines[-1] == f"{own}: and 2 more, see `jreid data check folder --source={own}`"


@pytest.mark.fault("F13")
def test_the_authors_counts(capsys, rendered, tmp_path):
    folder = tmp_path / "no_label"
    shutil.copytree(rendered, folder)
    layout = rendered.name
    status, _, err = run(capsys, "data", "check", layout, f"--source={rendered}")
    assert status == 2
    assert "not mixed up with real ones" in err
    (folder / "synthetic.json").unlink()
    status, out, _ = run(capsys, "data", "check", layout, f"--source={folder}")
    assert status == 1
    assert "that belong there; unpack the dataset again" in out
    status, _, err = run(capsys, "data", "prepare", layout, f"--source={folder}")
    assert status == 2
    assert "not the" in err


def test_no_folder(capsys, tmp_path):
    for dataset in (*LAYOUTS, "folder", "synthetic"):
        for action in ("check", "prepare"):
            status, _, err = run(capsys, "data", action, dataset, f"--source={tmp_path}/no")
            assert status == 2
            assert f"{tmp_path}/no" in err
            assert len(err.strip().splitlines()) == 1


def test_a_sheet_of_another_format(capsys, rendered, tmp_path):
    flags = [
        f"--source={rendered}",
        f"--prepared={tmp_path}/prepared",
        f"--output={tmp_path}/a.txt",
    ]
    status, _, err = run(capsys, "data", "show", "synthetic", *flags)
    assert status == 2
    assert "a.txt" in err
    assert not (tmp_path / "prepared").exists()


def test_one_of_several_lists_follows_the_name(capsys, tmp_path):
    folder = tmp_path / "mp_reid"
    synthesize(folder, "tiny", seed=0, layout="mp_reid")
    check = ("data", "check", "synthetic", f"--source={folder}")
    assert run(capsys, *check)[0] == 0
    status, out, _ = run(capsys, "data", "check", "synthetic,experiment=uav_ir_uav_rgb", check[-1])
    assert status == 1 and "exp_uav_ir_uav_rgb is missing" in " ".join(out.split())
    for given, message in (
        ("experiment=cctv_ir_uav_ir", "images of one modality"),
        ("trial=1", "only the option experiment="),
    ):
        status, _, err = run(capsys, "data", "check", f"synthetic,{given}", check[-1])
        assert status == 2 and message in " ".join(err.split())
    status, _, err = run(capsys, "data", "check", "llcm,trial=1", check[-1])
    assert status == 2 and "llcm has no options" in " ".join(err.split())


def test_orbench_says_whose_people_it_has(capsys, tmp_path):
    folder = tmp_path / "orbench"
    synthesize(folder, "tiny", seed=0, layout="orbench")
    status, out, _ = run(capsys, "data", "check", "synthetic", f"--source={folder}")
    assert status == 0
    assert "of LLCM and" in " ".join(out.split())
