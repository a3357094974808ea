"""A stranger's semantic adversarials in the report: a blocked optimiser and a resisted change differ."""

import numpy as np
import pandas as pd
import pytest

from neurobust.core.errors import InputError
from neurobust.core.io import write_parquet
from neurobust.files.semantic_adversarials import LentPictures, lent_pictures_path, write_lent_pictures
from neurobust.files.semantic_transfer_table import (
    SemanticTransferRecord,
    semantic_transfer_path,
    write_semantic_transfer,
)
from neurobust.networks.conditions import Condition
from neurobust.report.contents import COLUMNS
from neurobust.report.semantic_transfer import tabulate_transfer, transfer_tables
from neurobust.report.transfer_gallery import transfer_galleries
from neurobust.report.view import View

TASK, N, STRENGTHS = "phantom-scenes", 20, [0.0, 4.0]
# By condition: how many of the 18 shared images its own attack breaks, and the surrogate's adversarials; the former
# begin with the first image, the latter with the last.
BROKEN = {"none": (18, 9), "resists": (3, 3), "blocks": (0, 9)}


def write(root, condition, seed, images=N):
    """Tables of a network: image 0 it misreads, image 1 the surrogate does, the other 18 are shared."""
    network, image = f"{TASK}/small/{condition}/seed{seed}", np.arange(N)
    own, other = BROKEN[condition]
    wrong = image == 0
    attack = pd.concat([
        pd.DataFrame({"image": image, "variant": "attack", "strength": strength, "clean_correct": ~wrong,
                      "success": wrong | ((strength > 0) & (image >= 2) & (image < 2 + own))})
        for strength in STRENGTHS
    ])  # fmt: skip
    names = {"task": TASK, "architecture": "small", "condition": condition, "seed": seed, "attack": "cadv"}
    path = root / f"attacks/{network}/semantic/cadv.parquet"
    write_parquet(path, attack, {**names, "axis": "clusters", "gates": [], "gates_passed": True, "settings": {}})
    shown = pd.concat([
        pd.DataFrame({"image": image, "strength": strength, "source_correct": image != 1,
                      "source_broken": (image == 1) | (strength > 0), "clean_correct": ~wrong,
                      "success": wrong | ((strength > 0) & (image >= N - other)),
                      "answer": np.where((strength > 0) & (image >= N - other), 1, 0)})
        for strength in STRENGTHS
    ])  # fmt: skip
    transfer = semantic_transfer_path(root, network, "cadv")
    record = SemanticTransferRecord(
        **names, axis="clusters", source_condition="none", source_seed=1 - seed, settings={}, provenance={}
    )
    write_semantic_transfer(transfer, shown[shown["image"] < images], record)
    return path, transfer


@pytest.fixture
def study(tmp_path, new_study, new_condition):
    return new_study(
        tmp_path, tasks=(TASK,), architectures=("small",), seeds=(0, 1),
        conditions={"none": Condition(weight=0.9), "resists": new_condition("V1"), "blocks": new_condition("LO")},
    )  # fmt: skip


def tabulated(study, root):
    written = [write(root, condition, seed) for condition in BROKEN for seed in (0, 1)]
    own, transfers = zip(*written, strict=True)
    return tabulate_transfer(study, transfers, own)


def test_a_blocked_optimiser_and_a_resisted_change_read_apart(study, tmp_path):
    table = tabulated(study, tmp_path)["transfer"].set_index(["condition", "seed", "strength"])
    for condition, (own, other) in BROKEN.items():
        row = table.loc[(condition, 0, 4.0)]
        assert (row["n_images"], row["n_shared"], row["source_seed"]) == (N, 18, 1)
        assert row["transferred"] == pytest.approx(other / 18) and row["own_attack"] == pytest.approx(own / 18)
        assert row["beyond_own"] == pytest.approx(max(0, min(other, 18 - own)) / 18)
        assert table.loc[(condition, 0, 0.0), "n_shared"] == 0, "what does not break the surrogate says nothing"


