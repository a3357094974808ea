"""Memory that was freed is there for the next pieces of the same size."""

import gc
import subprocess
import sys

import pytest

from neurobust.core.memory import SELDOM, seldom_collected

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


def test_garbage_is_looked_for_as_before_afterwards():
    before = gc.get_threshold()

    @seldom_collected()
    def fail():
        assert gc.get_threshold() == SELDOM and gc.isenabled()
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            fail()
        assert gc.get_threshold() == before
