"""Render the labelled scenes of the task phantom-scenes."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.core.settings import read
from neurobust.phantom.build import build_scene_task
from neurobust.phantom.settings import CuedScenes

settings = read(CuedScenes, json.loads(snakemake.params.settings), "phantom.scenes")
run(snakemake, build_scene_task, output=Path(snakemake.output[0]), settings=settings)
