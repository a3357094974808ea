"""Plant a miniature NSD in the layout of the bucket."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.core.settings import read
from neurobust.phantom.build import build_phantom
from neurobust.phantom.settings import PlantedNSD

settings = read(PlantedNSD, json.loads(snakemake.params.settings), "phantom")
run(snakemake, build_phantom, root=Path(snakemake.params.root), settings=settings)
