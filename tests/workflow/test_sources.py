"""`sources`: computed from the imports themselves, so it cannot drift."""

from pathlib import Path

import neurobust
from neurobust.attacks.registry import attack_modules
from neurobust.core import sources

PACKAGE = Path(neurobust.__file__).parent


def names(script, project, *modules):
    files = sources.source_files(project / "workflow/scripts" / f"{script}.py", *modules)
    return {str(path.relative_to(PACKAGE)) for path in files if path.is_relative_to(PACKAGE)}


def test_closure_follows_imports_inside_functions_and_packages(project):
    attack = names("attacks/attack_network", project)
    assert {"core/io.py", "attacks/evaluate.py", "networks/architectures.py"} <= attack
    assert (
        not {"attacks/gradient.py", "networks/train.py", "predictors/gnet.py", "report/page.py", "nsd/betas.py"}
        & attack
    )
    train = names("networks/train_network", project)
    assert {"networks/train.py", "networks/losses.py", "predictors/gnet.py", "core/training.py"} <= train
    assert not {"attacks/gradient.py", "report/page.py"} & train


def test_what_a_registry_names_is_a_source_where_it_is_asked_for(project):
    modules = attack_modules({"a": {"method": "pgd"}}, "uniform")
    assert modules == ["neurobust.attacks.gradient", "neurobust.attacks.noise"]
    attack = names("attacks/attack_network", project, *modules)
    assert {"attacks/gradient.py", "attacks/ascent.py", "attacks/noise.py"} <= attack
    assert not {"attacks/square.py", "attacks/fmn.py"} & attack


def test_the_script_itself_is_a_source_and_data_files_travel(project):
    script = project / "workflow/scripts/report/write_index.py"
    files = sources.source_files(script)
    assert script in files
    assert any(path.suffix == ".css" for path in files)
    assert any(path.name == "imagenet50.txt" for path in sources.source_files(
        project / "workflow/scripts/networks/prepare_task.py"))  # fmt: skip


def test_a_release_does_not_retrain_a_study(project):
    """Only the version and a docstring live in the file that is left out."""
    import ast

    assert "__init__.py" not in names("networks/train_network", project)
    body = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert [type(node).__name__ for node in body] == ["Expr", "Assign"]


def test_relative_imports_and_cycles(tmp_path, monkeypatch):
    package = tmp_path / "pkg"
    (package / "sub").mkdir(parents=True)
    for name, text in {
        "__init__.py": "", "a.py": "from pkg.sub import b", "sub/__init__.py": "from . import c",
        "sub/b.py": "def f():\n    from .c import x\n    import pkg.a", "sub/c.py": "x = 1",
    }.items():  # fmt: skip
        (package / name).write_text(text)
    monkeypatch.setattr(sources, "PACKAGE", package)
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    sources.closure.cache_clear()
    try:
        found = {path.relative_to(package).as_posix() for path in sources.closure("pkg.a")}
    finally:
        sources.closure.cache_clear()
    assert found == {"__init__.py", "a.py", "sub/__init__.py", "sub/b.py", "sub/c.py"}
