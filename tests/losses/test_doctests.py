"""Every public loss has an example in its docstring, and it is right."""

import doctest

import jax.numpy as jnp
import pytest

from jreid import losses


@pytest.mark.parametrize("name", losses.__all__)
def test_the_example_is_right(name):
    loss = getattr(losses, name)
    (example,) = doctest.DocTestFinder(recurse=False).find(
        loss, name, globs={**vars(losses), "jnp": jnp}
    )
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
