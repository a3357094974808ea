"""From files to table and examples: verification, finished cells, baselines against the true label, the report."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from neurobust.attacks.semantic import evaluate
from neurobust.attacks.semantic.descent import Attempt, probability_lead
from neurobust.attacks.semantic.evaluate import SEMANTIC, attack_semantic, resolve, verify
from neurobust.attacks.semantic.kinds import HELPERS, NETWORKS
from neurobust.core.errors import InputError
from neurobust.core.io import read_parquet, save_weights, write_json, write_parquet
from neurobust.report.semantic_section import TABLES, read_csv, semantic_section, tabulate_semantic
from neurobust.report.side_by_side import semantic_cell
from neurobust.report.tables import COLUMNS

pytestmark = pytest.mark.slow

SETTINGS = {
    "cadv": {"strengths": [0, 4, 8], "steps": 3},
    "tadv": {"strengths": [1, 3]},
    "semanticadv": {"strengths": [0, 1], "steps": 3, "rebuild": 1},
}


@pytest.fixture(scope="module")
def helpers(tmp_path_factory):
    """Untrained auxiliary networks, written with gates of which one is failed."""
    folder = tmp_path_factory.mktemp("helpers")
    arguments = {
        "colouriser": {"bins": [[5.0, 5.0], [-15.0, 25.0]], "width": 4},
        "texture": {"classes": 4, "widths": [4, 4, 4, 4, 4]},
        "oracle": {"classes": 4, "attributes": 4, "width": 4}, "identity": {"classes": 4, "width": 4},
        "editor": {"attributes": 4, "width": 4, "blocks": 1},
    }  # fmt: skip
    for name, given in arguments.items():
        torch.manual_seed(1)
        network = NETWORKS[name](**given)
        save_weights(
            folder / f"{name}.safetensors", network.state_dict(), {"auxiliary": name, "arguments": network.arguments}
        )
        entry = {"gate": f"{name} gate", "value": 0.5, "threshold": 1.0, "at_most": False, "note": ""}
        write_json(folder / f"{name}.json", {"network": name, "gates": [entry | {"passed": name != "editor"}]})
    return folder


@pytest.fixture
def victim(monkeypatch):
    """A small net in place of the one that the model file would hold."""
    import neurobust.networks.architectures

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(196, 4)).eval()
    monkeypatch.setattr(neurobust.networks.architectures, "load_network", lambda path: net)
    return net


def run(attack, faces, helpers, folder, condition="none", n_images=6, **extra):
    place = folder / "attacks/phantom-faces/resnet18" / condition / "seed0/semantic"
    place.mkdir(parents=True, exist_ok=True)
    model = folder / "model.safetensors"
    model.write_text("stand-in")
    names = SEMANTIC[attack].networks
    attack_semantic(
        faces, model, attack, SETTINGS[attack], {name: helpers / f"{name}.safetensors" for name in names},
        [helpers / f"{name}.json" for name in names], place / f"{attack}.parquet", place / f"{attack}.npz",
        folder / ".cells", 0, n_images, {"task": "phantom-faces", "architecture": "resnet18", "condition": condition},
        **extra,
    )  # fmt: skip
    return place / f"{attack}.parquet"


@pytest.mark.parametrize("attack", list(SEMANTIC))
def test_every_attack_writes_its_table_whatever_the_batch(attack, faces, helpers, victim, tmp_path):
    path = run(attack, faces, helpers, tmp_path)
    frame, attrs = read_parquet(path)
    strengths = SETTINGS[attack]["strengths"]
    variants = frame["variant"].unique().tolist()
    assert variants[0] == "attack" and len(variants) >= 3 and len(frame) == 6 * len(strengths) * len(variants)
    own = frame[frame["variant"] == "attack"]
    by_strength = [own[own["strength"] == s]["success"].to_numpy() for s in strengths]
    assert all((less <= more).all() for less, more in itertools.pairwise(by_strength))
    clean = frame[frame["clean_correct"]]
    assert frame[~frame["clean_correct"]]["success"].all() and clean["ciede2000"].notna().all()
    assert frame[~frame["clean_correct"]]["l2"].isna().all()
    assert attrs["gates_passed"] == (attack != "semanticadv") and attrs["settings"]["confidence"] == 0.05
    assert attrs["verification"]["demoted"] == 0
    with np.load(path.with_suffix(".npz")) as file:
        assert file["clean"].shape == (4, 16, 16, 3) and file["example/attack"].shape == (4, len(strengths), 16, 16, 3)
    other, _ = read_parquet(run(attack, faces, helpers, tmp_path / "again", attack_batch=2))
    for name in ("image", "variant", "success"):
        assert (frame[name] == other[name]).all(), name
    for name in ("ciede2000", "ssim", "l2"):
        assert np.allclose(frame[name], other[name], atol=2e-3, equal_nan=True), name


def test_finished_cells_are_read_and_damaged_ones_computed_again(faces, helpers, victim, tmp_path, monkeypatch):
    first, _ = read_parquet(run("tadv", faces, helpers, tmp_path))
    monkeypatch.setattr(evaluate, "compute_cell", lambda *given: pytest.fail("the cell was there"))
    again, _ = read_parquet(run("tadv", faces, helpers, tmp_path))
    assert first.equals(again)
    for cell in (tmp_path / ".cells").glob("*.npz"):
        cell.write_bytes(b"damaged")
    with pytest.raises(pytest.fail.Exception):
        run("tadv", faces, helpers, tmp_path)


def test_verification_demotes_what_is_no_adversarial(batch, toys):
    images, labels, _ = batch
    network = toys.MeanColour()
    blue = images.flip(1)  # red and blue change places: another class at the same bounds
    good = network(blue).argmax(1) != labels
    tried = blue.clone()
    tried[1] = images[1]  # not adversarial at all
    tried[2, 0, 0, 0] = 1.5  # outside [0,1]
    none = torch.zeros(8, 1, dtype=torch.float64)
    attempt = Attempt([1.0], torch.ones(8, dtype=torch.bool), torch.zeros(8, dtype=torch.int64), [tried], none, none)
    checked, counts = verify(network, images, labels, attempt, keeps_lightness=False)
    assert checked.first[1] == 1 and checked.first[2] == 1 and good[1] and good[2]
    assert (counts["label"], counts["bounds"]) == (1 + int((~good).sum()), 1)
    _, counts = verify(network, images, labels, attempt, keeps_lightness=True)
    assert counts["lightness"] >= 6, "the swap changes lightness"


def test_a_lead_in_probability_survives_any_scale_of_the_logits():
    logits = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1e6], [1e6, 0.0], [float("nan"), 0.0]])
    lead = probability_lead(logits, torch.zeros(5, dtype=torch.int64))
    assert (lead > 0).tolist() == [True, False, True, False, False]


def test_settings_are_completed_and_checked():
    assert resolve("tadv", {"strengths": [1, 2]})["weight"] == SEMANTIC["tadv"].defaults["weight"]
    for name, settings, message in (("cadv", {"stepz": 1}, "unknown key 'stepz'"), ("xadv", {}, "'xadv' is unknown")):
        with pytest.raises(InputError, match=message):
            resolve(name, settings)
    with pytest.raises(InputError, match="each larger than the one before"):
        resolve("cadv", {"strengths": [4, 2]})


def test_the_schema_knows_every_setting_and_the_workflow_every_network(project):
    """What the configuration may say is what the functions take."""
    import yaml

    from neurobust.attacks.semantic.fit import GENERAL
    from neurobust.attacks.semantic.kinds import TRAINERS

    rules = yaml.safe_load((project / "config/schema.yaml").read_text())
    semantic = rules["properties"]["semantic"]["properties"]
    for name, attack in SEMANTIC.items():
        assert set(semantic[name]["properties"]) == {"tasks", "conditions", "reference_strength", *attack.defaults}, (
            name
        )
    assert set(semantic["networks"]["properties"]) == set(TRAINERS)
    taken = set(GENERAL).union(*(trainer.defaults for trainer in TRAINERS.values()))
    assert set(rules["$defs"]["helper"]["properties"]) == taken
    for name, attack in SEMANTIC.items():
        assert attack.networks == HELPERS[name] and set(HELPERS[name]) <= set(NETWORKS)


def test_the_report_says_which_gates_failed(faces, helpers, victim, tmp_path):
    paths = [run(attack, faces, helpers, tmp_path) for attack in SEMANTIC]
    study, frames, files = tabulated(paths, tmp_path)
    section = semantic_section(study, frames, files)
    assert section["failed"] == ["editor (phantom-faces)"]
    assert [table["failed"] for table in section["tables"]] == [False, False, True]
    assert "<svg" in section["figure"] and len(section["grids"]) == 3
    assert semantic_section(study, frames, []) is None
    with pytest.raises(InputError, match="give semantic, semantic_differences, semantic_gates, semantic_summary"):
        semantic_section(study, frames, files[:1])


def test_semantic_attacks_are_summarised_as_bounded_ones_are(faces, helpers, victim, tmp_path):
    """The same count of survivors on the same images, condition minus none, beside the primary attack."""
    paths = [run("cadv", faces, helpers, tmp_path, condition) for condition in ("none", "FFA")]
    study, frames, files = tabulated(paths, tmp_path)
    frame, _ = read_parquet(paths[1])
    quoted = frame[(frame["variant"] == "attack") & (frame["strength"] == 8)]
    summary, differences = (read_csv(tmp_path / f"semantic_{name}.csv") for name in ("summary", "differences"))
    row = summary[summary["condition"] == "FFA"].iloc[0]
    assert row["robust_accuracy"] == pytest.approx(1 - quoted["success"].mean()) and row["reference_budget"] == 8
    assert (row["n_images"], row["n_seeds"], row["unit"]) == (6, 1, "free colour clusters")
    assert set(differences["condition"]) == {"FFA"} and (differences["difference"] == 0).all(), "one network, twice"
    section = semantic_section(study, frames, files)
    (table,) = section["beside"]
    assert [head["name"] for head in table["heads"]] == ["clean", "PGD", "cAdv (colour)"]
    assert [line["condition"]["name"] for line in table["lines"]] == ["none", "FFA"]
    assert table["lines"][1]["cells"][2]["main"] == f"{100 * row['robust_accuracy']:.1f}"
    assert table["lines"][1]["cells"][1]["main"] == "62.5" and table["images"] == {"PGD": 48, "cAdv (colour)": 6}
    assert "PGD" in section["beside_figure"] and "free colour clusters" in section["beside_figure"]


def test_rows_that_are_no_semantic_attack_are_named(tmp_path):
    write_parquet(tmp_path / "cadv.parquet", pd.DataFrame({"image": [0]}), {})
    with pytest.raises(InputError, match=r"cadv\.parquet: not the rows of a semantic attack"):
        semantic_cell(tmp_path / "cadv.parquet")


def tabulated(paths, folder):
    """A study of two conditions, its other tables and the files that its page reads."""
    names = {"task": "phantom-faces", "architecture": "resnet18"}
    conditions = {"none": {"target": None}, "FFA": {"target": "FFA"}}
    study = {
        "conditions": conditions, "rois": ["FFA"], "root": str(folder), "architectures": ["resnet18"],
        "attacks": {"pgd": {"norm": "linf", "unit": "1/255", "label": "PGD"}}, "primary_attack": "pgd",
        "reference_strengths": {"cadv": 8},
    }  # fmt: skip
    frames = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    both = [names | {"condition": name, "seed": 0} for name in conditions]
    frames["networks"] = pd.DataFrame([row | {"clean_accuracy": 0.75} for row in both])
    budget = {"attack": "pgd", "unit": "1/255", "robust_accuracy": 0.625}
    frames["robust_accuracy"] = pd.DataFrame([row | budget | {"budget": 4.0} for row in both])
    frames["summary"] = pd.DataFrame([row | budget | {
        "n_seeds": 1, "n_images": 48, "reference_budget": 4.0, "robust_accuracy_min": 0.625,
        "robust_accuracy_max": 0.625,
    } for row in both])  # fmt: skip
    frames["networks"].to_csv(folder / "networks.csv", index=False)
    outputs = {name: folder / f"{stem}.csv" for stem, name in TABLES.items()}
    tabulate_semantic(study, paths, folder / "networks.csv", outputs)
    return study, frames, [*outputs.values(), *(path.with_suffix(".npz") for path in paths)]
