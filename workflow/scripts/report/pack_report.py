"""Pack the report into one file."""

from pathlib import Path

from neurobust.core.script import run
from neurobust.report.archive import pack_report

run(
    snakemake,
    pack_report,
    files=[Path(path) for path in snakemake.input],
    output=Path(snakemake.output.archive),
)
