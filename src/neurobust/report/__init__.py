"""Stage `report`: the tables, figures and pages that people read."""

from neurobust.report.figures import FIGURES, draw_figures
from neurobust.report.page import write_index, write_roi_page
from neurobust.report.summary import print_summary
from neurobust.report.tables import collect_results, tabulate_results

__all__ = [
    "FIGURES",
    "collect_results",
    "draw_figures",
    "print_summary",
    "tabulate_results",
    "write_index",
    "write_roi_page",
]
