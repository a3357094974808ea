"""Script adapters, run with a stand-in `snakemake` object: every call fits its function, cheap ones really run."""

import inspect
import json
import runpy
import shutil

import pytest
import yaml

import neurobust.core.script
from neurobust.core.settings import read, written
from neurobust.phantom.settings import Phantom
from neurobust.study.claims import with_claims
from neurobust.study.read import read_study


class Named(list):
    """Files or parameters by position and by name, as snakemake gives them."""

    def __init__(self, **entries):
        flat = []
        for value in entries.values():
            flat += value if isinstance(value, list) else [value]
        super().__init__(flat)
        self.entries = entries

    def __getattr__(self, name):
        try:
            return self.__dict__["entries"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key):
        return self.entries[key] if isinstance(key, str) else super().__getitem__(key)

    def items(self):
        return self.entries.items()


class StandIn:
    """What a rule hands to its script."""

    def __init__(self, folder, input=None, output=None, params=None, wildcards=None):
        self.input, self.output = Named(**(input or {})), Named(**(output or {}))
        self.params, self.wildcards = Named(**(params or {})), Named(**(wildcards or {}))
        self.log, self.threads, self.resources = [str(folder / "rule.log")], 1, Named(runtime=60, resident_percent=50)


@pytest.fixture
def config(project):
    return with_claims(yaml.safe_load((project / "config/demo.yaml").read_text()), project)


NETWORK = {"task": "digits", "architecture": "resnet18", "condition": "V1", "seed": "0"}


