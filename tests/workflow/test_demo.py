"""The demo, end to end: run once, then asked for what was planted, for what holds of any attack, and for its page."""

import os
import re
import shutil
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from neurobust.core.io import read_json, read_parquet
from neurobust.study.model import NetworkName
from neurobust.study.read import read_study

DEMO = Path(__file__).resolve().parents[2] / "config/demo.yaml"
STUDY = read_study(yaml.safe_load(DEMO.read_text()) | {"claims": None})
NETWORKS = list(STUDY.networks())
DIGITS = [network for network in NETWORKS if network.task == "digits"]
ALL = "all"


@pytest.fixture(scope="session")
def results(demo):
    return demo / "results/demo"


@pytest.fixture
def config(project):
    return yaml.safe_load((project / "config/demo.yaml").read_text())


def dry_run(snakemake, project, demo, *targets, config="config/demo.yaml", profile=True):
    profile = ["--profile", project / "profiles/local"] if profile else []
    return snakemake(
        "-n", *profile, "--configfile", project / config, "--cores", 1, "--", *targets, directory=demo
    ).text


def jobs(text):
    table = text.rsplit("Job stats:", 1)[1].split("total")[0] if "Job stats:" in text else ""
    return {name: int(count) for name, count in re.findall(r"(?m)^(\w+)\s+(\d+)$", table)}


# --- running again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [True, False])
def test_a_second_run_has_nothing_to_do(snakemake, project, demo, profile):
    assert "Nothing to be done" in dry_run(snakemake, project, demo, ALL, profile=profile)


@pytest.fixture
def edited(snakemake, project, demo, tmp_path):
    """What the finished demo would run if these files of the package had a comment more: job counts by rule."""
    for folder in ("src", "workflow", "config"):
        shutil.copytree(project / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(project / "Snakefile", tmp_path)

    def edited(*files):
        for file in files:
            with (tmp_path / "src/neurobust" / file).open("a") as text:
                text.write("# x\n")
        text = snakemake("-n", "--configfile", tmp_path / "config/demo.yaml", "--cores", 1, "--", ALL,
                         directory=demo, project=tmp_path).text  # fmt: skip
        assert jobs(text) or "Nothing to be done" in text, text
        return jobs(text)

    return edited


def test_a_comment_in_what_the_study_does_not_name_runs_nothing_again(edited):
    attacks = ("decision", "fmn", "fab", "ensemble", "adaptive", "spatial")
    files = [f"attacks/{file}.py" for file in (*attacks, "foolbox_attacks")]
    files += [f"attacks/{file}_settings.py" for file in (*attacks, "foolbox")]
    for file in ("semanticadv", "cadv_confined", "tadv", "texture", "editor", "identity"):
        files += [f"attacks/semantic/{file}.py", f"attacks/semantic/{file}_settings.py"]
    files += [f"attacks/semantic/{file}.py" for file in ("verification", "verified", "verify_faces", "impersonation")]
    files += [
        f"predictors/{file}.py" for file in ("fwrf", "fwrf_settings", "ridge_settings", "fit_ridge", "resnet_pcs")
    ]
    files += [f"networks/tasks/{file}.py" for file in ("cifar", "photos", "image_folder")]
    assert edited(*files) == {}


READING = {
    "all", "tabulate_results", "tabulate_semantic", "draw_figures", "write_index", "write_roi_page", "pack_report",
    "confirm_attacks",
}  # fmt: skip


def test_a_comment_in_a_method_runs_again_what_runs_it_and_what_reads_that(edited):
    tasks = {task: sum(network.task == task for network in NETWORKS) for task in STUDY.tasks}
    counts = edited("attacks/gradient.py")
    assert counts["attack_network"] == tasks["phantom-scenes"] and counts["attack_uncued"] == tasks["digits"]
    assert counts["attack_canaries"] == len(tasks)
    explained = {"explain_network", "explain_study"}  # the spectra of perturbations, and what goes with robustness
    made = {"attack_network", "attack_uncued", "attack_canaries", "transfer_attacks"}
    assert set(counts) - READING == made | explained
    counts = edited("attacks/semantic/cadv.py")
    assert "attack_semantic" in counts and "train_helper" not in counts
    counts = edited("attacks/semantic/oracle.py")
    assert counts["train_helper"] == 1


def test_a_new_date_on_a_source_file_changes_nothing(snakemake, project, demo):
    """Package files and scripts: what counts is their content."""
    files = [project / "src/neurobust/networks/train.py", project / "src/neurobust/core/io.py"]
    files += sorted((project / "workflow/scripts").rglob("*.py"))
    dates = [file.stat().st_mtime for file in files]
    try:
        for file in files:
            os.utime(file, (time.time() + 60, time.time() + 60))
        assert "Nothing to be done" in dry_run(snakemake, project, demo, ALL)
    finally:
        for file, date in zip(files, dates, strict=True):
            os.utime(file, (date, date))


def test_editing_one_condition_trains_that_condition_only(snakemake, project, demo, config, tmp_path):
    config["conditions"]["V1"]["weight"] = 0.7
    (tmp_path / "edited.yaml").write_text(yaml.safe_dump(config))
    text = dry_run(snakemake, project, demo, ALL, config=tmp_path / "edited.yaml")
    counts = jobs(text)
    assert counts["train_network"] == counts["attack_network"] == counts["explain_network"] == 5
    assert not {"train_predictor", "extract_roi", "prepare_task", "make_phantom"} & set(counts)
    assert set(re.findall(r": (?:network|attacking|inside) (\S+) \(", text)) | {"V1"} == {"V1"}
    assert text.count(": network V1 (") >= 5


def test_adding_an_roi_reads_no_raw_betas(snakemake, project, demo, config, tmp_path):
    config["rois"]["V2"] = {"atlas": "prf-visualrois", "labels": ["V2v", "V2d"]}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(config))
    counts = jobs(dry_run(snakemake, project, demo, ALL, config=tmp_path / "more.yaml"))
    assert counts["extract_roi"] == 2 and counts["train_predictor"] == 1
    assert not {"extract_betas", "make_phantom", "train_network", "attack_network"} & set(counts)


