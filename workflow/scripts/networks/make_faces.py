"""Render the labelled faces of the task phantom-faces."""

import json
from pathlib import Path

from neurobust.phantom.build import build_face_task
from neurobust.script import run

run(snakemake, build_face_task, output=Path(snakemake.output[0]), settings=json.loads(snakemake.params.settings))