def stand_ins(config, folder):
    """A stand-in for every script of the workflow."""

    def at(name):
        return str(folder / name)

    study, read_config = json.dumps(config), read_study(config)
    attacks = json.dumps({name: plan.settings() for name, plan in read_config.attacks.items()})
    sessions = {subject: spec["sessions"] for subject, spec in config["data"]["subjects"].items()}
    phantom = json.dumps(written(read(Phantom, config["phantom"], "phantom").planted(sessions)))
    roi = {"subject": "subj01", "roi": "LO"}
    trained = {"model": at("m.safetensors"), "metrics": at("m.json")}
    return {
        "nsd/make_phantom": ({}, {"files": at("x")}, {"root": at("p"), "settings": phantom, "code": "c"}, {}),
        "nsd/make_scenes": ({}, {"scenes": at("s.npz")}, {"settings": json.dumps(config["phantom"]["scenes"])}, {}),
        "nsd/extract_betas": (
            {"betas": [at("b1"), at("b2")]}, {"betas": at("betas.h5")}, {"root": at("p"), "sessions": 2}, roi,
        ),
        "nsd/check_betas": ({"betas": at("betas.h5")}, {"quality": at("quality.json")}, {"root": at("p")}, roi),
        "nsd/extract_roi": (
            {"betas": at("betas.h5")}, {"roi": at("LO.h5")},
            {"root": at("p"), "spec": json.dumps(config["rois"]["LO"]), "splits": json.dumps(config["splits"])}, roi,
        ),
        "nsd/build_stimuli": (
            {"images": at("brick.hdf5")}, {"images": at("64.h5")}, {"root": at("p"), "sessions": 2},
            {**roi, "size": "64"},
        ),
        "nsd/build_labels": ({"table": at("t.csv"), "annotations": at("a")}, {"labels": at("l.parquet")}, {}, {}),
        "predictors/map_voxels": (
            {"voxels": at("v.parquet"), "rois": [at("LO.h5")]}, {"maps": at("maps/subj01_r.nii.gz")},
            {"measures": '["r"]'}, {"predictor": "gnet", "roi": "LO", "seed": "0"},
        ),
        "predictors/train_predictor": (
            {"rois": [at("LO.h5")], "stimuli": [at("64.h5")]}, {**trained, "voxels": at("v.parquet")},
            {"settings": json.dumps(config["predictors"]["gnet"]), "checkpoint": str(folder)},
            {"predictor": "gnet", "roi": "LO", "seed": "0"},
        ),
        "nsd/make_faces": (
            {}, {"faces": at("f.npz")},
            {"settings": '{"seed": 0, "identities": 2, "train": 4, "validation": 2, "test": 2, "size": 16}'}, {},
        ),
        "networks/prepare_task": (
            {}, {"dataset": at("dataset.h5")}, {"source": "", "spec": '{"kind": "digits", "image_size": 32}'}, NETWORK,
        ),
        "networks/train_network": (
            {"dataset": at("dataset.h5"), "predictors": [at("p.safetensors")]}, {**trained, "history": at("h.parquet")},
            {"recipe": json.dumps(read_config.recipe("digits", "resnet18", "V1")), "checkpoint": str(folder)}, NETWORK,
        ),
        "attacks/attack_network": (
            {"dataset": at("dataset.h5"), "model": at("m.safetensors"), "twin": [at("t.safetensors")],
             "helpers": [at("oracle.safetensors")], "records": [at("oracle.json")]},
            {"tables": [at(f"{a}.parquet") for a in config["attacks"]], "examples": at("e.npz"), "checks": at("c")},
            {"attacks": attacks, "images": 16, "cells": str(folder), "transfer": "null"},
            NETWORK,
        ),
        "attacks/attack_canaries": (
            {"dataset": at("dataset.h5")}, {"canaries": at("canaries.json")},
            {"attacks": attacks}, {"task": "digits"},
        ),
        "attacks/transfer_attacks": (
            {"dataset": at("dataset.h5"), "models": [at("m.safetensors")], "adversarials": [at("transfer.npz")]},
            {"transfer": at("transfer.parquet")}, {"settings": '{"budget": 8}'},
            {"task": "digits", "architecture": "resnet18"},
        ),
        "attacks/make_corruptions": (
            {"dataset": at("dataset.h5")}, {"corruptions": at("corruptions.h5")},
            {"settings": '{"set": "cifar", "types": "all", "images": 2}'}, {"task": "digits"},
        ),
        "attacks/corrupt_network": (
            {"dataset": at("dataset.h5"), "model": at("m.safetensors"), "corruptions": at("corruptions.h5")},
            {"table": at("corruptions.parquet")}, {}, NETWORK,
        ),
        "attacks/prepare_shifted": (
            {"dataset": at("dataset.h5")}, {"shifted": at("c.h5")},
            {"settings": '{"kind": "cifar10-c", "source": "c", "task": "cifar10"}', "resize": "null"},
            {"task": "cifar10", "shifted": "c"},
        ),
        "attacks/classify_shifted": (
            {"dataset": at("dataset.h5"), "model": at("m.safetensors"), "shifted": at("c.h5")},
            {"table": at("c.parquet")}, {}, {**NETWORK, "shifted": "c"},
        ),
        "attacks/train_helper": (
            {"dataset": at("dataset.h5"), "others": [at("oracle.safetensors")]},
            {"weights": at("w.safetensors"), "record": at("w.json")},
            {"settings": '{"epochs": 1}', "checkpoint": str(folder)}, {"task": "phantom-faces", "helper": "editor"},
        ),
        "attacks/attack_semantic": (
            {"dataset": at("dataset.h5"), "model": at("m.safetensors"), "helpers": [at("oracle.safetensors")],
             "records": [at("oracle.json")]},
            {"table": at("cadv.parquet"), "examples": at("cadv.npz")},
            {"settings": "{}", "images": 4, "cells": str(folder)}, {**NETWORK, "semantic": "cadv"},
        ),
        "attacks/lend_semantic": (
            {"dataset": at("dataset.h5"), "model": at("m.safetensors"), "helpers": [at("oracle.safetensors")]},
            {"adversarials": at("cadv.npz"), "pictures": at("cadv-pictures.npz")},
            {"settings": "{}", "transfer": "{}", "images": 4, "cells": str(folder)}, {**NETWORK, "semantic": "cadv"},
        ),
        "attacks/transfer_semantic": (
            {"dataset": at("dataset.h5"), "model": at("m.safetensors"), "adversarials": at("cadv.npz")},
            {"table": at("cadv.parquet")},
            {"settings": "{}", "transfer": "{}", "source": ["digits", "resnet18", "none", "seed1"]},
            {**NETWORK, "semantic": "cadv"},
        ),
        "networks/bring_network": (
            {"dataset": at("dataset.h5")}, {"model": at("m.safetensors"), "metrics": at("metrics.json")},
            {"settings": json.dumps({"kind": "function", "network": "a:b", "task": "digits"})}, NETWORK,
        ),
        "attacks/attack_verification": (
            {"dataset": at("dataset.h5"), "model": at("m.safetensors"), "helpers": [at("editor.safetensors")],
             "records": [at("editor.json")]},
            {"table": at("verification.parquet"), "examples": at("verification.npz")},
            {"settings": '{"pairs": 4}', "cells": str(folder)}, NETWORK,
        ),
        "explain/explain_network": (
            {"dataset": at("dataset.h5"), "model": at("m.safetensors"), "predictors": [at("p.safetensors")],
             "responses": [], "stimuli": [], "examples": [], "transfer": [], "minimal": []},
            {"table": at("similarity.parquet")},
            {"rois": ["V1"], "images": 16, "analyses": '{"similarity": {}}', "folder": str(folder)}, NETWORK,
        ),
        "explain/explain_predictor": (
            {"model": at("m.safetensors"), "voxels": at("v.parquet"), "responses": [at("V1.h5")],
             "stimuli": [at("64.h5")], "labels": [], "prfs": []},
            {"table": at("fields.parquet")}, {"rois": ["V1"], "images": 16, "analyses": "{}", "folder": str(folder)},
            {"predictor": "gnet", "roi": "V1", "seed": "0"},
        ),
        "explain/explain_study": (
            {"metrics": [at("metrics.json")], "attacked": [at("pgd.parquet")], "tables": [at("similarity.parquet")]},
            {"table": at("mediation.parquet")}, {"gains": "[]", "analyses": "{}", "folder": str(folder)}, {},
        ),
        "report/tabulate_results": ({}, {"summary": at("summary.csv")}, {"study": study}, {}),
        "report/tabulate_semantic": (
            {"tables": [at("cadv.parquet")], "networks": at("networks.csv"), "transfers": []},
            {"semantic": at("semantic.csv"), "gates": at("gates.csv")}, {"study": study}, {},
        ),
        "report/tabulate_verification": (
            {"tables": [at("verification.parquet")]}, {"verification": at("verification.csv")}, {"study": study}, {},
        ),
        "report/draw_figures": ({"tables": [at("a.csv")]}, {"inside": at("inside.svg")}, {"study": study}, {}),
        "report/write_index": (
            {"tables": [at("a.csv")], "figures": [at("inside.svg")], "examples": [at("e.npz")], "semantic": [],
             "verification": []},
            {"answer": at("i.html")}, {"study": study}, {},
        ),
        "report/write_roi_page": ({}, {"page": at("LO.html")}, {"study": study}, {"roi": "LO"}),
        "report/pack_report": ({"pages": [at("i.html")]}, {"archive": at("r.zip")}, {}, {}),
        "report/confirm_attacks": ({"checks": [at("checks.json")]}, {"confirmed": at("confirmed.txt")}, {}, {}),
    }  # fmt: skip


