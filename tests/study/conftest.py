"""The plain study that tests of the border change."""

import pytest
import yaml


@pytest.fixture(scope="module")
def demo_config(project):
    return yaml.safe_load((project / "tests/study/plain.yaml").read_text())
