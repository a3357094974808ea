"""What the pages' jobs need before they start: imported for one process, it is there for all that fork from it.

`core.warm` imports it. The modules that the report imports where it needs them, and the templates, compiled.
"""

from __future__ import annotations

import jinja2  # noqa: F401
import matplotlib.backends.backend_svg
import matplotlib.figure  # noqa: F401
import pyarrow.parquet  # noqa: F401
import scipy.optimize
import scipy.stats  # noqa: F401

from neurobust.report import draw  # noqa: F401
from neurobust.report.contents import FIGURES
from neurobust.report.page import environment

for figure in FIGURES:
    FIGURES[figure]
for template in environment().list_templates(["html"]):
    environment().get_template(template)
