import os
import subprocess
import sys

import pytest
from conftest import ROOT

# Compiles something, however fast that is, and tells where JAX keeps it.
COMPILE = """
import os
from jreid.compilation_cache import keep_compilations
keep_compilations()
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: x + 1)(1.0)
print(jax.config.jax_compilation_cache_dir)
"""


def compiled(**variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    command = [sys.executable, "-c", COMPILE]
    done = subprocess.run(
        command, env=environment | variables, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_compilations_are_kept_in_the_users_cache(tmp_path):
    folder = tmp_path / "jreid" / "jax"
    assert compiled(XDG_CACHE_HOME=str(tmp_path)) == str(folder)
    assert any(folder.iterdir())


@pytest.mark.parametrize("home", ["file/cache", "/proc/no"])
def test_a_place_that_cannot_be_written_to_is_left_alone(tmp_path, home):
    (tmp_path / "file").touch()
    assert compiled(XDG_CACHE_HOME=str(tmp_path / home)) == "None"


def test_jaxs_own_variables_count(tmp_path):
    named, users = tmp_path / "named", tmp_path / "users"
    assert compiled(XDG_CACHE_HOME=str(users), JAX_COMPILATION_CACHE_DIR=str(named)) == str(named)
    assert any(named.iterdir())
    assert not any((users / "jreid" / "jax").iterdir())
    compiled(XDG_CACHE_HOME=str(users), JAX_ENABLE_COMPILATION_CACHE="false")
    assert not any((users / "jreid" / "jax").iterdir())
