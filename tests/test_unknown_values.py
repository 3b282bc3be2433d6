"""A name in a config that does not exist is refused in a message that helps, in every field."""

import re
from typing import Any

import pytest
from helpers.paths import ROOT

from jreid.config import flat, load
from jreid.errors import InputError
from jreid.find import own_modules
from jreid.methods import load as load_method
from jreid.runs.check_config import check_config

# Paths, and a name that the user gives to a dataset: any value may exist.
FREE = {"weights", "data.name", "data.folder", "data.prepared"}


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


@pytest.mark.parametrize("method", own_modules("jreid.methods", "create"))
def test_an_unknown_name_is_refused_with_its_field_and_the_known_one(method):
    path = f"{ROOT}/configs/{method}.py:tiny"
    names = {f: misspelled(v) for f, v in flat(load(path).to_dict()).items() if f not in FREE}
    for field, (wrong, known) in {f: found for f, found in names.items() if found}.items():
        config = load(path)
        config.update_from_flattened_dict({field: wrong})
        with pytest.raises(InputError) as caught:
            check(config)
            pytest.fail(f"config.{field}={wrong} is accepted")
        message = str(caught.value)
        assert f"config.{field}" in message
        assert f"{known}x" in message, field
        assert known in message.replace(f"{known}x", ""), field
