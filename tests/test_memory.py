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
np.ones(8_000_000)  # 64 MB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(8_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    """How often the kernel hands out a page to a process that takes the same block five times."""
    command = [sys.executable, "-c", FAULTS, how]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone is told")
def test_freed_blocks_are_taken_again():
    assert faults("keep") < 100 < faults("leave")


def test_keras_stays_out():
    told = "import sys, tensorflow; sys.exit('keras' in sys.modules)"
    source = f"from jreid.memory import leave_keras_out; leave_keras_out(); {told}"
    subprocess.run([sys.executable, "-c", source], cwd=ROOT, check=True)
