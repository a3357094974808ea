"""Render the labelled scenes of the task phantom-scenes."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.phantom.build import build_scene_task

run(snakemake, build_scene_task, output=Path(snakemake.output[0]), settings=json.loads(snakemake.params.settings))
