"""Render the labelled faces of the task phantom-faces."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.phantom.build import build_face_task

run(snakemake, build_face_task, output=Path(snakemake.output[0]), settings=json.loads(snakemake.params.settings))
