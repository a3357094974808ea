"""Memory that was freed is there for the next pieces of the same size."""

import subprocess
import sys

import pytest

FAULTS = """
import platform, resource, sys
import numpy as np
from neurobust.core.memory import keep_freed_memory

def step():
    return sum(part[0] for part in [np.ones(2**18) for _ in range(32)])

if platform.libc_ver()[0] != "glibc":
    sys.exit("another C library")
keep_freed_memory()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_what_is_freed_need_not_be_asked_for_again():
    """Each of five steps needs 64 MB in pieces of 2: 16,384 pages, which glibc by itself would ask for anew."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(done.stderr.strip())
    assert int(done.stdout) < 1000
