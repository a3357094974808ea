"""The entry point: files as the design says, resumed work identical to work in one go."""

import logging
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from neurobust.attacks import bounded, evaluate
from neurobust.attacks.check_plans import network_modules
from neurobust.attacks.checks import flags
from neurobust.attacks.engine import run
from neurobust.attacks.engine.cells import OURS, cell_sources
from neurobust.attacks.engine.subject import Subject
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.plan import read_plan, read_plans
from neurobust.attacks.registry import ATTACKS as METHODS
from neurobust.attacks.registry import attack_modules
from neurobust.attacks.semantic.oracle import Oracle
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.errors import InputError
from neurobust.core.io import read_json, read_parquet, save_weights
from neurobust.files.attack_table import read_attack_table
from neurobust.files.auxiliary import AuxiliaryRecord, Gate, write_auxiliary_record
from neurobust.files.checks import read_checks

ATTACKS = {
    "pgd-linf": {"method": "pgd", "norm": "linf", "budgets": [0, 8, 32], "unit": "1/255", "steps": 3, "loss": "margin"},
    "gaussian": {"method": "gaussian", "budgets": [0, 1, 3], "repeats": 2},
    "hue": {"method": "hue", "budgets": [0, 0.25, 0.5], "grid": 5},
}
NAMES = {"architecture": "tiny", "condition": "none"}
COLUMNS = ["image", "budget", "clean_correct", "success", "abstained", "distance", "n_forward", "n_backward"]


@pytest.fixture
def study(tmp_path, monkeypatch, dataset, net):
    """attack_network(**changes) on the digits, writing under tmp_path / folder; returns that folder."""
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"digits net")
    monkeypatch.setattr(evaluate, "load_network", lambda path, neural_head: net)
    monkeypatch.setattr(evaluate, "CELL_IMAGES", 8)
    monkeypatch.setattr(evaluate, "pick_device", lambda: torch.device("cpu"))

    def run(
        folder, cells="cells", attacks=ATTACKS, attack_batch=5, transfer=None, adversarials=None, twin=None,
        helpers=None, **changes,
    ):  # fmt: skip
        out, plans = tmp_path / folder, read_plans(attacks)
        tables = changes.pop("tables", {name: out / f"{name}.parquet" for name in attacks})
        subject = replace(Subject(dataset, weights, 0, 20, NAMES), **changes)
        outputs = evaluate.NetworkOutputs(
            tables, out / "examples.npz", tmp_path / cells, out / "checks.json", adversarials
        )
        evaluate.attack_network(subject, plans, outputs, transfer, attack_batch, twin, helpers)
        return out

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def same_results(one, two):
    """Parquet rows and attributes, except the seconds, and every other file, are equal."""
    assert [path.name for path in sorted(one.iterdir())] == [path.name for path in sorted(two.iterdir())]
    for path in one.glob("*.parquet"):
        (frame, attrs), (other, other_attrs) = read_parquet(path), read_parquet(two / path.name)
        assert frame.equals(other)
        attrs.pop("seconds"), other_attrs.pop("seconds")
        assert attrs == other_attrs
    for path in one.glob("[!p]*.[nj]*"):
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_files_are_as_the_design_says(study, dataset, net):
    out = study("out")
    with h5py.File(dataset) as file:
        images, labels, split = file["images"][:], file["labels"][:], file["split"][:]
    frames = {}
    for name, settings in ATTACKS.items():
        frame, attrs = read_parquet(out / f"{name}.parquet")
        frames[name] = frame
        assert list(frame.columns) == COLUMNS and len(frame) == 20 * 3
        assert [frame[column].dtype.kind for column in COLUMNS] == list("ifbbbfff")
        assert (split[frame.image] == 2).all() and frame.image.nunique() == 20
        assert sorted(frame.budget.unique()) == settings["budgets"]
        assert attrs["settings"]["method"] == settings["method"] and attrs["condition"] == "none"
        assert attrs["verification"]["demoted"] == 0 and attrs["seconds"] > 0
        assert set(attrs["provenance"]["inputs"]) == {"dataset", "model"}
        found = frame[frame.success]
        assert (found.distance <= found.budget * (1 + 1e-6) + 1e-4).all()  # in the budget's own unit
        assert frame[~frame.success].distance.isna().all()
        assert (frame[~frame.clean_correct].success).all() and (frame[~frame.clean_correct].distance == 0).all()
    broken = {name: frame[frame.clean_correct].success.sum() for name, frame in frames.items()}
    assert broken["pgd-linf"] > 0 and broken["hue"] == 0  # grey digits have no hue
    assert (frames["pgd-linf"].image == frames["hue"].image).all()
    examples = np.load(out / "examples.npz")
    assert (examples["image"] == frames["hue"].image.unique()[:6]).all()
    assert (examples["label"] == labels[examples["image"]]).all()
    assert (examples["clean"] == images[examples["image"]].astype(np.float32) / 255).all()
    for name in ATTACKS:
        adversarial, budgets = examples[f"adversarial/{name}"], examples[f"budget/{name}"]
        assert adversarial.shape == (6, 8, 8, 3) and adversarial.dtype == np.float32
        found = ~np.isnan(budgets)
        broken = net(torch.from_numpy(adversarial[found]).permute(0, 3, 1, 2)).argmax(1).numpy()
        assert (broken != examples["label"][found]).all() and np.isnan(adversarial[~found]).all()
    assert not np.isnan(examples["budget/pgd-linf"]).all()
    checks = read_json(out / "checks.json")
    assert all(entry["passed"] for entry in checks)
    assert {"check", "attack", "passed", "value", "note"} == set(checks[0])


