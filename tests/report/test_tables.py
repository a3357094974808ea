"""Tables: what they hold, against a slow count of the files; what damages them."""

import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from neurobust.core.errors import InputError
from neurobust.core.io import read_json, read_parquet, write_json, write_parquet
from neurobust.core.seeding import numpy_rng
from neurobust.files.attack_table import attack_table_path
from neurobust.files.network_metrics import metrics_path
from neurobust.networks.conditions import Condition
from neurobust.report.cells import Cell, read_cell, worst_case
from neurobust.report.collect import collect_results, tabulate_results
from neurobust.report.comparisons import difference_rows, power_rows
from neurobust.report.contents import COLUMNS
from neurobust.report.guided import controls_of, recipe_of, roi_part
from neurobust.report.sections import lede, seeds_text
from neurobust.report.shown import ShownAttack, shown_attacks
from neurobust.report.tables import read_tables
from neurobust.report.view import View
from neurobust.statistics import components, crossed_interval, detectable


@pytest.fixture(scope="module")
def tables(collected):
    return collected


def attack_file(study, condition, seed, attack, task="digits") -> Path:
    return attack_table_path(study.root, f"{task}/resnet18/{condition}/seed{seed}", attack)


def survivors(path: Path, budget: float) -> dict[int, bool]:
    """Slow: image -> not broken, row by row."""
    frame, _ = read_parquet(path)
    return {
        row.image: bool(not row.success and row.clean_correct) for row in frame.itertuples() if row.budget == budget
    }


def test_robust_accuracy_is_a_count_of_survivors(study, tables):
    table = tables["robust_accuracy"]
    for condition, seed, attack, budget in (("none", 0, "pgd-linf", 2), ("LO", 1, "hue", 0.25), ("V1", 0, "fgsm", 0)):
        alive = survivors(attack_file(study, condition, seed, attack), budget)
        row = table[(table["task"] == "digits") & (table["condition"] == condition) & (table["seed"] == seed)]
        row = row[(row["attack"] == attack) & (row["budget"] == budget)].iloc[0]
        assert row["robust_accuracy"] == pytest.approx(sum(alive.values()) / len(alive))
        assert row["n"] == len(alive)
        assert row["wilson_low"] <= row["robust_accuracy"] <= row["wilson_high"]


def test_difference_is_the_mean_over_seeds_of_paired_images(study, tables):
    pairs = []
    for seed in (0, 1):
        own = survivors(attack_file(study, "LO", seed, "pgd-linf"), 2)
        other = survivors(attack_file(study, "LO-shuffled", seed, "pgd-linf"), 2)
        pairs.append([float(own[image]) - other[image] for image in own])
    seeds = [np.mean(differences) for differences in pairs]
    table = tables["differences"]
    row = table[(table["task"] == "digits") & (table["condition"] == "LO") & (table["baseline"] == "LO-shuffled")]
    row = row[(row["attack"] == "pgd-linf") & (row["measure"] == "robust_accuracy")].iloc[0]
    assert row["difference"] == pytest.approx(np.mean(seeds))
    assert (row["seed_min"], row["seed_max"]) == pytest.approx((min(seeds), max(seeds)))
    assert tuple(row[["difference", "low", "high", "df"]]) == pytest.approx(crossed_interval(pairs))
    assert (row["n_seeds"], row["n_images"]) == (2, len(pairs[0]))


def test_worst_case_is_per_image_not_the_lower_curve():
    first = Cell(np.arange(2), np.array([0.0, 1.0]), np.array([[True, False], [True, True]]), {"n_forward": 1.0})
    second = first._replace(robust=np.array([[True, True], [True, False]]))
    worst = worst_case([first, second])
    assert worst.at(1.0).mean() == 0.0  # each attack alone leaves half the images
    assert worst.cost["n_forward"] == 2.0


def test_worst_case_in_the_tables(study, tables):
    table = tables["robust_accuracy"]
    here = table[
        (table["task"] == "digits") & (table["condition"] == "LO") & (table["seed"] == 0) & (table["budget"] == 4)
    ]
    value = here.set_index("attack")["robust_accuracy"]
    parts = [survivors(attack_file(study, "LO", 0, attack), 4) for attack in ("noise-uniform", "fgsm", "pgd-linf")]
    assert value["worst-linf"] == pytest.approx(np.mean([all(part[image] for part in parts) for image in parts[0]]))


