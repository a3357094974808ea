"""`neurobust init`: a commented configuration, written into a folder that has none, from a few answers."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neurobust.cli import home
from neurobust.cli.mirror import Found, look
from neurobust.core.errors import InputError
from neurobust.core.io import write_text
from neurobust.core.names import one_of
from neurobust.core.profile_link import TARGET as PROFILE
from neurobust.core.settings import Given, read
from neurobust.networks.registry import TASKS
from neurobust.study.config import Name
from neurobust.study.yaml_file import read_yaml

TEMPLATE = Path(__file__).with_name("templates") / "config.yaml"
PHANTOM = "phantom"
ROIS = ("V1", "LO")  # without an answer
# Where to begin with a task: passes over its training images, and what of its network differs from the study's.
EPOCHS = {"digits": 4, "phantom-scenes": 12}
OTHERS = 60
OWN: dict[str, Given] = {
    "phantom-scenes": {"architectures": ["small"], "training": {"learning_rate": 0.4}},
    "digits": {"budgets": {"linf": [0, 4, 8, 16, 32]}},
}
BUDGETS = {True: [0, 0.6, 1.25, 2.5, 5], False: [0, 0.5, 1, 2, 4]}  # 1/255, by whether the study is a phantom's


def begin(given: argparse.Namespace) -> int:
    """Write the study's files and say what to do next. InputError for an answer that cannot be, or a folder in use."""
    folder = Path(given.directory)
    refuse_used(folder)
    read(Name, given.study, "STUDY")
    nsd = answer(given.nsd, "Where is NSD: a mirror's folder, or phantom for a planted one?", PHANTOM, "--nsd")
    phantom = nsd == PHANTOM
    shipped = read_yaml(home.pipeline() / "config/config.yaml")
    mirror = None if phantom else look(nsd, shipped["data"]["subjects"])
    known = shipped["rois"]
    usual = ",".join([name for name in ROIS if name in known] or known)
    names = split(answer(given.rois, f"Which ROIs, of {', '.join(known)}?", usual, "--rois"), "--rois")
    for name in names:
        if name not in known:
            raise InputError(f"--rois: {name!r} is not known; choose of {one_of(name, known)}, and add others by hand")
    kinds = [kind for kind in TASKS if phantom or not TASKS[kind].phantom]
    kinds = [kind for kind in kinds if not TASKS[kind].faces]
    default = "phantom-scenes" if phantom else "digits"
    asked = split(
        answer(given.tasks, f"Which tasks, of {', '.join(kinds)} (KIND=PATH)?", default, "--tasks"), "--tasks"
    )
    tasks = dict(task_of(word, kinds, folder) for word in asked)
    cluster = given.cluster
    if cluster is None:
        cluster = agreed(answer(None, "Do jobs go through SLURM, yes or no?", "no", "--cluster"), "--cluster")
    if cluster:
        refuse_profile(folder)
    if mirror is not None:
        mirror = mirror._replace(root=seen_from(folder, nsd))
    text = filled(given.study, mirror, {name: known[name] for name in names}, tasks)
    refuse_bytes(text)
    write_text(folder / home.CONFIG, text)
    written = [home.CONFIG, *(copied_profile(folder) if cluster else [])]
    say_next(folder, written, mirror, cluster)
    return 0


def refuse_used(folder: Path) -> None:
    """Raise InputError where a folder holds a configuration already, be it a link to nothing, or is none."""
    if home.there(folder) and not folder.is_dir():
        raise InputError(f"--directory: {folder}: not a folder; name one that is empty or not there yet")
    for name in (home.CONFIG, "config", "Snakefile"):
        if home.there(folder / name):
            raise InputError(
                f"{folder / name}: there already, so this folder has a study; begin one in an empty folder"
            )


def refuse_bytes(text: str) -> None:
    """Raise InputError for a configuration with a path of bytes that are no UTF-8."""
    for line in text.splitlines():
        if not line.isascii() and line.encode(errors="replace").decode() != line:
            raise InputError(f"{line.strip()!a}: not UTF-8, which a configuration is written in; rename the folder")


def refuse_profile(folder: Path) -> None:
    """Raise InputError where something else has the place of the profile for SLURM, or of the link that finds it."""
    for path in (folder / "profiles", folder / PROFILE):
        if home.there(path) and not path.is_dir():
            raise InputError(f"{path}: not a folder, so no profile can lie in it; remove it, or begin elsewhere")
    link = folder / "slurm"
    if home.there(link) and link.resolve() != (folder / PROFILE).resolve():
        raise InputError(f"{link}: there already, and not the link to {PROFILE}; remove it, or begin elsewhere")