def test_changing_a_label_for_readers_attacks_nothing(snakemake, project, demo, config, tmp_path):
    config["attacks"]["fgsm"]["label"] = "fast gradient sign"
    (tmp_path / "label.yaml").write_text(yaml.safe_dump(config))
    counts = jobs(dry_run(snakemake, project, demo, ALL, config=tmp_path / "label.yaml"))
    assert "attack_network" not in counts and counts["tabulate_results"] == 1


def test_an_added_attack_reuses_the_finished_cells(demo, tmp_path):
    """Only the new attack is computed: the old tables come back from the cells, byte for byte."""
    from neurobust.attacks.engine.subject import Subject
    from neurobust.attacks.evaluate import NetworkOutputs, attack_network
    from neurobust.attacks.plan import read_plans

    source = demo / "results/demo/attacks/digits/resnet18/none/seed0"
    shutil.copytree(source / ".cells", tmp_path / "cells")
    met = {name: plan.settings() for name, plan in STUDY.attacks_of("digits").items()}
    attacks = met | {"noise-sign": {"method": "sign", "budgets": [0, 8], "repeats": 1}}
    before = set((tmp_path / "cells").rglob("*"))
    subject = Subject(
        dataset=demo / "results/demo/networks/digits/dataset.h5",
        model=demo / "results/demo/networks/digits/resnet18/none/seed0/model.safetensors", seed=0,
        n_images=STUDY.tasks["digits"].attack_images,
        names={"task": "digits", "architecture": "resnet18", "condition": "none"},
    )  # fmt: skip
    tables = {name: tmp_path / f"{name}.parquet" for name in attacks}
    outputs = NetworkOutputs(tables, tmp_path / "e.npz", tmp_path / "cells", tmp_path / "c.json")
    attack_network(subject, read_plans(attacks), outputs)
    assert {p.name for p in set((tmp_path / "cells").rglob("*")) - before if p.is_file()}, "the new attack has cells"
    for name in met:
        assert (tmp_path / f"{name}.parquet").read_bytes() == (source / f"{name}.parquet").read_bytes(), name


# --- planted truth --------------------------------------------------------------------------------------------------


def planted(demo, results, subject, roi):
    """(ROI file, planted ncsnr of its voxels)."""
    truth = np.load(demo / f"resources/phantom/truth/{subject}.npz")
    with h5py.File(results / f"cortex/{subject}/{roi}.h5") as file:
        fields = {name: file[name][()] for name in file}
    place = {voxel: k for k, voxel in enumerate(truth["voxel_index"])}
    rows = np.array([place[voxel] for voxel in fields["voxel_index"]])
    special = np.isin(rows, np.r_[truth["saturated"], truth["invalid"]])
    return fields, truth["ncsnr"][rows], special