def test_resumed_run_equals_one_in_one_go(study, monkeypatch):
    whole = study("whole", cells="cells-whole")
    compute, calls = run.compute_cell, []

    def killed(method, *arguments):
        calls.append(method)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return compute(method, *arguments)

    monkeypatch.setattr(run, "compute_cell", killed)
    with pytest.raises(KeyboardInterrupt):
        study("resumed")
    resumed = study("resumed")
    assert len(calls) == 1 + 3 * 3  # 9 cells; only the killed one is done twice
    same_results(whole, resumed)
    again = study("again")
    assert len(calls) == 10 and contents(again) == contents(resumed)


def test_the_gallery_does_not_depend_on_the_size_of_cells(study, monkeypatch):
    whole = study("whole", attack_batch=4)
    monkeypatch.setattr(evaluate, "CELL_IMAGES", 4)
    small = study("small", cells="small-cells", attack_batch=4)
    assert (whole / "examples.npz").read_bytes() == (small / "examples.npz").read_bytes()
    same_results(whole, small)


def test_an_ensemble_says_which_attack_broke_which_image(study):
    settings = {"method": "autoattack", "budgets": [0, 8, 32, 64], "steps": 4, "targets": 2, "queries": 10}
    frame, attrs = read_parquet(study("out", attacks={"aa": settings}) / "aa.parquet")
    assert list(frame.columns) == [*COLUMNS, "member"] and attrs["verification"]["demoted"] == 0
    broken = frame.success & frame.clean_correct
    assert set(frame.member[broken]) <= {"apgd-ce", "apgd-t", "fmn", "fab", "square"}
    assert broken.any() and (frame.member[~broken] == "").all()


@pytest.mark.slow
def test_attacks_that_start_from_other_images_get_training_images(study, monkeypatch, dataset):
    given, run_attack = {}, bounded.run_attack

    def watch(plan, batch):
        given.setdefault(plan.method, []).append(batch.pool)
        return run_attack(plan, batch)

    monkeypatch.setattr(bounded, "run_attack", watch)
    common = {"norm": "l2", "budgets": [0, 1, 8]}
    out = study("out", attacks={"blended": {"method": "blended", **common}, "ddn": {"method": "ddn", **common}})
    with h5py.File(dataset) as file:
        shown = file["images"][:][file["split"][:] == 0].transpose(0, 3, 1, 2).astype(np.float32) / 255
    for pool in given["blended"]:
        assert len(pool) == 256 and (np.abs(shown - pool[0].numpy()).max((1, 2, 3)) < 1e-6).any()
    assert read_parquet(out / "blended.parquet")[0].success.any()
    assert given["ddn"] and not any(pool is not None for pool in given["ddn"])


BAD = {"method": "apgd", "budgets": [0, 8], "loss": "dlr", "steps": 2}


