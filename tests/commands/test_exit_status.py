"""What ends a command early is one sentence and a status."""

import pytest

from jreid.commands.exit_status import exit_status


def test_a_part_that_cannot_be_loaded_is_one_sentence(caplog):
    def broken():
        raise ImportError("cannot import name 'x' from 'onnx.numpy'.", name="onnx.numpy")

    assert exit_status(broken) == 2
    (message,) = caplog.messages
    assert message == (
        "the Python module onnx.numpy is installed but cannot be loaded (cannot import name 'x' "
        "from 'onnx.numpy'); install it again by `pip install --force-reinstall \"jreid[onnx]\"`."
    )


@pytest.mark.parametrize("name", [None, "a_module_of_nobody"])
def test_an_error_of_jreids_own_imports_is_not_hidden(name):
    def broken():
        raise ImportError("cannot import name", name=name)

    with pytest.raises(ImportError):
        exit_status(broken)
