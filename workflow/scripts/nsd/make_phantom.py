"""Plant a miniature NSD in the layout of the bucket."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.core.settings import read
from neurobust.phantom.plant import plant
from neurobust.phantom.settings import PlantedNSD

params = snakemake.params
settings = read(PlantedNSD, json.loads(params.settings), "phantom")
run(snakemake, plant, root=Path(params.root), settings=settings, code=params.code)
