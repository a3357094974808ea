"""The text of Snakemake's own report (`snakemake --report`)."""

import io
import re
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
import snakemake
import yaml
from docutils.core import publish_parts

# What Snakemake puts after the text: the only names that it can refer to.
LINKS = "\n\n.. _Workflow: javascript:show_panel('workflow')\n.. _Statistics: javascript:show_panel('statistics')\n"


@pytest.mark.parametrize("study", [True, False])
def test_the_front_page_is_valid_and_names_the_study_where_there_is_one(project, study):
    """In another workflow, which has this one as a module, the key stands elsewhere."""
    config = yaml.safe_load((project / "config/demo.yaml").read_text()) if study else {"robustness": {}}
    source = (project / "workflow/report/workflow.rst").read_text() + LINKS
    given = SimpleNamespace(config=config)
    text = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(source).render(snakemake=given)
    complaints = io.StringIO()
    body = publish_parts(text, writer="html", settings_overrides={"warning_stream": complaints})["body"]
    assert not complaints.getvalue()
    assert ("<em>demo</em>" in body) == study
    assert "<strong>Rules.</strong>" in body


def test_the_front_page_speaks_of_sections_that_the_report_has(project):
    """Categories of our own results, and the panels of Snakemake's page."""
    text = (project / "workflow/report/workflow.rst").read_text()
    rules = (project / "workflow/rules/report.smk").read_text()
    menu = (Path(snakemake.__file__).parent / "report/html_reporter/template/components/menu.js").read_text()
    named = set(re.findall(r"(?<!\*)\*(\w+)\*(?!\*)", text))
    assert named == {"Pages", "Figures", "Tables", "Workflow", "Statistics"}
    for name in named:
        assert f'category="{name}"' in rules or f'"{name}"' in menu, name
