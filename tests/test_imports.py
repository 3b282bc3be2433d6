"""Every module can be imported, on each Python and with each JAX."""

import importlib
import pkgutil

import jreid


def test_every_module_can_be_imported():
    modules = [module.name for module in pkgutil.walk_packages(jreid.__path__, "jreid.")]
    assert "jreid.data.prepared" in modules  # which needs TensorFlow
    for module in modules:
        importlib.import_module(module)
