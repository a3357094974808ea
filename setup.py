"""The wheel carries the pipeline beside the package, as `neurobust/pipeline`, so that a study needs no checkout.

Everything else about the package is in pyproject.toml.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PIPELINE = ("Snakefile", "workflow", "config", "profiles", "envs")
NOT = shutil.ignore_patterns("__pycache__", ".*")


class WithPipeline(build_py):
    """Modules, package data, and the pipeline's own files."""

    def run(self):
        super().run()
        if self.editable_mode:  # an editable install finds them in the checkout
            return
        target = Path(self.build_lib) / "neurobust/pipeline"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in PIPELINE:
            if Path(name).is_dir():
                shutil.copytree(name, target / name, ignore=NOT)
            else:
                shutil.copy(name, target / name)


setup(cmdclass={"build_py": WithPipeline})
