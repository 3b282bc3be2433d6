"""What is freed is taken again without asking the kernel for it; what is not used stays out."""

import platform
import subprocess
import sys

import pytest
from conftest import ROOT

FAULTS = """
import resource, sys
import numpy as np
from jreid.memory import keep_freed_memory

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


def faults(how, size):
    """How often the kernel hands out a page to a process that takes the same block five times."""
    command = [sys.executable, "-c", FAULTS, how, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone is told")
@pytest.mark.parametrize("size", [8_000_000, 300_000_000], ids=["64 MB", "2.4 GB"])
def test_freed_blocks_are_taken_again(size):
    assert faults("keep", size) < 100 < faults("leave", size)


def test_keras_stays_out():
    told = "import sys, tensorflow; sys.exit('keras' in sys.modules)"
    source = f"from jreid.memory import leave_keras_out; leave_keras_out(); {told}"
    subprocess.run([sys.executable, "-c", source], cwd=ROOT, check=True)
