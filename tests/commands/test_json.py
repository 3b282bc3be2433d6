"""`--json`: every verb prints one strict JSON document, and nothing else, on standard output."""

import argparse
import json

import numpy as np
import PIL.Image
import pytest
from helpers.command_line import SMALL_EVALUATION
from helpers.untrained_run import make_run

from jreid.__main__ import _parser, main
from jreid.commands.output import _strict
from jreid.files import parse_json

SMALL = ["--config.method=helpers.small_method", "--config.epochs=0", *SMALL_EVALUATION]
WITHOUT = {"import"}  # needs a published checkpoint


def verbs():
    """The words of each verb that has the flag."""

    def words(parser, before):
        actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if any("--json" in action.option_strings for action in parser._actions):
            yield " ".join(before)
        for action in actions:
            for name, verb in action.choices.items():
                yield from words(verb, [*before, name])

    return {*words(_parser(), [])}


@pytest.fixture(scope="module")
def home(tmp_path_factory, tiny_folder, prepared):
    """A folder with a trained run, an untrained one, a gallery and the run's features."""
    home = tmp_path_factory.mktemp("json")
    (home / "gallery").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (60, 30, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(home / "gallery" / "a.png")
    make_run(home / "untrained")
    places = [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"]
    run = [f"--workdir={home / 'run'}", "--trust-code"]
    assert main(["train", "--no-report", "--config=agw:tiny", *places, *SMALL, *run]) == 0
    features = f"--output={home / 'f.npz'}"
    assert main(["embed", *run, "--split=test", features]) == 0
    return home


@pytest.fixture(scope="module")
def cases(home, tiny_folder, prepared):
    """For each verb: arguments, and keys that its document must have."""
    run = [f"--workdir={home / 'run'}", "--trust-code"]
    untrained = [f"--workdir={home / 'untrained'}", "--trust-code"]
    gallery, tiny = home / "gallery", [f"--source={tiny_folder}", f"--prepared={prepared}"]
    protocol = "--protocol=sysu_mm01:trials=2,sampling=seeded"
    results = [str(home / "run"), str(home / "run" / "result.json")]
    return [
        ("train", run, {"rows", "method", "seed", "result"}),
        ("evaluate", run, {"rows", "method", "data_fingerprint", "result"}),
        ("evaluate", [f"--features={home / 'f.npz'}", protocol], {"rows", "result"}),
        ("evaluate", ["--compare", *results], {"first", "rows", "extraction_differences"}),
        ("embed", [*run, "--split=test", f"--output={home / 'g.npz'}"], {"output", "images"}),
        (
            "search",
            [*untrained, f"--query={gallery}", f"--gallery={gallery}"],
            {"queries", "checkpoint", "gallery_images"},
        ),
        ("pictures", [*run, "--images=1"], {"files"}),
        (
            "export",
            [*untrained, "--format=stablehlo", f"--output={home / 'm.stablehlo'}"],
            {"output", "card"},
        ),
        ("report", [*run, f"--output={home / 'r.html'}"], {"report"}),
        ("publish", [*untrained, f"--output={home / 'bundle'}"], {"output", "files"}),
        (
            "recall",
            [
                f"--features={home / 'f.npz'}",
                "--index=Flat",
                "--protocol=sysu_mm01:sampling=seeded",
            ],
            {"features", "protocol", "rows"},
        ),
        (
            "data synthesize",
            [f"--output={tiny_folder}", "--preset=tiny"],
            {"output", "layout", "preset", "seed"},
        ),
        ("data check", ["synthetic", tiny[0]], {"ok", "faults", "counts"}),
        ("data prepare", ["synthetic", *tiny], {"images", "partial"}),
        ("data show", ["synthetic", *tiny, f"--output={home / 's.jpg'}"], {"output", "counts"}),
        ("doctor", [], {"ok", "checks"}),
        ("list", ["methods"], {"methods"}),
        ("config show", ["agw:tiny"], {"seed", "batch.images"}),
        ("config schema", ["agw:tiny"], {"properties", "required"}),
    ]


def test_every_verb_prints_one_document(cases, capsys):
    assert {verb for verb, *_ in cases} | WITHOUT == verbs()
    for verb, arguments, keys in cases:
        capsys.readouterr()
        assert main([*verb.split(), *arguments, "--json"]) == 0, (verb, capsys.readouterr().err)
        document = parse_json(capsys.readouterr().out)  # refuses NaN, and text around it
        assert keys <= document.keys(), (verb, [*document])


def test_without_the_flag_the_output_is_text(capsys):
    assert main(["list", "methods"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("agw ")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(out)


def test_an_error_is_a_sentence_on_standard_error_alone(tmp_path, capsys):
    assert main(["evaluate", f"--workdir={tmp_path}", "--json"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("jreid: ") and err.count("\n") == 1


def test_faults_of_a_check_are_in_the_document_and_in_the_status(tmp_path, capsys):
    (tmp_path / "visible" / "ann").mkdir(parents=True)
    pixels = np.zeros((60, 30, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "visible" / "ann" / "a.png")
    assert main(["data", "check", "folder", f"--source={tmp_path}", "--json"]) == 1
    document = parse_json(capsys.readouterr().out)
    assert not document["ok"] and {"place", "what", "kind"} == document["faults"][0].keys()


def test_numbers_that_json_lacks_are_null():
    assert _strict({"a": (float("nan"), 1.5), 2: float("inf")}) == {"a": [None, 1.5], "2": None}
