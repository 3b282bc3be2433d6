"""Every public function of jreid.evaluation has an example in its docstring, and it is right."""

import doctest
import inspect

import numpy as np
import pytest

from jreid import evaluation
from jreid.data.table import Table

PUBLIC = [name for name in evaluation.__all__ if inspect.isroutine(getattr(evaluation, name))]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_is_right(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for examples with files
    function = getattr(evaluation, name)
    (example,) = doctest.DocTestFinder(recurse=False).find(
        function, name, globs={**vars(evaluation), "np": np, "Table": Table}
    )
    assert example.examples
    assert doctest.DocTestRunner(optionflags=OPTIONS).run(example).failed == 0
