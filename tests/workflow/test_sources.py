"""`sources`: computed from the imports themselves, so it cannot drift."""

import ast
import sys
from importlib.metadata import entry_points
from pathlib import Path

import neurobust
from neurobust.attacks.engine.cells import cell_sources
from neurobust.attacks.plan import read_plans
from neurobust.attacks.registry import attack_modules
from neurobust.core import sources
from neurobust.core.places import Places
from neurobust.networks.conditions import read_condition
from neurobust.networks.registry import task_modules
from neurobust.predictors.registry import reader_modules

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
    train = names("networks/train_network", project, *reader_modules(["gnet"]))
    assert {"networks/train.py", "networks/controls.py", "predictors/gnet.py", "core/training.py"} <= train
    assert not {"attacks/gradient.py", "report/page.py", "networks/losses.py", "networks/tasks/cifar.py"} & train


def test_what_a_registry_names_is_a_source_where_it_is_asked_for(project):
    modules = attack_modules(read_plans({"a": {"method": "pgd", "budgets": [0, 1]}}), "uniform")
    assert modules == [f"neurobust.attacks.{name}" for name in
                       ("gradient", "gradient_settings", "noise", "noise_settings")]  # fmt: skip
    attack = names("attacks/attack_network", project, *modules)
    assert {"attacks/gradient.py", "attacks/ascent.py", "attacks/noise.py"} <= attack
    assert not {"attacks/square.py", "attacks/fmn.py"} & attack


def test_a_network_s_sources_are_those_of_its_condition_and_a_dataset_s_those_of_its_kind(project):
    condition = {"weight": 0.5, "target": ["V1"], "loss": "mse", "control": "shuffled"}
    guided = names("networks/train_network", project, *read_condition("V1", condition).modules())
    none = names("networks/train_network", project, *read_condition("none", {"weight": 0.5}).modules())
    described = {"networks/losses_settings.py", "networks/controls_settings.py"}
    assert guided - none == {"networks/losses.py", *described}
    digits = names("networks/prepare_task", project, *task_modules("digits"))
    assert {"networks/tasks/digits.py", "networks/tasks/digits_settings.py"} <= digits
    assert not {"networks/tasks/cifar.py", "networks/tasks/photos_settings.py", "networks/train.py"} & digits


def test_the_script_itself_is_a_source_and_data_files_travel(project):
    script = project / "workflow/scripts/report/write_index.py"
    files = sources.source_files(script)
    assert script in files
    assert any(path.suffix == ".css" for path in files)
    assert any(path.name == "imagenet50.txt" for path in sources.source_files(
        project / "workflow/scripts/networks/prepare_task.py"))  # fmt: skip


def test_bytecode_that_is_just_being_written_is_no_source(tmp_path):
    (tmp_path / "__pycache__").mkdir()
    for name in ("page.css", "page.py", "old.pyc", "__pycache__/page.cpython-311.pyc.140035"):
        (tmp_path / name).touch()
    assert sources.data_files([tmp_path]) == {tmp_path / "page.css"}


def test_a_release_does_not_retrain_a_study(project):
    """Only the version and a docstring live in the file that is left out."""
    assert "__init__.py" not in names("networks/train_network", project)
    body = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert [type(node).__name__ for node in body] == ["Expr", "Assign"]


EVERYWHERE = """
async def f():
    async with a:
        import neurobust.one
    async for b in a:
        import neurobust.two
    else:
        import neurobust.three
class C:
    import neurobust.four
try:
    import neurobust.five
except* ValueError:
    import neurobust.six
else:
    import neurobust.seven
finally:
    import neurobust.eight
if a: pass
elif b: import neurobust.nine
else: import neurobust.ten
while a:
    match b:
        case 1: import neurobust.eleven
"""


def test_an_import_is_found_wherever_a_statement_can_stand(tmp_path):
    """In each kind of block, and as a look at every node finds them in the package's own files."""
    (tmp_path / "everywhere.py").write_text(EVERYWHERE)
    assert len(sources.imported_names(tmp_path / "everywhere.py")) == 11
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        slow = {node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))}
        assert slow == {node for node in sources.statements(tree) if isinstance(node, (ast.Import, ast.ImportFrom))}


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


OUTSIDE = {
    "__init__.py": "",
    "attack.py": "import numpy, far_away\nfrom neurobust.core.settings import about\nfrom .helpers import climb\n",
    "helpers/__init__.py": "",
    "helpers/climb.py": "def f():\n    from wild_attacks import budgets\n",
    "budgets.py": "",
    "another.py": "",
}


def install(folder, monkeypatch):
    """A package that registers an attack by an entry point, as pip leaves it; never imported."""
    for name, text in OUTSIDE.items():
        path = folder / "wild_attacks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "far_away.py").write_text("raise SystemExit('imported')")
    about = folder / "wild_attacks-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: wild-attacks\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[neurobust.attacks]\nwild = wild_attacks.attack:Wild\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr("neurobust.core.places.registered", entry_points)


def test_a_package_outside_that_registers_an_entry_is_followed_like_ours(tmp_path, monkeypatch, project):
    """Its module and what that imports of its own top-level package and of ours; no library. Nothing is imported."""
    install(tmp_path, monkeypatch)
    module = Places({}, "neurobust.attacks").module_name("wild")
    assert module == "wild_attacks.attack"
    ours = {path.relative_to(PACKAGE).as_posix() for path in sources.closure(module) if path.is_relative_to(PACKAGE)}
    assert {"core/settings.py", "core/errors.py"} <= ours
    script = project / "workflow/scripts/attacks/attack_network.py"
    more = set(sources.source_files(script, module)) - set(sources.source_files(script))
    theirs = {path.relative_to(tmp_path).as_posix() for path in more if path.is_relative_to(tmp_path)}
    names = ("attack.py", "helpers/climb.py", "budgets.py")  # an empty __init__.py says nothing
    assert theirs == {f"wild_attacks/{name}" for name in names}
    kept_under = {path for path in cell_sources(module) if path.is_relative_to(tmp_path)}
    assert theirs <= {path.relative_to(tmp_path).as_posix() for path in kept_under}, "a cell is kept under its sources"
    assert all(path.is_relative_to(tmp_path) or path.is_relative_to(PACKAGE) for path in more), "a library is no source"
    assert not {"wild_attacks", "far_away"} & set(sys.modules)


def test_a_module_that_is_its_own_package_and_one_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "single_attack.py").write_text("import json\nimport neurobust.core.io\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = sources.closure("single_attack")
    assert tmp_path / "single_attack.py" in found and PACKAGE / "core/io.py" in found
    assert not any(path.name == "decoder.py" for path in found), "json is a library"
    for absent in ("no_such_package.module", "single_attack.inner", "sys", "__main__.x"):
        assert not [path for path in sources.closure(absent) if path.name != "single_attack.py" and
                    not path.is_relative_to(PACKAGE)], absent  # fmt: skip


def test_where_a_script_lies_is_not_in_its_hash(tmp_path):
    """A wheel and a checkout sort their files differently: by place the script comes first, or last."""
    module = PACKAGE / "core/io.py"
    hashes = set()
    for place in ("early", "late"):
        script = tmp_path / place / "job.py"
        script.parent.mkdir()
        script.write_text("from neurobust.core import io\n")
        files = (script, module) if place == "early" else (module, script)
        hashes.add(sources.source_hash(files))
    assert len(hashes) == 1
    (tmp_path / "late/job.py").write_text("from neurobust.core import io  # changed\n")
    sources.content_hash.cache_clear()
    assert sources.source_hash((module, tmp_path / "late/job.py")) not in hashes
