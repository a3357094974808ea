"""Which source files a workflow script really runs: the closure of its imports inside its own package.

Snakemake sees neither imported modules nor, by content, scripts. Rules have a hash of these files as a parameter: a
changed line re-runs what it may change, and a fresh checkout re-runs nothing.

A module of another installed package (an attack that is registered by an entry point, for example) is followed in the
same way: into the modules of its own top-level package, and into ours. Whatever else it imports is a library.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parent


def folders_of(package: str) -> tuple[Path, ...]:
    """The folders that hold a top-level package or module, found without importing it; none if it is not installed."""
    if package == PACKAGE.name:
        return (ROOT,)
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):  # ValueError: a module without a specification, such as __main__
        return ()
    if spec is None:
        return ()
    places = spec.submodule_search_locations or ([spec.origin] if spec.has_location and spec.origin else [])
    return tuple(Path(place).parent for place in places)


def module_file(name: str) -> Path | None:
    """The file of a module of our package or of an installed one, or None. Nothing is imported."""
    parts = name.split(".")
    for folder in folders_of(parts[0]):
        base = folder.joinpath(*parts)
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file():
                return path
    return None


@cache
def imported_names(path: Path, module: str | None = None) -> frozenset[str]:
    """Modules that a file imports anywhere in it, also inside functions: those of our package and, where the file is
    `module` of another package, those of that one."""
    package = module if path.name == "__init__.py" else (module or "").rpartition(".")[0]
    names: set[str] = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    followed = {PACKAGE.name, (module or PACKAGE.name).split(".")[0]}
    return frozenset(name for name in names if name.split(".")[0] in followed)


def statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements of a file, also those inside others. Expressions, in which no import can be, are not looked at."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            todo += getattr(node, part, ())


@cache
def direct(module: str) -> tuple[Path | None, tuple[str, ...]]:
    """The file of a module, and the modules that it asks for itself: the packages around it, and what it imports."""
    path = module_file(module)
    if path is None:
        return None, ()
    parts = module.split(".")
    return path, (*(".".join(parts[:i]) for i in range(1, len(parts))), *sorted(imported_names(path, module)))


@cache
def closure(name: str) -> frozenset[Path]:
    """Files of a module, of the packages around it, and of all that they import, transitively.

    Inside our package and inside the module's own, if that is another one.
    """
    found: dict[str, Path] = {}
    seen, todo = set(), [name]
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        path, names = direct(module)
        if path is not None:
            found[module] = path
            todo += names
    return frozenset(found.values())


@cache
def source_files(script: Path, *modules: str) -> tuple[Path, ...]:
    """A script and every package file that it or one of these modules imports, our packages' data files included.

    `neurobust/__init__.py`, which holds the version alone, is left out: a release must not retrain a study. Empty
    `__init__.py` files are left out too: they say nothing, and every job of a large study would look at each of them.
    """
    found: set[Path] = {script}
    for name in (*imported_names(script), *modules):
        found |= closure(name)
    files = {path for path in found if path.name != "__init__.py" or path.stat().st_size}
    folders = {path.parent for path in files if path.is_relative_to(PACKAGE)} - {PACKAGE}
    return tuple(sorted((files | data_files(folders)) - {PACKAGE / "__init__.py"}))


def data_files(folders: Iterable[Path]) -> set[Path]:
    """What lies in these folders and is no code, nor bytecode: of that files come and go while processes start."""
    return {path for folder in folders for path in data_of(folder)}


@cache
def data_of(folder: Path) -> frozenset[Path]:
    """The same of one folder, looked at once in a process."""
    found = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return frozenset(path for path in found if path.suffix not in (".py", ".pyc") and path.is_file())


@cache
def content_hash(path: Path) -> bytes:
    """SHA-256 of a file's content, read once in a process."""
    return hashlib.sha256(path.read_bytes()).digest()


def source_hash(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents of source files, wherever the project or another package lies."""
    digest = hashlib.sha256()
    for name, content in sorted((name_of(path), content_hash(path)) for path in files):  # not in the order of places
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()


def name_of(path: Path) -> str:
    """A file's name within our package, or its last part."""
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else path.name