@pytest.mark.parametrize("subject", ["subj01", "subj02"])
def test_ncsnr_is_recovered(demo, results, subject):
    errors, none = [], []
    for roi in ("V1", "LO", "FFA"):
        fields, ncsnr, special = planted(demo, results, subject, roi)
        assert np.allclose(fields["ncsnr"], fields["ncsnr_file"], atol=1e-4), "the published algorithm, to rounding"
        signal = (ncsnr > 0) & ~special
        errors.append(fields["ncsnr"][signal] - ncsnr[signal])
        none.append(fields["ncsnr"][(ncsnr == 0) & ~special])
    errors = np.concatenate(errors)
    assert np.median(np.abs(errors)) < 0.04, "signal and noise correlate by chance, 0.02 over 2,400 trials"
    assert abs(np.median(errors)) < 0.02
    assert np.median(np.concatenate(none)) < 0.15


@pytest.mark.parametrize("roi", ["V1", "LO"])
def test_predictors_reach_half_of_the_ceiling(results, roi):
    voxels, _ = read_parquet(results / f"predictors/gnet/{roi}/seed0/voxels.parquet")
    for subject, part in voxels.groupby("subject"):
        assert part["r_normalised"].median() > 0.5, (roi, subject)


def test_a_shuffled_or_shifted_pairing_destroys_the_prediction(demo, results, project, config, tmp_path):
    """The trained predictor against responses whose images are permuted, or whose trials are off by one."""
    import json

    import torch

    from neurobust.core.correlation import pearson
    from neurobust.core.settings import read
    from neurobust.files.pixels import to_pixels
    from neurobust.nsd.responses import extract_roi
    from neurobust.nsd.settings import ROI, StudySplits
    from neurobust.predictors.data import load_subject
    from neurobust.predictors.target import load_predictor

    betas = shutil.copy(results / "cortex/subj01/betas.h5", tmp_path / "betas.h5")
    with h5py.File(betas, "r+") as file:
        file["betas"][...] = np.roll(file["betas"][()], 1, 0)
    splits = read(StudySplits, config["splits"], "splits")
    extract_roi(root=demo / "resources/phantom", betas=betas, subject="subj01", roi="V1",
                spec=read(ROI, config["rois"]["V1"], "rois.V1"), splits=splits, output=tmp_path / "V1.h5")  # fmt: skip
    stimuli = results / "stimuli/subj01/64.h5"
    true = load_subject(results / "cortex/subj01/V1.h5", stimuli)
    shifted = load_subject(tmp_path / "V1.h5", stimuli)
    assert np.median(shifted.ncsnr) < 0.15 < 0.5 < np.median(true.ncsnr), "repeats no longer repeat"
    model = load_predictor(results / "predictors/gnet/V1/seed0/model.safetensors")
    rows = true.rows_of(2)
    with torch.inference_mode():
        predicted = model(to_pixels(true.pictures(rows), torch.device("cpu"))).numpy()[:, : true.voxels]
    good = np.median(pearson(predicted, true.responses[rows]))
    permuted = true.responses[np.random.default_rng(0).permutation(rows)]
    assert good > 0.4
    assert abs(np.median(pearson(predicted, permuted))) < 0.1
    assert abs(np.median(pearson(predicted, shifted.responses[rows]))) < 0.1
    assert json.loads(h5py.File(tmp_path / "V1.h5").attrs["labels"]) == ["V1v", "V1d"]


def test_a_predictor_trained_on_shuffled_pairs_is_at_chance(results):
    import torch

    from neurobust.core.correlation import pearson
    from neurobust.predictors.data import load_subject
    from neurobust.predictors.fit_gnet import fit_gnet
    from neurobust.predictors.fitting import FitContext
    from neurobust.predictors.predict import predict_subject
    from neurobust.predictors.registry import read_predictor

    settings = read_json(results / "predictors/gnet/V1/seed0/metrics.json")["provenance"]["params"]
    data = load_subject(results / "cortex/subj01/V1.h5", results / "stimuli/subj01/64.h5")
    data.row = np.random.default_rng(0).permutation(data.row)
    fitted = fit_gnet(read_predictor("gnet", {**settings, "epochs": 4}), FitContext([data], 0))
    r = pearson(predict_subject(fitted.model, data, 2, 100, torch.device("cpu")), data.responses[data.rows_of(2)])
    assert abs(np.median(r)) < 0.1