def answer(given: str | None, question: str, default: str, flag: str) -> str:
    """What a flag says; else what somebody at the terminal answers; else the default, which is printed."""
    if given is not None:
        if not given.strip():
            raise InputError(f"{flag}: empty; give a value, or leave it out for {default}")
        return given
    if home.at_terminal():
        return input(f"{question} [{default}] ").strip() or default
    print(f"{flag} {default} (the default)")
    return default


def agreed(text: str, flag: str) -> bool:
    """Whether an answer is yes; InputError where it is neither yes nor no."""
    word = text.strip().lower()
    if word not in ("y", "yes", "n", "no"):
        raise InputError(f"{flag}: {text!r}: expected yes or no")
    return word in ("y", "yes")


def split(text: str, flag: str) -> list[str]:
    """Words between commas, each once."""
    words = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not words:
        raise InputError(f"{flag}: {text!r}: expected names with commas between them")
    return words


def seen_from(folder: Path, path: str) -> str:
    """A path that was given from here as the study in `folder` names it, which runs there."""
    given = Path(path).expanduser()
    return str(given) if given.is_absolute() else os.path.relpath(given, folder.resolve())


def task_of(word: str, kinds: Iterable[str], folder: Path) -> tuple[str, Given]:
    """A task by what was said of it, KIND or KIND=PATH: its name and its entry, for a study in `folder`."""
    kind, _, source = word.partition("=")
    if kind not in kinds:
        raise InputError(f"--tasks: {kind!r} is not known here; choose of {one_of(kind, kinds)}")
    brings = TASKS[kind].brings
    if brings and not source:
        raise InputError(f"--tasks: {kind} needs {brings}; say {kind}=PATH")
    if source and not brings:
        raise InputError(f"--tasks: {kind} needs no files; say {kind} alone")
    own = OWN.get(kind, {})
    entry = {"kind": kind, **({"source": seen_from(folder, source)} if source else {}), **own}
    return kind, {**entry, "training": {"epochs": EPOCHS.get(kind, OTHERS), **own.get("training", {})}}


def filled(study: str, mirror: Found | None, rois: Mapping[str, Given], tasks: Mapping[str, Given]) -> str:
    """The text of a configuration."""
    from jinja2 import Environment, StrictUndefined

    made = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True)
    small = [task for task in tasks.values() if "architectures" in task]
    if small and len(small) < len(tasks):
        tasks = {name: {"architectures": ["resnet18"], **task} for name, task in tasks.items()}
    architectures = sorted({name for task in tasks.values() for name in task.get("architectures", ["resnet18"])})
    return made.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        study=flow(study),
        results=flow(f"results/{study}"),
        schema=(home.pipeline() / "config/schema.yaml").resolve(),
        mirror=mirror and mirror._replace(root=flow(mirror.root)),
        rois={name: flow(roi) for name, roi in rois.items()},
        tasks={name: flow(task) for name, task in tasks.items()},
        architectures=architectures,
        budgets=BUDGETS[mirror is None],
        seeds=[0, 1, 2] if mirror is None else [0, 1, 2, 3, 4],
        test="shared" if mirror is None or not mirror.whole else "special",
    )


def flow(value: Any) -> str:
    """A value in YAML on one line; text that is a plain word or path, and nothing else to YAML, stays unquoted."""
    import yaml

    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z./][A-Za-z0-9./_-]*", value) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def copied_profile(folder: Path) -> list[str]:
    """The profile for SLURM, copied to where its partition and account are named, and the link that finds it.

    Somebody's own stays as it is. The names of what was written.
    """
    written = []
    own, link = folder / PROFILE / home.CONFIG, folder / "slurm"
    if not home.there(own):
        own.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(home.pipeline() / PROFILE / home.CONFIG, own)
        written.append(f"{PROFILE}/{home.CONFIG}")
    if not home.there(link):
        link.symlink_to(PROFILE)
        written.append("slurm")
    return written


def say_next(folder: Path, written: Iterable[str], mirror: Found | None, cluster: bool) -> None:
    """Print what was written and what comes next."""
    print(f"wrote {', '.join(written)}" + ("" if folder == Path() else f" in {folder}; go there"))
    if mirror is not None and not mirror.there:
        print(f"no session of NSD lies in {mirror.root}: what the study needs will be fetched into it")
    steps = ["neurobust check    what is wrong with it?", "neurobust plan     what will it cost?"]
    if cluster:
        steps.insert(0, "name your partition and account in profiles/slurm/config.yaml")
    if mirror is not None:
        steps.append("neurobust doctor   is the mirror what the pipeline takes it for?")
    steps += ["neurobust run      run it, from the data to the report", "neurobust report   its main table"]
    print("next:", *(f"  {step}" for step in steps), sep="\n")
