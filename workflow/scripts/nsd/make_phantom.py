"""Plant a miniature NSD in the layout of the bucket."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.phantom.build import build_phantom

run(snakemake, build_phantom, root=Path(snakemake.params.root), settings=json.loads(snakemake.params.settings))