def test_twins_give_identical_roi_files(demo, results, config, tmp_path):
    """nii.gz and hdf5 sessions: the same betas and, byte for byte, the same ROI files."""
    from neurobust.core.settings import read
    from neurobust.nsd import layout
    from neurobust.nsd.extract import extract_betas
    from neurobust.nsd.responses import extract_roi
    from neurobust.nsd.settings import ROI, StudySplits

    root = demo / "resources/phantom"
    sessions = [layout.session(root, "subj02", n, "hdf5") for n in range(1, 9)]
    extract_betas(root=root, subject="subj02", n_sessions=8, betas=sessions, output=tmp_path / "betas.h5")
    splits = read(StudySplits, config["splits"], "splits")
    for roi, given in config["rois"].items():
        extract_roi(root=root, betas=tmp_path / "betas.h5", subject="subj02", roi=roi,
                    spec=read(ROI, given, f"rois.{roi}"), splits=splits, output=tmp_path / f"{roi}.h5")  # fmt: skip
        assert (tmp_path / f"{roi}.h5").read_bytes() == (results / f"cortex/subj02/{roi}.h5").read_bytes()


# --- networks and attacks -------------------------------------------------------------------------------------------


def curve(results, network, attack):
    """Robust accuracy per budget."""
    frame, _ = read_parquet(results / f"attacks/{network.path}/{attack}.parquet")
    return 1 - frame.groupby("budget")["success"].mean()


def test_attacks_and_analyses_look_at_the_same_images(results, config):
    tables = sorted((results / "explain/networks").rglob("*.parquet"))
    assert tables
    for path in tables:
        network = path.parent.relative_to(results / "explain/networks")
        attacked, _ = read_parquet(results / "attacks" / network / f"{config['primary_attack']}.parquet")
        _, attrs = read_parquet(path)
        assert attrs["images"] == sorted(set(attacked["image"])), network


def test_digits_are_read(results):
    for network in DIGITS:
        metrics = read_json(results / f"networks/{network.path}/metrics.json")
        assert metrics["clean_accuracy"] >= 0.9, network


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.path)
def test_attacks_are_in_their_order(results, network):
    curves = {attack: curve(results, network, attack) for attack in STUDY.attacks_of(network.task)}
    for attack, accuracy in curves.items():
        assert (np.diff(accuracy) <= 0).all(), f"{attack}: robust accuracy rises with the budget"
    assert (curves["pgd-linf"] <= curves["fgsm"]).all(), "PGD is not weaker than FGSM at any budget"
    for noise, attack in (("noise-uniform", "pgd-linf"), ("noise-gaussian", "pgd-l2")):
        assert (curves[noise] >= curves[attack]).all()
        lost = {name: (curves[name].iloc[0] - curves[name]).max() for name in (noise, attack)}
        assert lost[attack] > 0.15 and lost[noise] < lost[attack] / 4, f"{noise} is far weaker than {attack}"


def test_every_adversarial_was_verified_again(results):
    for network in NETWORKS:
        for attack in STUDY.attacks_of(network.task):
            frame, attrs = read_parquet(results / f"attacks/{network.path}/{attack}.parquet")
            assert attrs["verification"]["demoted"] == 0, (network, attack)
            found = frame[frame["success"] & frame["clean_correct"]]
            assert (found["distance"] <= found["budget"] * (1 + 1e-5) + 1e-6).all()
            assert not frame.loc[frame["budget"] == 0, "success"][frame["clean_correct"]].any()


def test_guided_networks_follow_their_target_and_shuffled_ones_do_not(results):
    def alignment(condition):
        paths = [n.path for n in STUDY.networks([condition], ["phantom-scenes"])]
        return np.mean([read_json(results / f"networks/{path}/metrics.json")["alignment"] for path in paths])

    assert alignment("V1") > 0.3 and alignment("LO") > 0.3
    assert abs(alignment("LO-shuffled")) < 0.1


# --- the verdict ----------------------------------------------------------------------------------------------------


def table(results, name):
    return pd.read_csv(results / f"report/tables/{name}.csv", keep_default_na=False)


def differences(results):
    """(condition, baseline) -> difference at the reference budget of the primary attack, on the planted task."""
    rows = table(results, "differences").query("task == 'phantom-scenes' and primary and measure == 'robust_accuracy'")
    return {(row.condition, row.baseline): float(row.difference) for row in rows.itertuples()}