def test_an_attack_that_fails_costs_its_own_cell(study, tmp_path, monkeypatch, net, toys, caplog):
    """DLR needs three classes and the network has two: one table says so, and the others are as without it."""
    two = toys.Canary(net, after=lambda logits: logits[:, :2]).eval()
    monkeypatch.setattr(evaluate, "load_network", lambda path, neural_head: two)
    alone = study("alone")
    with caplog.at_level(logging.ERROR, "neurobust"):
        out = study("out", attacks={"bad": BAD, **ATTACKS})
    for name in ATTACKS:
        (frame, record), (other, _) = (
            read_attack_table(out / f"{name}.parquet"),
            read_attack_table(alone / f"{name}.parquet"),
        )
        assert frame.equals(other) and record.failed is None
    frame, record = read_attack_table(out / "bad.parquet")
    assert not len(frame) and "needs at least 3 classes" in record.failed and record.settings["method"] == "apgd"
    assert any("attack 'bad' failed: " in entry.message for entry in caplog.records)
    failed = [entry for entry in read_checks(out / "checks.json") if entry.check == "ran"]
    assert [(entry.attack, entry.passed) for entry in failed] == [("bad", False)] and "3 classes" in failed[0].note
    assert "adversarial/bad" not in np.load(out / "examples.npz")
    cells = len(list((tmp_path / "cells").glob("*.npz")))
    study("again", attacks={"bad": BAD | {"loss": "margin"}, **ATTACKS})
    assert read_attack_table(tmp_path / "again/bad.parquet")[1].failed is None
    assert len(list((tmp_path / "cells").glob("*.npz"))) == cells + 3, "what had succeeded is not computed again"


def test_where_every_attack_fails_the_job_does(study, tmp_path, monkeypatch, net, toys):
    monkeypatch.setattr(
        evaluate, "load_network", lambda path, neural_head: toys.Canary(net, after=lambda logits: logits[:, :2]).eval()
    )
    with pytest.raises(InputError, match="at least 3 classes"):
        study("out", attacks={"bad": BAD})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [MemoryError(), OSError("no space left")])
def test_what_the_machine_lacks_fails_the_job(study, tmp_path, monkeypatch, error):
    """It may be there when the job is tried again."""

    def lacking(*arguments):
        raise error

    monkeypatch.setattr(bounded, "run_attack", lacking)
    with pytest.raises(type(error)):
        study("out")
    assert not (tmp_path / "out").exists()


def test_a_twin_s_adversarials_are_a_check(study, monkeypatch, net, dataset):
    seen = []

    def load_network(path, neural_head):
        seen.append(path.name)
        return net

    monkeypatch.setattr(evaluate, "load_network", load_network)
    out = study("out", twin=dataset.parent / "twin.safetensors")
    assert seen == ["model.safetensors", "twin.safetensors"]
    assert [entry.attack for entry in read_checks(out / "checks.json") if entry.check == "twin"] == ["pgd-linf"]
    assert "twin" not in {entry.check for entry in read_checks(study("alone") / "checks.json")}


