"""What each start of Snakemake on this project works out anew, worked out before the fork: for tests (forks.py).

Modules that Snakemake imports when it reads rules, and which files of the package import which. None of it depends on a
study. Contents are not read here: each fork does that. Tests that change a file's imports do so in a copy of the
project, and Snakemake on a copy is started anew.
"""

import importlib

from neurobust.core import sources

for name in ("boto3", "nbformat", "smart_open", "xml.etree.ElementTree"):
    importlib.import_module(name)
for script in sorted((sources.ROOT.parent / "workflow/scripts").rglob("*.py")):
    sources.source_files(script)
for path in sources.PACKAGE.rglob("*.py"):
    sources.direct(".".join(path.relative_to(sources.ROOT).with_suffix("").parts).removesuffix(".__init__"))