def test_clean_errors_stay_broken_and_budget_zero_is_added(tmp_path):
    columns = {"image": [5, 5, 3, 3], "budget": [2.0, 1.0, 1.0, 2.0], "clean_correct": [True, True, False, False]}
    frame = pd.DataFrame(columns | {"success": [True, False, False, False], "n_forward": 1.0, "n_backward": 1.0})
    write_parquet(tmp_path / "a.parquet", frame)
    cell = read_cell(tmp_path / "a.parquet")
    assert cell.images.tolist() == [3, 5] and cell.budgets.tolist() == [0, 1, 2]
    assert cell.robust.tolist() == [[False, False, False], [True, True, False]]
    assert cell.cost == {"n_forward": 2.0, "n_backward": 2.0}


def test_incomplete_attack_file_is_one_clear_error(tmp_path):
    columns = {"image": [1, 1, 2], "budget": [1.0, 2.0, 1.0], "clean_correct": True, "success": False}
    write_parquet(tmp_path / "a.parquet", pd.DataFrame(columns | {"n_forward": 1.0, "n_backward": 1.0}))
    with pytest.raises(InputError, match=r"a\.parquet: 3 rows for 2 images x 2 budgets"):
        read_cell(tmp_path / "a.parquet")
    write_parquet(tmp_path / "b.parquet", pd.DataFrame({"image": [1]}))
    with pytest.raises(InputError, match=r"b\.parquet: no column 'budget'"):
        read_cell(tmp_path / "b.parquet")


def test_predictors_leave_out_infinite_ratios_and_keep_subjects_without_the_roi(tables):
    table = tables["predictors"].set_index(["roi", "subject", "seed"])
    row = table.loc[("V1", "subj01", 0)]
    assert row["n_voxels"] == 140 and row["n_ceiling"] == 138  # two voxels have a ceiling of 0
    assert 0.6 < row["median_r_normalised"] < 0.8
    assert row["r_normalised_q25"] < row["median_r_normalised"] < row["r_normalised_q75"]
    missing = table.loc[("FFA", "subj02", 0)]
    assert missing["n_voxels"] == 0 and math.isnan(missing["median_r"])


def test_compute_reads_both_formats_and_not_its_own_stage(tables):
    table = tables["compute"].set_index("rule")
    assert list(table.index) == ["extract_betas", "train_network"]
    assert table.loc["train_network", "seconds_total"] == pytest.approx(120)
    assert table.loc["train_network", "memory_mb_max"] == pytest.approx(812.4)
    assert math.isnan(table.loc["extract_betas", "memory_mb_max"])


def test_compute_without_benchmarks_uses_declared_seconds(tiny_study):
    shutil.rmtree(tiny_study.root / "benchmarks")
    table = collect_results(tiny_study)["compute"].set_index("rule")
    assert table.loc["networks: all", "seconds_total"] == pytest.approx(4 * 12.5)
    assert table.loc["attacks: all", "jobs"] == 4


def test_csv_round_trip_keeps_the_condition_none(study, tables, tabulated, tmp_path):
    back = read_tables(tabulated)
    for name, table in tables.items():
        assert list(back[name].columns) == COLUMNS[name] and len(back[name]) == len(table)
    assert set(back["summary"]["condition"]) == {"none", "V1", "LO", "LO-shuffled"}
    assert np.allclose(back["summary"]["area"], tables["summary"]["area"], rtol=1e-5)
    tabulate_results(study, {"summary": tmp_path / "summary.csv"})
    assert (tmp_path / "summary.csv").read_bytes() == (tabulated / "summary.csv").read_bytes()
    with pytest.raises(InputError, match="no table 'sumary'"):
        tabulate_results(study, {"sumary": tmp_path / "x.csv"})


def test_missing_files_are_named(tiny_study):
    path = attack_file(tiny_study, "LO", 1, "pgd-linf")
    path.unlink()
    with pytest.raises(InputError, match=r"LO/seed1/pgd-linf\.parquet: missing"):
        collect_results(tiny_study)


def test_odd_metrics_do_not_stop_the_tables(tiny_study):
    path = metrics_path(tiny_study.root, "digits/resnet18/LO/seed0")
    write_json(path, read_json(path) | {"clean_accuracy": None, "alignment": None})
    table = collect_results(tiny_study)["networks"]
    assert table[(table["condition"] == "LO") & (table["seed"] == 0)]["clean_accuracy"].isna().all()


