"""The habits of rules, scripts, profiles and rooms, checked on the files themselves."""

import ast
import re
import subprocess
import sys
from itertools import pairwise

import pytest
import yaml

STAGES = ("nsd", "predictors", "networks", "attacks", "explain", "report")
# What may cross between stages inside the package: the readers of weights files, and where the phantom puts its files.
CROSSINGS = {
    ("networks", "predictors"): {"load_target"},
    ("explain", "predictors"): {"load_target"},
    ("attacks", "networks"): {"load_network"},
    ("explain", "networks"): {"load_network", "Layers", "Classifier"},
    ("phantom", "nsd"): {"layout"},
    ("report", "attacks"): {"AttackPlan"},
    ("report", "explain"): {"Analysis", "hierarchy_index"},
    ("report", "networks"): {"Condition"},
}
# Who may import whom besides: from left to right and never back.
BELOW = {
    "core": {"core"},
    "files": {"core", "files"},
    **{stage: {"core", "files", stage} for stage in (*STAGES, "phantom")},
    "study": {"core", "files", "statistics", "study", "phantom", *STAGES} - {"report"},
}
BELOW["explain"] |= {"statistics"}
BELOW["report"] |= {"statistics", "study"}
BELOW["cli"] = {*BELOW, "cli"}
SETTINGS = 8  # most parameters of a function


def rule_texts(project):
    for path in sorted((project / "workflow/rules").glob("*.smk")):
        text = path.read_text()
        starts = [match.start(1) for match in re.finditer(r"(?m)^ *(rule \w+:)", text)]
        for start, end in pairwise([*starts, len(text)]):
            yield path, re.match(r"rule (\w+):", text[start:]).group(1), text[start:end]


def test_every_computing_rule_has_log_benchmark_environment_message_and_sources(project):
    names = []
    for path, name, text in rule_texts(project):
        if "script:" not in text:
            continue
        names.append(name)
        for part in (
            "output:",
            "log:",
            "benchmark:",
            "conda:",
            "message:",
            "code=",  # a parameter: what its sources hold
        ):
            assert part in text, f"{path.name}: rule {name} has no {part}"
        assert re.search(rf'sources\(\s*"{path.stem}/{name}"', text), f"{path.name}: rule {name} has no sources"
        script = re.search(r'script:\s+"\.\./scripts/(.+)\.py"', text).group(1)
        assert script == f"{path.stem}/{name}", f"rule {name} runs {script}"
        assert "retries:" not in text.replace("retries: 0", ""), "retries multiply with the profile's"
        assert re.match(r"[a-z]+_", name), "rules are verb_noun"
    assert len(names) >= 14


def test_each_script_belongs_to_a_rule_and_is_thin(project):
    rules = {f"{path.stem}/{name}" for path, name, _ in rule_texts(project)}
    scripts = sorted((project / "workflow/scripts").rglob("*.py"))
    assert scripts
    for script in scripts:
        text = script.read_text()
        assert f"{script.parent.name}/{script.stem}" in rules, script
        assert "snakemake.config" not in text, f"{script}: what changes a result goes through params or input"
        assert len(text.splitlines()) <= 40, script
        assert not [n for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.For, ast.If, ast.FunctionDef))], script


def test_the_same_six_names_everywhere(project):
    for stage in STAGES:
        for place in (
            f"workflow/rules/{stage}.smk",
            f"workflow/scripts/{stage}",
            f"src/neurobust/{stage}",
            f"tests/{stage}",
        ):
            assert (project / place).exists(), place


def test_gpu_rules_ask_for_gpu_and_never_for_gpus(project):
    texts = {name: text for _, name, text in rule_texts(project)}
    for name in ("train_predictor", "train_network", "attack_network", "explain_network"):
        assert re.search(r"^\s+gpu=1,$", texts[name], re.M), name
    for text in texts.values():
        assert not re.search(r"\bgpus=", text)


def test_gpu_rules_ask_for_the_cpus_that_feed_it(project):
    """As a resource, which only SLURM reads: `threads` would be those that torch computes with, and change rounding."""
    texts = [text for path, _, text in rule_texts(project) if path.stem in STAGES]
    asked = [re.findall(r"^\s+cpus_per_task=(\d+),$", text, re.M) for text in texts if "gpu=1," in text]
    assert len(asked) > 5 and all(len(found) == 1 and 4 <= int(found[0]) <= 8 for found in asked)


def test_profiles(project):
    assert (project / "slurm").is_symlink()
    assert (project / "slurm").readlink().as_posix() == "profiles/slurm", "`--profile slurm` must resolve from the root"
    assert not (project / "profiles/default").exists(), "it would silently replace keys of the other profiles"
    slurm = yaml.safe_load((project / "profiles/slurm/config.yaml").read_text())
    assert slurm["executor"] == "slurm" and slurm["jobs"] <= 100
    assert "slurm-array-jobs" not in slurm, "array tasks delete each other's outputs"
    assert slurm["slurm-status-command"] in ("squeue", "sacct")
    assert not any("nodes" in str(entry) for entry in slurm["default-resources"])
    for profile in (slurm, yaml.safe_load((project / "profiles/local/config.yaml").read_text())):
        assert "report" not in profile and "config" not in profile
        assert "code" not in profile["rerun-triggers"], "a script's date is no reason to train again"


