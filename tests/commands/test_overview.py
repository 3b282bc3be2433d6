"""What there is, and what a config says."""

import json
import re

import jsonschema
import pytest

import jreid
from jreid import config as configs
from jreid.__main__ import main
from jreid.config_comments import comment_of, comments_of


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("methods", r"idkl +IDKL \(Ren"),
        ("datasets", r"regdb +RegDB; trial=1 to 10"),
        ("protocols", r"llcm_all +LLCM as IDKL"),
        ("losses", r"center_cluster +Mean distance"),
        ("configs", r"pfinet +PFINet: gray images"),
    ],
)
def test_a_line_for_each_of_what_there_is(kind, line, capsys):
    assert main(["list", kind]) == 0
    out = capsys.readouterr().out
    assert re.search(f"^{line}", out, re.MULTILINE)
    assert all(re.fullmatch(r"\w+ +\S.*", line) for line in out.splitlines())


def test_re_rankings_say_which_were_chosen_on_test_data(capsys):
    assert main(["list", "rerankings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["none", "standard", "query_only"]
    published = [line for line in lines if "published=" in line]
    assert published and all("TEST data" in line for line in published)
    assert main(["list", "rerankings", "mylab.rerank"]) == 2
    assert "mylab.rerank" in capsys.readouterr().err


def test_dotted_names_are_listed_too(tmp_path, monkeypatch, capsys):
    code = '"""A module of somebody else\'s.\n\nMore."""\n\n\ndef create(config): "A method."\n'
    (tmp_path / "listed_of_this_test.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["list", "methods", "listed_of_this_test.", "x"]) == 2
    assert "not the name of a Python module" in capsys.readouterr().err
    assert main(["list", "losses", "listed_of_this_test.create"]) == 0
    assert "listed_of_this_test.create  A method." in capsys.readouterr().out


def test_a_config_is_shown_with_values_defaults_and_comments(capsys):
    assert main(["config", "show", "pfinet:tiny", "--config.seed", "3"]) == 0
    lines = dict(line.split(" = ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["config.seed"] == "3  # default: 0"
    assert lines["config.backbone.depth"] == "10  # 10, 18, 34 or 50; default: 50"
    assert lines["config.pfinet.response.attention"] == "'conv1x1'  # conv1x1 or cbam7"
    assert {*lines} == {
        f"config.{field}" for field in configs.flat(configs.load("pfinet:tiny").to_dict())
    }


def test_comments_are_those_beside_a_key_and_those_above_it(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        'A = {\n    # Two\n    # lines.\n    "x": 1,\n    "y": {  # a block\n'
        '        "z": (1,\n            2),  # at its end\n    },\n    "no": 0,\n}\n'
    )
    comments = comments_of([file])
    assert comments == {"x": "Two lines", "y": "a block", "y.z": "at its end"}
    assert comment_of("method.y.z", comments) == "at its end"
    assert comment_of("method.z", comments) == ""


def test_a_field_and_its_value_may_be_two_arguments(capsys):
    flags = [
        "--config.seed",
        "3",
        "--config.image.flip_probability",
        "0.25",
        "--noconfig.backbone.ibn",
    ]
    assert main(["config", "show", "agw:tiny", *flags]) == 0
    out = capsys.readouterr().out
    assert "config.seed = 3" in out and "flip_probability = 0.25" in out
    assert main(["config", "show", "agw:tiny", "--config.seed"]) == 2
    assert "config.seed" in capsys.readouterr().err


def test_the_version_says_that_this_is_a_clone(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"jreid {jreid.__version__}\n"
    assert jreid.__version__.endswith("+clone")


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"def get_config(:", "is not a config file (invalid syntax (own.py, line 1)); correct it"),
        (b'"""caf\xe9"""', "own.py, line 1"),
        (b"x = 1\0", "null bytes"),
    ],
)
def test_a_file_that_is_not_python_is_named(content, cause, tmp_path, capsys):
    (tmp_path / "own.py").write_bytes(content)
    assert main(["list", "configs", f"{tmp_path}/own.py"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"jreid: {tmp_path}/own.py is not a config file (") and cause in line


def test_a_config_file_in_another_encoding_is_read_as_python_reads_it(tmp_path, capsys):
    file = tmp_path / "own.py"
    text = (
        '# coding: latin-1\n"""Caf\xe9."""\nfrom jreid.config import defaults\n\n\n'
        'def get_config(argument="tiny"):\n    config = defaults(argument)\n'
        '    config.mine = {\n        "x": None,  # caf\xe9\n        "y": ({"a": 1}, 2.5, None),\n'
        "    }\n    return config\n"
    )
    file.write_bytes(text.encode("latin-1"))
    assert main(["list", "configs", str(file)]) == 0
    assert "Caf\xe9." in capsys.readouterr().out
    assert main(["config", "show", str(file)]) == 0
    assert "config.mine.x = None  # caf\xe9" in capsys.readouterr().out
    assert main(["config", "schema", str(file)]) == 0
    schema = json.loads(capsys.readouterr().out)
    mine = schema["properties"]["mine"]["properties"]
    assert mine["x"] == {"default": None, "description": "caf\xe9"}
    config = json.loads(configs.to_text(configs.load(str(file))))
    jsonschema.validate(config, schema)
    jsonschema.validate(config | {"mine": config["mine"] | {"x": "any"}}, schema)


@pytest.mark.parametrize("source", ["idkl:tiny,variant=code", "pfanet:regdb,trial=3"])
def test_the_schema_of_a_config_accepts_it_and_refuses_other_types(source, capsys):
    assert main(["config", "schema", source, "--json"]) == 0
    schema = json.loads(capsys.readouterr().out)
    config = json.loads(configs.to_text(configs.load(source)))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(config, schema)
    dtype = schema["properties"]["dtype"]
    assert dtype["default"] == "float32" and dtype["enum"] == ["float32", "bfloat16"]
    assert "of the convolutions" in dtype["description"]
    for wrong, message in (
        ({"seed": 1.5}, "1.5 is not of type 'integer'"),
        ({"epoch": 3}, "'epoch' was unexpected"),
        ({"dtype": "float8"}, "'float8' is not one of"),
        ({"batch": config["batch"] | {"images": "4"}}, "'4' is not of type 'integer'"),
    ):
        with pytest.raises(jsonschema.ValidationError, match=message):
            jsonschema.validate(config | wrong, schema)
