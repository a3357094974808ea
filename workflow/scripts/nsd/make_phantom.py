"""Plant a miniature NSD in the layout of the bucket."""

import json
from pathlib import Path

from neurobust.phantom.build import build_phantom
from neurobust.script import run

run(snakemake, build_phantom, root=Path(snakemake.params.root), settings=json.loads(snakemake.params.settings))
