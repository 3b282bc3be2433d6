"""A name in a config that does not exist is refused in a message that helps, in every field."""

import json
import re
from typing import Any

import jsonschema
import pytest
from helpers.paths import ROOT

from jreid.config import flat, load, to_text
from jreid.config_schema import schema
from jreid.errors import InputError
from jreid.find import own_modules
from jreid.methods import load as load_method
from jreid.runs.check_config import check_config, choices

# Paths, and a name that the user gives to a dataset: any value may exist.
FREE = {"weights", "data.name", "data.folder", "data.prepared"}
# A name and its options, such as `regdb:direction=...`: no list has them all.
WITH_OPTIONS = {"protocols", "evaluation.rerank"}


def check(config: Any) -> None:
    """All that `train` checks of a config's names before it reads an image."""
    check_config(config)
    load_method(config)


def misspelled(value: Any) -> tuple[Any, str] | None:
    """The value with a letter too many in its first name, and that name; None without a name."""
    if isinstance(value, str):
        name = re.split(r"\W", value)[0]
        return value.replace(name, f"{name}x", 1), name
    for i, item in enumerate(value if isinstance(value, tuple) else ()):
        if found := misspelled(item):
            return (*value[:i], found[0], *value[i + 1 :]), found[1]
    return None


def is_valid(config: Any, kinds: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(kinds).is_valid(json.loads(to_text(config)))


@pytest.mark.parametrize(
    "argument", ["tiny", "regdb,trial=2", "mp_reid,experiment=cctv_ir_cctv_rgb"]
)
@pytest.mark.parametrize("method", own_modules("jreid.methods", "create"))
def test_the_schema_refuses_the_names_that_the_check_refuses(method, argument):
    config = load(f"{ROOT}/configs/{method}.py:{argument}")
    kinds = schema(config.to_dict(), method, lambda field: "", choices(config))
    assert is_valid(config, kinds)
    names = {field: misspelled(value) for field, value in flat(config.to_dict()).items()}
    for field, found in names.items():
        if not found or field in FREE | WITH_OPTIONS | {"optimizer.lr_multipliers"}:
            continue
        wrong = config.copy_and_resolve_references()
        wrong.update_from_flattened_dict({field: found[0]})
        assert not is_valid(wrong, kinds), field


def test_the_schema_accepts_a_dotted_name_where_a_config_may_have_one():
    config = load(f"{ROOT}/configs/agw.py:tiny")
    kinds = schema(config.to_dict(), "agw", lambda field: "", choices(config))
    for field in ("method", "data.layout", "batch.sampler", "triplet.kind"):
        dotted = config.copy_and_resolve_references()
        dotted.update_from_flattened_dict({field: "mylab.code"})
        assert is_valid(dotted, kinds), field


@pytest.mark.parametrize("method", own_modules("jreid.methods", "create"))
def test_an_unknown_name_is_refused_with_its_field_and_the_known_one(method):
    path = f"{ROOT}/configs/{method}.py:tiny"
    names = {f: misspelled(v) for f, v in flat(load(path).to_dict()).items() if f not in FREE}
    names = {field: found for field, found in names.items() if found}
    assert {"method", "dtype"} <= {*names}
    for field, (wrong, known) in names.items():
        config = load(path)
        config.update_from_flattened_dict({field: wrong})
        with pytest.raises(InputError) as caught:
            check(config)
            pytest.fail(f"config.{field}={wrong} is accepted")
        message = str(caught.value)
        assert f"config.{field}" in message
        assert f"{known}x" in message, field
        assert known in message.replace(f"{known}x", ""), field