def test_records_of_another_kind_are_one_clear_error(tiny_study):
    path = metrics_path(tiny_study.root, "digits/resnet18/LO/seed0")
    write_json(path, read_json(path) | {"clean_accuracy": "good"})
    with pytest.raises(InputError, match=r"metrics\.json: not the metrics of a network .*clean_accuracy"):
        collect_results(tiny_study)
    path.unlink()
    with pytest.raises(InputError, match=r"LO/seed0/metrics\.json: missing"):
        collect_results(tiny_study)


@pytest.mark.parametrize(("decides", "norm"), [("worst-linf", "linf"), ("hue", "hue")])
@pytest.mark.parametrize("task", ["digits", "phantom-scenes"])
def test_tables_are_read_at_the_budget_of_their_norm(study, tables, task, decides, norm):
    """The smallest at which `none` is in range, whoever attacks; the noise of the norm is read there too."""
    here = {name: tables[name][tables[name]["task"] == task] for name in ("robust_accuracy", "summary", "breaks")}
    curve = here["robust_accuracy"]
    curve = curve[(curve["attack"] == decides) & (curve["condition"] == "none") & (curve["budget"] > 0)]
    level = curve.groupby("budget")["robust_accuracy"].mean()
    expected = level[(level >= 0.1) & (level <= 0.6)].index.min()
    alike = {name for name, shown in shown_attacks(study.attacks).items() if shown.norm == norm}
    quoted = here["summary"][here["summary"]["attack"].isin(alike)]
    assert set(quoted["reference_budget"]) == {expected} and len(quoted) == 4 * len(alike)
    assert set(here["breaks"][here["breaks"]["norm"] == norm]["budget"]) <= {expected}


def test_a_dash_alone_makes_no_control(new_condition):
    conditions = {"none": Condition(weight=1.0), "LO": new_condition("LO"), "LO-strong": new_condition("LO")}
    conditions |= {"LO-shuffled": new_condition("LO", control="shuffled")}
    assert controls_of(conditions, "LO-strong") == controls_of(conditions, "LO") == ["LO-shuffled"]
    assert conditions["none"].roi is None and controls_of(conditions, "none") == []


def test_the_own_control_is_the_first_and_a_sweep_has_none(new_condition):
    conditions = {"LO-rotated": new_condition("LO", control="rotated"), "V1": new_condition("V1")}
    conditions |= {"LO": new_condition("LO"), "LO-w0.5": new_condition("LO", sweep="LO")}
    conditions |= {"LO-shuffled": new_condition("LO", control="shuffled")}
    assert controls_of(conditions, "LO") == ["LO-shuffled", "LO-rotated"]
    assert controls_of(conditions, "LO-w0.5") == controls_of(conditions, "V1") == []


def test_names_of_the_study(study):
    assert controls_of(study.conditions, "LO") == ["LO-shuffled"]
    assert controls_of(study.conditions, "LO-shuffled") == []
    assert list(roi_part(study, "LO").conditions) == ["none", "LO", "LO-shuffled"]
    assert shown_attacks(study.attacks)["worst-linf"].members == ("noise-uniform", "fgsm", "pgd-linf")
    assert View(study, {}).primary.label == "worst case L∞"
    assert View(replace(study, primary_attack="pgd-l2"), {}).primary.name == "worst-l2"
    assert View(replace(study, primary_attack="hue"), {}).primary.name == "hue"
    with pytest.raises(InputError, match="unknown ROI 'L0'"):
        roi_part(study, "L0")


def test_attacks_are_read_in_order_noise_last(study):
    names = ["fgsm", "pgd-linf", "pgd-l2", "hue", "saturation", "worst-linf", "worst-l2"]
    assert list(shown_attacks(study.attacks)) == [*names, "noise-uniform", "noise-gaussian"]


def test_recipes_show_what_was_said(new_condition):
    recipe = {"weight": 0.9, "loss": "mse", "target": "LO"}
    assert recipe_of(new_condition("LO")) == recipe
    assert recipe_of(new_condition("LO", subjects=("subj01",), target=("V1", "LO"))) == recipe | {
        "target": "V1+LO", "subjects": ("subj01",),
    }  # fmt: skip
    assert recipe_of(Condition(weight=0.5)) == {"weight": 0.5, "target": None}


