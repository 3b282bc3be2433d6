"""What is printed beside the quickstart's result, and the mean of several runs."""

import json

import pytest

from jreid import config as configs
from jreid.commands.results import QUICKSTART, print_rows, read_runs, split_paths
from jreid.errors import InputError

NUMBERS = {"cmc": {"1": 0.3885, "10": 0.9}, "mAP": 0.4, "mINP": 0.3}
ROW = {
    "label": "all, 1-shot",
    "rerank": "none",
    "fingerprint": QUICKSTART,
    **NUMBERS,
    "std": NUMBERS,
    "trials": 10,
    "of_trials": 10,
    "queries": 9,
    "valid_queries": 9,
}


@pytest.mark.parametrize(
    ("flags", "changes", "part"),
    [
        ([], {}, "38.85 is inside"),
        ([], {"cmc": {"1": 0.1, "10": 0.9}}, "10.00 is outside"),
        (["--config.epochs=8"], {}, None),
        ([], {"fingerprint": "other"}, None),
    ],
)
def test_the_quickstart_alone_has_an_expected_range(flags, changes, part, capsys):
    print_rows(configs.load("agw:synthetic", flags), [{**ROW, **changes}])
    out = capsys.readouterr().out
    assert (part in " ".join(out.split())) if part else ("Expected" not in out)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Folders as a sweep makes them, whose names have commas."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("a", "b", "a,b", "x=1,y=2/seed_0", "x=1,y=2/seed_1", "home/c"):
        (tmp_path / name).mkdir(parents=True)


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        ("a", ["a"]),
        ("a,b", ["a,b"]),  # what exists is not split
        ("b,a", ["b", "a"]),
        ("b,a,b", ["b", "a,b"]),
        ("x=1,y=2/seed_0,x=1,y=2/seed_1", ["x=1,y=2/seed_0", "x=1,y=2/seed_1"]),
        ("b,~/c", ["b", "{home}/c"]),
        ("nowhere", ["nowhere"]),
    ],
)
def test_paths_with_commas(given, paths, folders, tmp_path):
    home = tmp_path / "home"
    assert [*map(str, split_paths(given))] == [path.format(home=home) for path in paths]


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ("b,", "a part is empty"),
        (",b", "a part is empty"),
        ("b,,a", "a part is empty"),
        ("b,nowhere", "there is no file or folder nowhere"),
        ("x=1,y=2/seed_0,x=1,y=2/seed_7", "no file or folder x=1,y=2/seed_7"),
        ("b,https://host/r.json", "URL"),
    ],
)
def test_parts_that_are_no_paths(given, cause, folders):
    with pytest.raises(InputError, match=cause):
        split_paths(given)


@pytest.fixture
def run_of(tmp_path):
    """Makes a run's folder: its config and its result."""

    def make(name, *flags):
        config = configs.load("agw:synthetic", [f"--config.{flag}" for flag in flags])
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config.to_dict()))
        result = {"method": "agw", "seed": config.seed, "extraction": {"flip": True}}
        row = ROW | {"checkpoint": "last", "protocol": {}}
        (folder / "result.json").write_text(json.dumps(result | {"rows": [row]}))
        return folder

    return make


def test_runs_of_one_config_have_a_mean(run_of):
    one, two = run_of("one", "seed=1", "data.folder=here"), run_of("two", "seed=2")
    assert read_runs(f"{one},{two}")["seeds"] == [1, 2]


def test_means_over_trials_of_two_configs_have_no_mean(run_of):
    runs = [run_of("one", "seed=1"), run_of("two", "seed=2", "image.erase_probability=0.5")]
    for run in runs:
        (run / "trial_01").mkdir()
        (run / "config.json").rename(run / "trial_01" / "config.json")
    with pytest.raises(InputError, match=r"image\.erase_probability"):
        read_runs(",".join(map(str, runs)))


def test_runs_of_two_configs_have_no_mean(run_of):
    one, two = run_of("one", "seed=1"), run_of("two", "seed=2", "optimizer.learning_rate=9.0")
    for given in (f"{one},{two}", f"{one / 'result.json'},{two}"):
        with pytest.raises(InputError, match=r"optimizer\.learning_rate: 0\.1, 9\.0"):
            read_runs(given)
