"""Which source files a workflow script really runs: the closure of its imports inside the package.

Snakemake sees neither imported modules nor, by content, scripts. Rules declare these files as inputs: small inputs are
compared by checksum, so a changed line re-runs what it may change, and a fresh checkout re-runs nothing.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parent


def module_file(name: str) -> Path | None:
    """The file of a module of the package, or None."""
    base = ROOT.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


@cache
def imported_names(path: Path, module: str | None = None) -> frozenset[str]:
    """Modules of the package that a file imports anywhere in it, also inside functions."""
    package = module if path.name == "__init__.py" else (module or "").rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return frozenset(name for name in names if name.split(".")[0] == PACKAGE.name)


@cache
def closure(name: str) -> frozenset[Path]:
    """Files of a module, of the packages around it, and of all that they import, transitively."""
    found: dict[str, Path] = {}
    seen, todo = set(), [name]
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        path = module_file(module)
        if path is None:
            continue
        found[module] = path
        parts = module.split(".")
        todo += [".".join(parts[:i]) for i in range(1, len(parts))]
        todo += sorted(imported_names(path, module))
    return frozenset(found.values())


@cache
def source_files(script: Path, *modules: str) -> tuple[Path, ...]:
    """A script and every package file that it or one of these modules imports, their packages' data files included.

    `neurobust/__init__.py`, which holds the version alone, is left out: a release must not retrain a study.
    """
    files: set[Path] = {script}
    for name in (*imported_names(script), *modules):
        files |= closure(name)
    folders = {path.parent for path in files if path.is_relative_to(PACKAGE)} - {PACKAGE}
    data = {p for folder in folders for p in folder.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    return tuple(sorted((files | data) - {PACKAGE / "__init__.py"}))