def run_script(project, name, stand_in):
    runpy.run_path(str(project / "workflow/scripts" / f"{name}.py"), {"snakemake": stand_in}, run_name="__main__")


def test_the_calls_of_the_scripts_fit_their_functions(project, config, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        neurobust.core.script, "run", lambda snakemake, function, **given: calls.append((function, given))
    )
    for name, parts in stand_ins(config, tmp_path).items():
        run_script(project, name, StandIn(tmp_path, *parts))
        function, given = calls[-1]
        inspect.signature(function).bind(**given)
        for key, value in given.items():
            assert not isinstance(value, Named), f"{name}: {key} is still snakemake's"
    scripts = (project / "workflow/scripts").rglob("*.py")
    names = {f"{script.parent.name}/{script.stem}" for script in scripts if script.parent.name != "study"}
    assert names == set(stand_ins(config, tmp_path)), "every script has a stand-in; those of study are run elsewhere"
    assert len(calls) == len(names)


def test_prepare_task_runs(project, config, tmp_path):
    parts = stand_ins(config, tmp_path)["networks/prepare_task"]
    run_script(project, "networks/prepare_task", StandIn(tmp_path, *parts))
    assert (tmp_path / "dataset.h5").exists()


def test_a_fault_exits_with_one_line_and_leaves_no_output(project, config, tmp_path, capsys):
    parts = stand_ins(config, tmp_path)["nsd/extract_betas"]
    with pytest.raises(SystemExit) as caught:
        run_script(project, "nsd/extract_betas", StandIn(tmp_path, *parts))
    assert caught.value.code == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "betas.h5").exists()


def test_extract_roi_and_explain_run_on_the_demo(project, config, demo, tmp_path, monkeypatch):
    """The scripts give the demo's own bytes again."""
    monkeypatch.chdir(demo)
    results = demo / "results/demo"
    inputs, outputs, params, wildcards = stand_ins(config, tmp_path)["nsd/extract_roi"]
    params = {**params, "root": config["data"]["root"]}
    inputs = {"betas": str(results / "cortex/subj01/betas.h5")}
    run_script(project, "nsd/extract_roi", StandIn(tmp_path, inputs, outputs, params, wildcards))
    assert (tmp_path / "LO.h5").read_bytes() == (results / "cortex/subj01/LO.h5").read_bytes()

    network = results / "networks/digits/resnet18/LO/seed0/model.safetensors"
    predictor = results / "predictors/gnet/V1/seed0/model.safetensors"
    _, outputs, params, wildcards = stand_ins(config, tmp_path)["explain/explain_network"]
    inputs = {
        "dataset": str(results / "networks/digits/dataset.h5"),
        "model": str(network),
        "predictors": [str(predictor)],
        **dict.fromkeys(("responses", "stimuli", "examples", "transfer", "minimal"), ()),
    }
    run_script(project, "explain/explain_network", StandIn(tmp_path, inputs, outputs, params, wildcards))
    assert (tmp_path / "similarity.parquet").exists()
    shutil.rmtree(tmp_path)
