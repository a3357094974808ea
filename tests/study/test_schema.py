"""What is made from the classes: the schema that editors read, the reference that people read. Both are up to date."""

import jsonschema
import pytest
import yaml

from neurobust.study.config import as_written
from neurobust.study.reference import contributing_table, reference_text
from neurobust.study.schema import schema_text, study_schema

STUDIES = ("config/demo.yaml", "config/config.yaml", "config/study-small.yaml", "config/semantic.yaml",
           "config/factors.yaml", "config/teachers.yaml", "tests/slurm/tiny.yaml")  # fmt: skip


def test_the_committed_schema_and_reference_are_those_of_the_classes(project):
    assert (project / "config/schema.yaml").read_text() == schema_text(), "run `make schema`"
    assert (project / "docs/configuration.md").read_text() == reference_text(), "run `make reference`"


def test_contributing_names_every_registry(project):
    assert contributing_table() in (project / "CONTRIBUTING.md").read_text()
    named = {line.split("|")[3] for line in contributing_table().splitlines()[2:]}
    texts = {path: path.read_text() for path in (project / "src").rglob("registry.py")}
    written = {path for path, text in texts.items() if ": Places[" in text and '\n    "neurobust.' in text}
    assert len({part.split("(src/")[1].rstrip(") ") for part in named}) == len(written)


@pytest.fixture(scope="module")
def validator():
    schema = study_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", STUDIES)
def test_an_editor_accepts_the_shipped_studies(project, validator, path):
    config = as_written(yaml.safe_load((project / path).read_text()))
    errors = [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(config)]
    assert not errors


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seedz", [0]), ("training/learning_rate", 0), ("conditions/V1/loss", "mze"), ("attacks/fgsm/steps", 3),
        ("attacks/fgsm/method", "fgsmm"), ("attacks/pgd-linf/steps", 0), ("predictors/gnet/folds", 2),
        ("tasks/digits/kind", "digit"), ("semantic/cadv/clusters", 0),
        ("semantic/networks/oracle/widths", [1, 2]),
        ("data/subjects/subj09", {"sessions": 1}), ("transfer/loss", "mse"),
    ],
)  # fmt: skip
def test_an_editor_refuses_what_the_pipeline_refuses(project, validator, path, value):
    config = yaml.safe_load((project / "config/demo.yaml").read_text())
    *parents, last = path.split("/")
    place = config
    for key in parents:
        place = place[key]
    place[last] = value
    assert not validator.is_valid(config)


def test_every_key_of_the_schema_is_closed():
    """No object of the schema lets unknown keys pass."""

    def walk(node, path):
        if isinstance(node, dict):
            if node.get("type") == "object":
                closed = node.get("additionalProperties") is False or isinstance(node.get("additionalProperties"), dict)
                assert closed or "allOf" in node, path
            for key, value in node.items():
                walk(value, f"{path}/{key}")
        elif isinstance(node, list):
            for index, value in enumerate(node):
                walk(value, f"{path}/{index}")

    walk(study_schema(), "")