def test_one_seed_and_one_budget_have_no_interval():
    """Nothing is said of the spread of trainings by one, nor of an area by a single budget."""
    cells = {("LO", 0): Cell(np.arange(4), np.array([2.0]), np.array([[True], [True], [False], [True]]), {})}
    cells["none", 0] = cells["LO", 0]._replace(robust=np.zeros((4, 1), bool))
    attack = ShownAttack("a", "a", "linf", "1/255")
    accuracy, area = difference_rows([("LO", "none")], cells, attack)
    assert accuracy["difference"] == accuracy["seed_min"] == 0.75 and math.isnan(accuracy["low"])
    assert math.isnan(area["difference"]) and math.isnan(area["low"])


def test_the_relative_area_is_blind_to_clean_accuracy():
    """Two networks lose half of what they read; one reads 8 of 8 images, the other 4: only the area differs."""
    budgets = np.array([0.0, 1.0, 2.0])
    cells = []
    for read in (8, 4):
        robust = np.zeros((8, 3), bool)
        robust[:read, 0] = robust[: read // 2, 1:] = True
        cells.append(Cell(np.arange(8), budgets, robust, {}))
    assert [cell.relative_area().mean() for cell in cells] == pytest.approx([0.5, 0.5])
    assert cells[0].area().mean() > cells[1].area().mean()


def test_the_spreads_of_a_study_are_those_of_its_contrasts(tables):
    """Three seeds or more, at the reference budget; two say nothing of what seeds differ by."""
    rng, attack = numpy_rng("spreads"), ShownAttack("a", "a", "linf", "1/255", reference_budget=2)
    cells = {}
    for name, share in (("none", 0.4), ("LO", 0.5), ("V1", 0.6)):
        for seed in range(4 if name != "V1" else 2):
            robust = np.column_stack([np.ones(50, bool), rng.random(50) < share, np.zeros(50, bool)])
            cells[name, seed] = Cell(np.arange(50), np.array([0.0, 2.0, 8.0]), robust, {})
    (row,) = power_rows([("LO", "none"), ("V1", "none")], cells, attack)
    table = [1.0 * cells["LO", seed].at(2) - cells["none", seed].at(2) for seed in range(4)]
    assert [row[name] for name in ("sd_seed", "sd_image", "sd_residual")] == pytest.approx(components(table))
    assert (row["n_contrasts"], row["n_seeds"], row["n_images"]) == (1, 4, 50)
    assert row["detectable"] == pytest.approx(detectable(4, 50, *components(table)))
    assert power_rows([("V1", "none")], cells, attack) == [] == power_rows([("V1", "none")], {}, attack)
    assert not len(tables["power"]), "of two seeds"


def test_a_task_may_be_trained_with_some_conditions_only(study, changed_study):
    """Nothing is looked for where nothing was trained, and an ROI's page has the tasks that say something of it."""
    trained = {"digits": ("none", "LO", "LO-shuffled"), "phantom-scenes": tuple(study.conditions)}
    part = changed_study(study, trained=trained, transfer=None)
    tables = collect_results(part)
    for name in ("networks", "robust_accuracy", "summary", "differences"):
        digits = tables[name][tables[name]["task"] == "digits"]
        assert "V1" not in set(digits["condition"]) and "LO" in set(digits["condition"]), name
        assert "V1" in set(tables[name][tables[name]["task"] == "phantom-scenes"]["condition"]), name
    assert roi_part(part, "V1").tasks.keys() == {"phantom-scenes"}
    assert roi_part(part, "LO").tasks == part.tasks
    assert roi_part(part, "FFA").tasks == part.tasks, "an ROI that guides nothing has all of them"


def test_the_page_counts_what_tasks_train(judged_study):
    """A study's section may list more architectures and seeds than its tasks use, and tasks may differ."""
    study = judged_study(tasks=("digits", "scenes"), architectures=("resnet18", "small"))
    assert " · 2 architectures · " in lede(study) and " · 5 seeds · " in lede(study)
    assert seeds_text(study) == "0, 1, 2, 3, 4"
    own = {"seeds": (0, 2), "architectures": ("small",)}
    digits, scenes = (replace(task, **own) for task in study.tasks.values())
    both = replace(study, tasks={"digits": digits, "scenes": replace(scenes, seeds=(0, 2, 3))})
    assert " · 1 architecture · " in lede(both) and " · 3 seeds · " in lede(both)
    assert seeds_text(both) == "digits 0, 2; scenes 0, 2, 3"
