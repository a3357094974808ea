"""The plain study that tests of the border change."""

import copy

import pytest
import yaml


@pytest.fixture(scope="session")
def plain(project):
    return yaml.safe_load((project / "tests/study/plain.yaml").read_text())


@pytest.fixture
def demo_config(plain):
    """A copy, so that what a test changes is its own."""
    return copy.deepcopy(plain)
