"""Shared by all tests: four fake devices, checked shapes, and a tiny dataset rendered once."""

import os
import shutil
from pathlib import Path

from helpers.xla_flags import FLAGS

# Processes that tests start inherit this. XLA_FLAGS= in the environment tests what users run.
os.environ.setdefault("XLA_FLAGS", FLAGS)
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "jax")
)
# Small programs are stored too: each training of a test compiles the same ones again.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
import jaxtyping
import pytest
from filelock import FileLock
from helpers.paths import ROOT

from jreid.process import configure

configure()
pytest_plugins = ["helpers.faults"]
jax.config.update("jax_num_cpu_devices", 4)
jaxtyping.install_import_hook(
    ["jreid.losses", "jreid.nn", "jreid.methods", "jreid.engine", "jreid.evaluation"],
    "beartype.beartype",
)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Optax's Adam raises a float to an integer: a test that takes its steps asks for `standard`.
STRICT_DTYPES = {"nn", "losses", "methods", "engine", "evaluation"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config) -> int:
    """One more than the cores: tests also wait, for other processes and for the disk."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def strict_dtypes(request):
    """Makes JAX refuse to promote one type of number to another silently."""
    strict = STRICT_DTYPES & {*request.path.parent.relative_to(ROOT / "tests").parts}
    with jax.numpy_dtype_promotion("strict" if strict else "standard"):
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_reports():
    """Trainings within the tests write no report, unless a test gives back the function."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jreid.commands.report.report_training", lambda *_: None)
        yield


@pytest.fixture(scope="session")
def render(tmp_path_factory):
    """A function that puts the tiny preset into a new folder; all workers share a rendering."""
    from jreid.synthetic.synthesize import synthesize

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def copied(folder: Path, layout: str = "sysu_mm01", seed: int = 0) -> Path:
        kept = shared / f"rendered-{layout}-{seed}"
        with FileLock(f"{kept}.lock"):
            synthesize(kept, "tiny", seed=seed, layout=layout)
        shutil.copytree(kept, folder)
        return folder

    return copied


@pytest.fixture(scope="session")
def tiny_folder(render, tmp_path_factory) -> Path:
    """The synthetic dataset's tiny preset."""
    return render(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """Where prepared datasets are kept."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="session")
def tiny_dataset(tiny_folder, prepared):
    """The tiny preset, prepared and read back."""
    from jreid.data.dataset import Source, load

    return load(Source("tiny", "sysu_mm01", tiny_folder), prepared)


@pytest.fixture
def tiny_config(tiny_folder, prepared):
    """AGW's tiny config on the rendered folder."""
    from jreid import config

    return config.load(
        f"{ROOT}/configs/agw.py:tiny",
        [f"--config.data.folder={tiny_folder}", f"--config.data.prepared={prepared}"],
    )


@pytest.fixture(scope="session")
def reference():
    """The networks of published codes in PyTorch, where it is installed."""
    pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")
    from helpers import torch_reference

    return torch_reference
