"""What a user may leave out, and the sentence that says how to install it."""

import sys
import tomllib

import pytest
from helpers.paths import ROOT

from jreid.errors import InputError
from jreid.optional_parts import MODULES, has_part, require_part


def test_pip_installs_each_part():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*MODULES} <= {*project["optional-dependencies"]}


@pytest.mark.parametrize("part", MODULES)
def test_a_part_that_is_missing_is_named_with_its_command(part, monkeypatch):
    monkeypatch.setitem(sys.modules, MODULES[part][-1], None)
    assert not has_part(part)
    with pytest.raises(InputError) as caught:
        require_part(part, "this work", "leave it")
    assert str(caught.value).startswith("this work needs the Python module ")
    assert str(caught.value).endswith(f'install it by `pip install "jreid[{part}]"`, or leave it.')


def test_a_folder_with_the_name_of_a_module_is_not_that_module(tmp_path, monkeypatch):
    monkeypatch.setitem(MODULES, "plots", ("plots_of_this_test",))
    (tmp_path / "plots_of_this_test").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not has_part("plots")
    (tmp_path / "plots_of_this_test" / "__init__.py").touch()
    assert has_part("plots")