def test_killed_run_leaves_no_partial_output(study, monkeypatch, tmp_path):
    monkeypatch.setattr(evaluate, "model_checks", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        study("out")
    assert not (tmp_path / "out").exists()


def test_damaged_cell_is_computed_again(study, tmp_path, caplog):
    first = study("first")
    cells = sorted((tmp_path / "cells").glob("*.npz"))
    cells[0].write_bytes(cells[0].read_bytes()[:300])
    cells[1].write_bytes(b"")
    with caplog.at_level(logging.WARNING, "neurobust"):
        second = study("second")
    assert sum("damaged cell" in record.message for record in caplog.records) == 2
    same_results(first, second)


def count_new_cells(study, tmp_path, **changes):
    before = set((tmp_path / "cells").glob("*"))
    study("other", **changes)
    return len(set((tmp_path / "cells").glob("*")) - before)


@pytest.mark.slow
def test_what_makes_a_cell_new(study, tmp_path, monkeypatch):
    study("out")
    assert count_new_cells(study, tmp_path) == 0
    assert count_new_cells(study, tmp_path, attack_batch=20) == 0
    assert count_new_cells(study, tmp_path, n_images=24) == 3  # the last cell of each attack grows, the others stay
    assert count_new_cells(study, tmp_path, attacks=ATTACKS | {"fgsm": {"method": "fgsm", "budgets": [0, 8]}}) == 3
    changed = ATTACKS | {"hue": {"method": "hue", "budgets": [0, 0.5], "grid": 5}}
    assert count_new_cells(study, tmp_path, attacks=changed) == 3
    assert count_new_cells(study, tmp_path, seed=1) == 9
    monkeypatch.setattr(bounded, "cell_hash", lambda *modules: "another")
    assert count_new_cells(study, tmp_path) == 9


def test_order_of_images_is_the_task_s_alone(study):
    few, many = study("few", n_images=8), study("many", n_images=20, seed=5)
    order = [read_parquet(folder / "hue.parquet")[0].image.unique() for folder in (few, many)]
    assert (order[0] == order[1][:8]).all()
    assert (np.diff(order[1]) < 0).any()  # drawn, not the head of the file


def test_masked_network_is_marked_and_not_hidden(study, monkeypatch, net, toys, caplog):
    masked = toys.Canary(net, after=lambda logits: 1e3 * logits).eval()
    monkeypatch.setattr(evaluate, "load_network", lambda path, neural_head: masked)
    with caplog.at_level(logging.WARNING, "neurobust"):
        out = study("out")
    assert "gradient_ce" in flags(read_checks(out / "checks.json"))
    assert len(read_parquet(out / "hue.parquet")[0]) == 60
    assert any("gradient_ce" in record.message for record in caplog.records)


def test_bad_requests_are_one_clear_line(study, tmp_path, dataset):
    with pytest.raises(InputError, match="31 test images to look at, but there are 30"):
        study("out", n_images=31)
    with pytest.raises(InputError, match="name each once"):
        study("out", tables={})
    with pytest.raises(InputError, match=r"attacks\.a\.method: 'x' is not known"):
        study("out", attacks={"a": {"method": "x", "budgets": [0]}})
    dataset.write_bytes(b"not hdf5")
    with pytest.raises(InputError, match=r"dataset\.h5: not a readable task dataset"):
        study("out")
    assert not (tmp_path / "out").exists()


def test_adversarials_for_other_networks_are_written_on_demand(study, tmp_path, monkeypatch, net):
    settings = Transfer(budget=24, steps=3, images=12)
    whole = study("whole", transfer=settings, adversarials=tmp_path / "whole.npz")
    arrays = np.load(tmp_path / "whole.npz")
    order = read_parquet(whole / "hue.parquet")[0].image.unique()
    assert (arrays["image"] == order[:12]).all() and arrays["adversarial"].shape == (12, 8, 8, 3)
    points = torch.from_numpy(arrays["adversarial"]).permute(0, 3, 1, 2)
    assert (net(points).argmax(1).numpy() != arrays["label"]).mean() > 0.3
    cells = len(list((tmp_path / "cells").glob("*.npz")))
    study("again", transfer=settings, adversarials=tmp_path / "again.npz")
    assert len(list((tmp_path / "cells").glob("*.npz"))) == cells
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    study("other", transfer=Transfer(budget=8, steps=3, images=12), adversarials=tmp_path / "other.npz")
    assert len(list((tmp_path / "cells").glob("*.npz"))) == cells + 2, "the attacks' own cells stay"


def test_adaptive_attacks_say_where_they_acted(study, monkeypatch, net):
    seen = []

    def load_network(path, neural_head):
        seen.append(neural_head)
        return net

    monkeypatch.setattr(evaluate, "load_network", load_network)
    attacks = {"adaptive": {"method": "adaptive-collision", "budgets": [0, 16], "steps": 2}, "hue": ATTACKS["hue"]}
    out = study("out", attacks=attacks)
    assert read_parquet(out / "adaptive.parquet")[1]["space"] == "logits" and seen == [True]
    assert "space" not in read_parquet(out / "hue.parquet")[1]
    assert len(net.collision_pool[0]) > 200, "training images that the network reads"


@pytest.mark.slow
def test_a_perceptual_attack_reads_the_oracle_of_its_task(study, tmp_path):
    """Its cells stand for the oracle's weights, a check tells of a failed gate, a missing file costs its own."""

    def trained(seed, passed):
        torch.manual_seed(seed)
        network, folder = Oracle(10, width=4), tmp_path / f"oracle{seed}"
        config = {"auxiliary": "oracle", "arguments": network.arguments}
        save_weights(folder / "oracle.safetensors", network.state_dict(), config)
        gate = Gate(gate="label accuracy", value=0.5, threshold=0.4, at_most=False, passed=passed)
        write_auxiliary_record(folder / "oracle.json", AuxiliaryRecord(network="oracle", gates=[gate], passed=passed))
        return Helpers({"oracle": folder / "oracle.safetensors"}, {"oracle": folder / "oracle.json"})

    def asked(out):
        checks = read_json(out / "checks.json")
        return {entry["check"]: entry["passed"] for entry in checks if entry["attack"] == "near"}

    near = {"method": "perceptual", "budgets": [0, 0.1, 1.0], "steps": 3, "rounds": 2}
    attacks = {"near": near, "hue": ATTACKS["hue"]}
    out = study("out", attacks=attacks, helpers=trained(0, True))
    frame, attrs = read_parquet(out / "near.parquet")
    assert attrs["norm"] == "lpips" and attrs["verification"]["demoted"] == 0 and asked(out)["auxiliary"]
    broken = frame[frame["success"] & frame["clean_correct"]]
    assert len(broken) and (broken["distance"] <= broken["budget"]).all() and (broken["distance"] > 0).all()
    cells = len(list((tmp_path / "cells").glob("*.npz")))
    out = study("other", attacks=attacks, helpers=trained(1, False))
    assert len(list((tmp_path / "cells").glob("*.npz"))) == cells + 3, "three cells of the one attack, none of hue"
    assert not asked(out)["auxiliary"]
    out = study("without", attacks=attacks)
    assert not asked(out)["ran"] and "oracle" in read_parquet(out / "near.parquet")[1]["failed"]


# --- what a finished cell's name stands for ---


def sources(method):
    """The files behind the cells of a method, relative to the stage."""
    plan = read_plan("a", {"method": method, "budgets": [0, 0.1]})
    files = cell_sources("neurobust.attacks.bounded", *attack_modules({"a": plan}))
    return {path.relative_to(OURS).as_posix() for path in files}


def test_a_line_of_one_attack_discards_no_cell_of_another():
    """Over the registry: a method's cells stand for its own code, what that imports, and the engine."""
    of = {method: sources(method) for method in METHODS}
    for file, users in {
        "square.py": {"square", "autoattack"}, "square_settings.py": {"square", "autoattack"},
        "fmn.py": {"fmn", "autoattack"}, "fab.py": {"fab", "autoattack"}, "spatial.py": {"rotation-translation"},
        "adaptive.py": {"adaptive-joint", "adaptive-collision"}, "ensemble.py": {"autoattack"},
        "semantic/oracle.py": {"perceptual", "random-perceptual"},
        "semantic/description.py": {"perceptual", "random-perceptual"},
    }.items():  # fmt: skip
        assert {method for method, files in of.items() if file in files} == users, file
    for method, files in of.items():
        assert {"bounded.py", "run.py", "verify.py", "engine/run.py", f"{module(METHODS[method].run)}.py"} <= files


def module(place):
    return place.partition(":")[0].rpartition(".")[2]


def test_what_every_cell_stands_for_names_no_attack():
    """An attack that is added to the code keeps every finished cell, and so do checks, tables and reports."""
    shared = set.intersection(*(sources(method) for method in METHODS))
    assert not {file for file in shared if file.endswith("registry.py")}
    assert not {"evaluate.py", "checks.py", "probes.py", "check_plans.py", "transfer.py", "engine/table.py"} & shared
    described = {f"{METHODS.module_name(method).rpartition('.')[2]}.py" for method in METHODS}
    code = {f"{module(kind.run)}.py" for kind in METHODS.values()}
    assert not (described | code) & shared


def test_a_network_s_sources_are_its_attacks_and_the_one_that_checks_run():
    plans = read_plans({"hue": ATTACKS["hue"]})
    assert set(network_modules(plans)) == {
        f"neurobust.attacks.{name}" for name in ("colour", "colour_settings", "gradient", "gradient_settings")
    }
