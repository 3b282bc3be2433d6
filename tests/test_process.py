"""What a process sets: its compilation cache, and how it holds memory."""

import ast
import os
import platform
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
from helpers.paths import ROOT

from jreid.process import (
    CACHE_VARIABLE,
    keep_compilations,
    leave_out_late_writes,
    silence_xla,
)

# Compiles something, however fast that is, and tells where JAX keeps it.
COMPILE = """
import os
from jreid.process import keep_compilations
keep_compilations()
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: x + 1)(1.0)
print(jax.config.jax_compilation_cache_dir)
"""

FAULTS = """
import resource, sys
import numpy as np
from jreid.process import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
def take():
    np.empty(int(sys.argv[2]))[:8_000_000] = 1  # 64 MB of it, so that a large block needs no more

take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def compiled(code=COMPILE, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    command = [sys.executable, "-c", code]
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
    assert not users.exists()
    compiled(XDG_CACHE_HOME=str(users), JAX_ENABLE_COMPILATION_CACHE="false")
    assert not any((users / "jreid" / "jax").iterdir())


def test_a_benchmark_keeps_no_compilations(tmp_path):
    code = COMPILE.replace("keep_compilations()", "configure(compilation_cache=False)")
    code = code.replace("import keep_compilations", "import configure")
    assert compiled(code, XDG_CACHE_HOME=str(tmp_path)) == "None"
    assert compiled(code, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "named")) == str(
        tmp_path / "named"
    )
    assert not any(tmp_path.rglob("*"))


def test_jax_may_be_imported_before(tmp_path):
    code = f"import jax\n{COMPILE}"
    assert compiled(code, XDG_CACHE_HOME=str(tmp_path)) == str(tmp_path / "jreid" / "jax")
    assert any((tmp_path / "jreid" / "jax").iterdir())


def calls(tree):
    """Names of the functions that a module's code calls where it is imported."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            found = (one.func for one in ast.walk(node) if isinstance(one, ast.Call))
            yield from (getattr(one, "id", getattr(one, "attr", "")) for one in found)


@pytest.mark.parametrize("folder", ["jreid", "experiments"])
def test_programs_alone_configure_the_process(folder):
    for path in (ROOT / folder).rglob("*.py"):
        text = path.read_text()
        library, _, program = text.partition('\nif __name__ == "__main__":\n')
        assert "configure" not in calls(ast.parse(library)), path
        if program:
            assert "configure(" in program or "main(" in program, path
            assert "configure" in text or "from experiments.command import" in text, path


@pytest.fixture
def kept(tmp_path, monkeypatch, caplog):
    """Names the cache below a folder of the test's; what it is, and the warnings."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def keep(named=None):
        monkeypatch.setenv(CACHE_VARIABLE, named) if named else monkeypatch.delenv(
            CACHE_VARIABLE, False
        )
        caplog.clear()
        monkeypatch.delitem(sys.modules, "jax", False)  # whose cache stays the tests'
        keep_compilations()
        return os.environ.get(CACHE_VARIABLE), caplog.messages

    return keep


@pytest.mark.fault("A12")
def test_the_folder_is_the_users_alone(kept, tmp_path):
    folder = tmp_path / "jreid" / "jax"
    mask = os.umask(0)
    try:
        assert kept() == (str(folder), [])
    finally:
        os.umask(mask)
    assert [place.stat().st_mode & 0o777 for place in (folder, folder.parent)] == [0o700, 0o700]
    folder.chmod(0o755)  # as older versions made it
    assert kept() == (str(folder), [])
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.fault("A12")
@pytest.mark.parametrize("place", ["jreid", "jreid/jax"])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_write_to_is_not_used(kept, tmp_path, place, mode):
    (tmp_path / "jreid" / "jax").mkdir(parents=True)
    (tmp_path / place).chmod(mode)
    folder, message = kept()
    assert folder is None
    assert len(message) == 1
    assert "can be written to by other users" in message[0]


@pytest.mark.fault("A12")
def test_a_folder_of_another_user_is_not_used(kept, tmp_path, monkeypatch):
    (tmp_path / "jreid" / "jax").mkdir(parents=True, mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    folder, message = kept()
    assert folder is None
    assert "belongs to another user" in message[0]


@pytest.mark.fault("A12")
def test_a_folder_that_is_asked_for_is_used_and_strangers_are_warned_of(kept, tmp_path):
    named = tmp_path / "group"
    named.mkdir()
    for mode, warned in ((0o700, 0), (0o2770, 0), (0o1777, 1)):
        named.chmod(mode)
        folder, message = kept(str(named))
        assert folder == str(named)
        assert len(message) == warned


@pytest.mark.fault("B5")
def test_without_a_home_there_is_no_cache(kept, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a uid without a name
    assert kept() == (None, [])


def faults(how, size):
    """How often the kernel hands out a page to a process that takes the same block five times."""
    command = [sys.executable, "-c", FAULTS, how, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone is reported")
@pytest.mark.parametrize("size", [8_000_000, 300_000_000], ids=["64 MB", "2.4 GB"])
def test_freed_blocks_are_taken_again(size):
    assert faults("keep", size) < 100 < faults("leave", size)


def test_arrays_of_a_failed_save_are_not_reported(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    leave_out_late_writes()
    leave_out_late_writes()
    late, other = (
        SimpleNamespace(exc_value=RuntimeError(text)) for text in ("Event loop is closed", "lost")
    )
    for unraisable in (late, other):
        sys.unraisablehook(cast(Any, unraisable))
    assert reported == [other]


def test_keras_stays_out():
    message = "import sys, tensorflow; sys.exit('keras' in sys.modules)"
    source = f"from jreid.process import leave_keras_out; leave_keras_out(); {message}"
    subprocess.run([sys.executable, "-c", source], cwd=ROOT, check=True)


@pytest.mark.parametrize(("before", "after"), [(None, "3"), ("0", "0")])
def test_xla_logs_no_alarms_unless_asked_to(monkeypatch, before, after):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", before or "")
    if before is None:
        monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    silence_xla()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == after