def test_the_instrument_can_see(results):
    """`none` stands in range and uses the cue, the positive control stands at least 10 points above it."""
    gates = table(results, "gates").query("task == 'phantom-scenes'").set_index("gate")
    assert set(gates.index) == {"range", "sensitivity", "recovery", "prediction", "masking"}
    assert gates.loc[["range", "recovery"], "passed"].all(), gates["sentence"].tolist()
    means = table(results, "summary").query("task == 'phantom-scenes' and attack == 'pgd-linf'")
    accuracy = means.set_index("condition")["robust_accuracy"].astype(float)
    assert accuracy["adversarial"] > accuracy["none"] + 0.1


def test_the_planted_order_is_found(results):
    """Guidance by LO, which holds the shape and no cue, gains over `none` and over its shuffle, and stands above V1.

    The signs, and not the word: how sure five seeds are of them varies with the processor that trains them.
    """
    found = differences(results)
    assert found["LO", "none"] > 0 and found["LO", "LO-shuffled"] > 0 and found["LO", "none"] > found["V1", "none"]
    words = table(results, "verdicts").query("task == 'phantom-scenes'").set_index("condition")["verdict"]
    assert words["LO"].split(" (")[0] in {"supported", "undetermined"}
    assert words["V1"] == "undetermined", "it has no shuffle of its own here"


def test_two_seeds_are_no_verdict(results):
    words = table(results, "verdicts").query("task == 'digits'")["verdict"]
    assert len(words) == 1 and words.str.startswith("undetermined").all()


# --- the report -----------------------------------------------------------------------------------------------------


def test_the_report_says_what_it_is_and_needs_nothing(results):
    pages = [*results.glob("report/*.html"), *(results / f"report/roi/{roi}.html" for roi in ("V1", "LO", "FFA"))]
    assert len(pages) > 10
    for page in pages:
        text = page.read_text()
        assert "planted" in text and "human brain" in text, "a phantom report says that its cortex is planted"
        assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text), "no external request"
        assert not re.findall(r"""url\(["']?(?:https?:)?//""", text)
        assert text.count("<script") == 1 and "<script src" not in text, "our own, which sorts tables"


def test_the_tables_tell_what_the_files_hold(results):
    rows = table(results, "robust_accuracy").query("task == 'digits' and condition == 'LO'")
    rows = rows.query("seed == 1 and attack == 'fgsm'")
    wanted = curve(results, NetworkName("digits", "resnet18", "LO", 1), "fgsm")
    assert rows.sort_values("budget").robust_accuracy.tolist() == pytest.approx(wanted.tolist(), abs=1e-5)


def test_the_summary_is_printed(results, capsys):
    from neurobust.report.__main__ import main

    assert main([str(results)]) == 0
    shown = capsys.readouterr().out
    assert "LO-shuffled" in shown and str(results / "report/index.html") in shown


def test_snakemakes_own_report(snakemake, project, demo, tmp_path):
    file = tmp_path / "report.zip"
    snakemake("--configfile", project / "config/demo.yaml", "--cores", 1, "--report", file, "--", ALL, directory=demo)
    names = zipfile.ZipFile(file).namelist()
    assert any(name.endswith("report.html") for name in names)
    assert any("robust_accuracy" in name for name in names)


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.parametrize("page", ["index.html", "attacks.html", "roi/LO.html"])
def test_chromium_opens_the_page_without_error_or_request(results, tmp_path, page):
    import json
    import subprocess

    log = tmp_path / "net.json"
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-quic", f"--user-data-dir={tmp_path / 'profile'}",
         f"--log-net-log={log}", "--enable-logging=stderr", f"--screenshot={tmp_path / 'page.png'}",
         "--window-size=1200,2000", (results / "report" / page).as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (tmp_path / "page.png").stat().st_size > 20_000
    assert "CONSOLE" not in done.stderr, done.stderr
    text = log.read_text()
    events = json.loads(text if text.rstrip().endswith("}") else text.rstrip().rstrip(",") + "]}")
    wanted = events["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    urls = {e.get("params", {}).get("url") for e in events["events"] if e["type"] == wanted} - {None}
    own = [url for url in urls if not url.startswith(("file:", "data:", "chrome", "devtools"))]
    assert not [url for url in own if "google" not in url], f"the page asks for {own}"


def test_no_partial_file_is_left(demo):
    left = [
        path for path in (demo / "results").rglob("*") if path.name.endswith(".tmp") or path.name == ".checkpoint.pt"
    ]
    assert not left
