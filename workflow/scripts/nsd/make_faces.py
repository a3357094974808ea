"""Render the labelled faces of the task phantom-faces."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.core.settings import read
from neurobust.phantom.build import build_face_task
from neurobust.phantom.settings import FaceTask

settings = read(FaceTask, json.loads(snakemake.params.settings), "phantom.face_task")
run(snakemake, build_face_task, output=Path(snakemake.output[0]), settings=settings)
