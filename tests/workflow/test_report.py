"""The text of Snakemake's own report (`snakemake --report`)."""

import io
from types import SimpleNamespace

import jinja2
import yaml
from docutils.core import publish_parts

# What Snakemake puts after the text: the only names that it can refer to.
LINKS = "\n\n.. _Workflow: javascript:show_panel('workflow')\n.. _Statistics: javascript:show_panel('statistics')\n"


def test_the_description_is_valid_and_names_the_study(project):
    config = yaml.safe_load((project / "config/demo.yaml").read_text())
    source = (project / "workflow/report/workflow.rst").read_text() + LINKS
    given = SimpleNamespace(config=config)
    text = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(source).render(snakemake=given)
    complaints = io.StringIO()
    body = publish_parts(text, writer="html", settings_overrides={"warning_stream": complaints})["body"]
    assert not complaints.getvalue()
    assert f"<em>{config['study']}</em>" in body