def test_conditions_are_compared_on_the_same_adversarials(study, tmp_path):
    tables = tabulated(study, tmp_path)
    found = tables["differences"]
    found = found[found["measure"] == "robust_accuracy"].set_index("condition")
    assert set(found["attack"]) == {"cadv-transfer"}
    assert found.loc["resists", "difference"] == pytest.approx(6 / N) and found.loc["resists", "n_seeds"] == 2
    assert found.loc["blocks", "difference"] == 0
    frames = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    (shown,) = transfer_tables(View(study, frames), tables)
    lines = {line["condition"].name: line for line in shown["lines"]}
    assert [cell.main for cell in lines["blocks"]["cells"]] == ["–", "50", "0", "50"]
    assert [cell.main for cell in lines["resists"]["cells"]] == ["–", "17", "17", "17"]
    assert lines["resists"]["delta"].startswith("+30.0") and lines["none"]["delta"] == ""
    assert (shown["last"], shown["axis"]) == ("4", "clusters")
    assert [(head["strength"], head["images"]) for head in shown["heads"]] == [("0", "0 images"), ("4", "18 images")]


def lend(root, images, answers):
    """Four pictures of `none`, seed 1: black, then brighter by a sixteenth."""
    shape = (len(images), 8, 8, 3)
    shown = LentPictures(
        image=np.array(images), label=np.zeros(len(images), int), clean=np.zeros(shape, np.float32),
        adversarial=np.full(shape, 1 / 16, np.float32), answer=np.array(answers), strength=np.array(4.0),
    )  # fmt: skip
    write_lent_pictures(lent_pictures_path(root, f"{TASK}/small/none/seed1", "cadv"), shown)


def test_a_gallery_shows_what_each_network_says_of_a_stranger_s_adversarials(study, tmp_path):
    """Image 0 every network misreads when clean; 5 no network but the surrogate; 12 `none` and `blocks`; 19 all."""
    paths = [write(tmp_path, condition, 0)[1] for condition in BROKEN]
    lend(tmp_path, [0, 5, 12, 19], [1, 1, 1, -1])
    frames = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    ((key, shown),) = transfer_galleries(View(study, frames), paths).items()
    assert key == (TASK, "small", "cadv")
    assert (shown["source"], shown["seed"], shown["strength"]) == ("none, seed 1", 0, "4")
    states = {line["condition"].name: [cell["state"] for cell in line["cells"]] for line in shown["lines"]}
    assert states == {
        "none": ["wrong when clean", "stands", "fooled", "fooled"],
        "resists": ["wrong when clean", "stands", "stands", "fooled"],
        "blocks": ["wrong when clean", "stands", "fooled", "fooled"],
    }
    last = shown["pictures"][-1]
    assert last["note"] == "taken for no class · ×8" and last["text"].endswith("which the surrogate takes for no class")
    assert last["clean_text"] == "image 19 as it is: class 0" and last["difference"] != last["picture"]


def test_no_picture_no_gallery_and_other_images_are_refused(study, tmp_path):
    path = write(tmp_path, "none", 0)[1]
    frames = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    lend(tmp_path, [], [])
    assert transfer_galleries(View(study, frames), [path]) == {}
    lend(tmp_path, [N + 3], [1])
    with pytest.raises(InputError, match=r"cadv-pictures\.npz: pictures of other images or another strength"):
        transfer_galleries(View(study, frames), [path])


def test_a_transfer_without_the_own_attack_is_refused(study, tmp_path):
    own, transfer = write(tmp_path, "none", 0)
    with pytest.raises(InputError, match=r"cadv\.parquet: the network's own table of cadv is missing"):
        tabulate_transfer(study, [transfer], [])
    frame = pd.read_parquet(own)
    attrs = {"task": TASK, "architecture": "small", "condition": "none", "seed": 0, "attack": "cadv", "axis": "x",
             "gates": [], "gates_passed": True, "settings": {}}  # fmt: skip
    write_parquet(own, frame[frame["image"] < 5], attrs)
    with pytest.raises(InputError, match="its own table lacks images or strengths of the transfer"):
        tabulate_transfer(study, [transfer], [own])