def test_a_retry_of_any_gpu_job_gets_more(project):
    """docs/slurm.md promises it: each rule that asks for a GPU grows with the attempt, from what the rule asks for."""
    grown = yaml.safe_load((project / "profiles/slurm/config.yaml").read_text())["set-resources"]
    texts = {name: text for path, name, text in rule_texts(project) if path.stem in STAGES}
    asked = {name: text for name, text in texts.items() if re.search(r"^\s+gpu=1,$", text, re.M)}
    for text in texts.values():
        asked |= {copy: texts[name] for name, copy in re.findall(r"use rule (\w+) as (\w+) with:", text)}
    assert set(grown) == set(asked)
    for name, text in asked.items():
        runtime = re.search(r"runtime=(\d+)", text).group(1)
        memory = re.search(r"mem_mb=(\d+)", text).group(1)
        assert grown[name] == {"mem_mb": f"{memory} * min(attempt, 2)", "runtime": f"{runtime} * attempt"}, name


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, set()


def test_rooms_import_what_lies_below_them(project):
    package = project / "src/neurobust"
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0]
        for module, names in imports(path) if room in BELOW else ():
            parts = module.split(".")
            if parts[0] != "neurobust" or len(parts) == 1:
                assert parts[0] != "neurobust" or names <= {"__version__"}, f"{path}: import of a whole room"
                continue
            crossing = CROSSINGS.get((room, parts[1]), set())
            assert parts[1] in BELOW[room] or (names and names <= crossing), f"{path}: {module} {names}"
    rooms = {path.name for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(BELOW)


def test_packages_are_empty(project):
    found = [path for path in (project / "src/neurobust").rglob("__init__.py") if path.read_text().strip()]
    package = project / "src/neurobust"
    named = [package / "__init__.py", package / "predictors/__init__.py"]
    assert sorted(found) == named, "imports of a whole package make its files sources"
    assert {module for module, _ in imports(named[1])} == {"importlib"}, "it names places and imports none of ours"


def test_no_import_circle(project):
    """Imports inside functions count too."""
    root = project / "src"
    files = {}
    for path in (root / "neurobust").rglob("*.py"):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        files[name.removesuffix(".__init__")] = path
    graph = {}
    for name, path in files.items():
        found = {module for module, _ in imports(path)}
        found |= {f"{module}.{name}" for module, names in imports(path) for name in names}
        graph[name] = {module for module in found if module in files and module != name} - {name.rpartition(".")[0]}
    state = {}

    def visit(name, trail):
        if state.get(name) == "done":
            return
        assert state.get(name) != "open", f"import circle: {' -> '.join([*trail, name])}"
        state[name] = "open"
        for other in graph.get(name, ()):
            visit(other, [*trail, name])
        state[name] = "done"

    for name in graph:
        visit(name, [])


def test_files_and_functions_stay_readable(project):
    for path in sorted((project / "src").rglob("*.py")):
        text = path.read_text()
        assert len(text.splitlines()) <= 400, f"{path}: too long for one file"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno <= 60, f"{path}: {node.name} is too long"
                given = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                assert len(set(given) - {"self", "cls"}) <= SETTINGS, f"{path}: {node.name} takes {len(given)}"


def test_what_is_public_says_what_it_is(project):
    for path in sorted((project / "src").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in (*tree.body, *(n for part in tree.body if isinstance(part, ast.ClassDef) for n in part.body)):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                overload = any("overload" in ast.unparse(mark) for mark in node.decorator_list)
                assert overload or ast.get_docstring(node), f"{path}: {node.name} has no docstring"


@pytest.mark.parametrize(
    "statement", ["import neurobust", "import neurobust.study.read, neurobust.study.mirror, neurobust.core.sources"]
)
def test_light_imports(statement):
    heavy = "{'torch', 'torchvision', 'pandas', 'matplotlib', 'h5py', 'scipy', 'sklearn'}"
    code = f"import sys; {statement}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parsing_the_workflow_imports_nothing_heavy(project, tmp_path):
    """Every SLURM job parses the Snakefile three times. What snakemake itself loads (pandas) does not count."""
    arguments = ["-s", str(project / "Snakefile"), "--directory", str(tmp_path), "--list-rules"]
    arguments += ["--configfile", str(project / "config/demo.yaml")]
    code = f"""
import sys
from snakemake.cli import main
heavy = {{"torch", "torchvision", "pandas", "matplotlib"}}
before = heavy & set(sys.modules)
try:
    main({arguments!r})
except SystemExit:
    pass
print("loaded", sorted(heavy & set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "train_network" in done.stdout and "loaded []" in done.stdout, done.stdout[-500:] + done.stderr[-500:]
