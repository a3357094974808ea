"""Numbers of each kind of page, counted again: each function compares those that a page prints and says how many."""

import hashlib
import json
import re

import h5py
import numpy as np
import pandas as pd
from counted import PAINT, difference, spread
from printed import budget_in, numbers, same, tables_of
from scipy import stats


def compared(results, page):
    """The table of all comparisons: difference, interval, range over seeds, the primary attack alone."""
    (table,) = tables_of(page, "^Every comparison")
    alone = next((head.removesuffix(" alone") for head in table.heads if head.endswith(" alone")), None)
    counted = 0
    for row in table.rows:
        task, _, given = row[0].partition(", ")
        place, budget = (task, given or results.architecture(task)), budget_in(row[2])
        condition, baseline = row[1].split(" − ")
        assert budget == results.reference(*place, "worst-linf")
        pair = [results.at(*place, name, "worst-linf", budget) for name in (condition, baseline)]
        seeds = min(map(len, pair))
        mean, low, high, least, most = difference(pair[0][:seeds], pair[1][:seeds])
        counted += same(row[3], mean) + same(row[4], low, high) + same(row[5], least, most)
        if alone:
            own, other = (results.at(*place, name, results.labels[alone], budget) for name in (condition, baseline))
            counted += same(row[6], difference(own[:seeds], other[:seeds])[0])
        counted += same(row[-1], seeds, pair[0].shape[1])
    return counted


def accuracies(results, page, networks="networks"):
    """The tables of accuracies at a reference budget: clean, and under every attack by name."""
    counted = 0
    for table in tables_of(page, "accuracy in percent at a reference budget$"):
        place = re.match(r"(\S+), (\S+):", table.caption).groups()
        lines = {row[0]: row[1:] for row in table.rows}
        columns, flipped = table.heads[1:], "none" in lines
        for key, cells in lines.items():
            for head, cell in zip(columns, cells, strict=True):
                condition, kind = (key, head) if flipped else (head, key)
                condition = condition.removesuffix(" †")
                label, _, below = kind.partition(" | ")
                if label == "clean":
                    counted += same(cell, *spread(100 * results.metrics(*place, condition, "clean_accuracy")))
                elif label in results.labels and numbers(cell):
                    stands = results.at(
                        *place, condition, results.labels[label], budget_in(re.sub("budget ", "", below))
                    )
                    counted += same(cell, *spread(100 * stands.mean(1)))
    return counted


def front(results, page):
    """Interval and value of each drawn contrast, and of each claim on two conditions."""
    counted = 0
    for table in tables_of(page, "worst case L∞ at"):
        task, budget = table.caption.split(" | ")[0].split(",")[0], budget_in(table.caption.split(" at ")[1])
        for row in table.rows:
            if " − " not in row[-1]:
                continue
            names = row[-1].split(" | ")[-1].split(" − ")
            found = difference(*results.pair(task, names, "worst-linf", budget))
            counted += same(row[2], *found[:3])
    (ledger,) = tables_of(page, "^Each claim")
    tasks = [head.partition(", ")[0] for head in ledger.heads[1:]]
    for row in ledger.rows:
        read = {"shift of hue": "hue", "recolouring": PAINT}
        attack = next((name for said, name in read.items() if said in row[0]), "worst-linf")
        for task, cell in zip(tasks, row[1:], strict=True):
            for names, shown in re.findall(r"\| (\S+ − \S+): ([^|]*? pp(?: \[[^]|]*\])?)", cell):
                budget = results.reference(task, results.architecture(task), attack)
                if budget is None:
                    continue  # what is printed beside a failed gate is read elsewhere
                pair = results.pair(task, names.split(" − "), attack, budget)
                counted += same(shown, *difference(*pair)[:3])
    return counted


def smallest(results, page):
    """The smallest budget that breaks the median image, and what each attack broke alone."""
    counted = 0
    for table in tables_of(page, "smallest budget that breaks"):
        task, architecture = re.match(r"(\S+), (\S+):", table.caption).groups()
        for row in table.rows:
            for head, cell in zip(table.heads[1:], row[1:], strict=True):
                norm = {"L∞": "linf", "L2": "l2"}.get(head.split(" | ")[0])
                if norm is None:
                    continue
                medians = []
                for seed in results.seeds(task, architecture, row[0]):
                    falls = np.sort(results.falls(task, architecture, row[0], seed, norm))
                    medians.append(falls[len(falls) // 2])
                if np.isfinite(medians).all():
                    counted += same(cell, *spread(medians))
    for table in tables_of(page, "percent of the images read correctly"):
        task, architecture = re.match(r"(\S+), (\S+):", table.caption).groups()
        budget = budget_in(table.caption.split(" at ")[1])
        names = [results.labels[head.split(" | ")[0]] for head in table.heads[1:]]
        for row in table.rows:
            shares = {name: [] for name in names}
            for seed in results.seeds(task, architecture, row[0]):
                whole = {name: results.stands(task, architecture, row[0], seed, name) for name in names}
                clean = np.all([table_of[0.0] == 1 for table_of in whole.values()], axis=0)
                broken = {name: (table_of[budget] == 0).to_numpy() & clean for name, table_of in whole.items()}
                for name in names:
                    others = np.any([broken[other] for other in names if other != name], axis=0)
                    alone = broken[name] & ~others
                    shares[name].append((broken[name].sum(), alone.sum(), clean.sum()))
            for name, cell in zip(names, row[1:], strict=True):
                fallen, alone, clean = np.sum(shares[name], axis=0)
                counted += same(cell, 100 * fallen / clean, 100 * alone / clean)
    return counted


def corruptions(results, page):
    """Accuracy by severity, the mean over all, and both errors against those of `none`."""
    counted = 0
    for table in tables_of(page, "accuracy on .* test images"):
        task, architecture = re.match(r"(\S+), (\S+):", table.caption).groups()
        frames = []
        for row in table.rows:
            for seed in results.seeds(task, architecture, row[0]):
                path = results.root / "attacks" / task / architecture / row[0] / f"seed{seed}" / "corruptions.parquet"
                frames.append(pd.read_parquet(path).assign(condition=row[0], seed=seed))
        frame = pd.concat(frames)
        wrong = 1 - frame.groupby(["condition", "seed", "corruption", "severity"])["correct"].mean()
        clean = 1 - frame.groupby(["condition", "seed"])["clean_correct"].mean()
        summed = wrong.groupby(["condition", "seed", "corruption"]).sum()
        beyond = summed - 5 * clean
        for row in table.rows:
            own = wrong[row[0]]
            counted += same(row[1], *spread(100 * (1 - clean[row[0]])))
            for severity in range(1, 6):
                level = own.xs(severity, level="severity").groupby("seed").mean()
                counted += same(row[1 + severity], *spread(100 * (1 - level)))
            counted += same(row[7], *spread(100 * (1 - own.groupby("seed").mean())))
            for cell, errors in ((row[8], summed), (row[9], beyond)):
                relative = errors[row[0]] / errors["none"].groupby("corruption").mean()
                counted += same(cell, *spread(100 * relative.groupby("seed").mean()))
    return counted


def semantic(results, page, attack):
    """Images broken by strength, where they end, and how far they moved."""
    counted = 0
    for table in tables_of(page, "^(?!.* of another network).*images broken, percent, by steps"):
        task, architecture = re.search(r", (\S+), (\S+): images", table.caption).groups()
        strengths = [head for head in table.heads[1:] if re.fullmatch(r"[\d.]+", head)]
        for row in table.rows:
            folder = results.root / "attacks" / task / architecture / row[0]
            frames = [pd.read_parquet(path) for path in sorted(folder.glob(f"seed*/semantic/{attack}.parquet"))]
            if not frames:
                continue  # a baseline
            own = [frame[frame["variant"] == "attack"] for frame in frames]
            for strength, cell in zip(strengths, row[1:], strict=False):
                chosen = [frame[(frame["strength"] == float(strength)) & frame["clean_correct"]] for frame in own]
                counted += same(cell, *spread([100 * frame["success"].mean() for frame in chosen]))
            places = {head.split(" | ")[0]: cell for head, cell in zip(table.heads, row, strict=True)}
            last = [frame[frame["clean_correct"]] for frame in chosen]
            counted += same(places["target"], np.mean([100 * frame["reached_target"].mean() for frame in last]))
            counted += same(places["unchanged"], np.mean([100 * (1 - frame["success"].mean()) for frame in last]))
            for head, name in (("CIEDE2000", "ciede2000"), ("SSIM", "ssim"), ("L2", "l2")):
                counted += same(places[head], np.mean([frame[frame["success"]][name].mean() for frame in last]))
    return counted


def why(results, page):
    """By how much a measure of guided networks differs from that of their shuffle's or of none's, over seeds."""
    counted = 0
    for table in tables_of(page, "change of each measure under guidance$"):
        task, architecture = re.match(r"(\S+), (\S+):", table.caption).groups()
        folder = results.root / "explain" / "networks" / task / architecture
        for condition, measure, cell in table.rows:
            name, _, roi = measure.partition(", ")
            other = f"{condition}-shuffled" if (folder / f"{condition}-shuffled").exists() else "none"
            values = {}
            for which in (condition, other):
                for path in sorted((folder / which).glob("seed*/inside.parquet")):
                    frame = pd.read_parquet(path).fillna({"roi": ""})
                    found = frame[(frame["measure"] == name) & (frame["roi"] == roi)]["value"]
                    values.setdefault(which, []).extend(found)
            gap = np.subtract(values[condition], values[other])
            half = stats.t.ppf(0.975, len(gap) - 1) * stats.sem(gap)
            counted += same(cell, gap.mean(), gap.mean() - half, gap.mean() + half)
    return counted


def predictors(results, page):
    """Voxels, and medians and quartiles of accuracy, by ROI and subject; `all`: the voxels of every subject."""
    (table,) = tables_of(page, "^Predictors")
    counted = 0
    for roi, subject, voxels, ceiling, r, normalised, quartiles, seeds in table.rows:
        frames = [
            pd.read_parquet(path) for path in sorted(results.root.glob(f"predictors/gnet/{roi}/seed*/voxels.parquet"))
        ]
        assert frames
        own = [frame if subject == "all" else frame[frame["subject"] == subject] for frame in frames]
        counted += same(voxels, len(own[0]))
        if not len(own[0]):
            continue
        finite = [frame["r_normalised"][np.isfinite(frame["r_normalised"])] for frame in own]
        counted += same(ceiling, np.mean([frame["noise_ceiling"].median() for frame in own]))
        counted += same(r, np.mean([frame["r"].median() for frame in own]))
        counted += same(normalised, np.mean([values.median() for values in finite]))
        counted += same(quartiles, *(np.mean([values.quantile(at) for values in finite]) for at in (0.25, 0.75)))
        if len(own) > 1:
            counted += same(seeds, *spread([values.median() for values in finite])[1:])
    return counted


def checks(results, page):
    """How many of each check passed, and the canaries."""
    found = [entry for path in results.root.glob("attacks/**/checks.json") for entry in json.loads(path.read_text())]
    frame = pd.DataFrame(found)
    (table,) = tables_of(page, "^Masking checks")
    counted = 0
    for row in table.rows:
        own = frame[frame["check"].str.replace("_", " ") == row[0]]
        if row[0] == "transfer":  # no check of a network alone: the table of a task has it
            paths = results.root.glob("attacks/**/transfer.parquet")
            seen = pd.concat([pd.read_parquet(path).assign(place=str(path)) for path in paths])
            own = seen.groupby(["place", "target_condition", "target_seed"])["beyond_white_box"].max().le(0.05)
            own = own.rename("passed").reset_index()
        counted += same(row[2], own["passed"].sum(), len(own))
    (table,) = tables_of(page, "^Canaries, one by one")
    canaries = [
        entry["caught"] for path in results.root.glob("attacks/**/canaries.json")
        for entry in json.loads(path.read_text())["canaries"]
    ]  # fmt: skip
    assert [row[2] == "yes" for row in table.rows].count(True) == sum(canaries) and len(table.rows) == len(canaries)
    return counted + len(canaries)


def is_roi(path):
    with h5py.File(path) as file:
        return "roi" in file.attrs


def methods(results, page):
    """What was counted at each step, and the sentences on networks, images and voxels."""
    (table,) = tables_of(page, "^How much there was")
    rows = {row[0]: row[1:4] for row in table.rows}
    quality = [json.loads(path.read_text()) for path in results.root.glob("cortex/*/quality.json")]
    total, empty = sum(q["sessions"] for q in quality), sum(len(q["empty_sessions"]) for q in quality)
    counted = sum(map(same, rows["sessions"], (total, empty, total - empty)))
    cortex = [path for path in results.root.glob("cortex/*/*.h5") if is_roi(path)]
    rois, subjects = {path.stem for path in cortex}, {path.parent.name for path in cortex}
    most = len(rois) * len(subjects)
    counted += sum(map(same, rows["ROIs of subjects"], (most, most - len(cortex), len(cortex))))
    voxels = pd.concat([pd.read_parquet(path) for path in results.root.glob("predictors/gnet/*/seed0/voxels.parquet")])
    low = int((~np.isfinite(voxels["r_normalised"])).sum())
    counted += sum(map(same, rows["voxels, over ROIs"], (len(voxels), low, len(voxels) - low)))
    networks = list(results.root.glob("networks/*/*/*/seed*/metrics.json"))
    text = re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))
    counted += same(re.search(r"That makes (\d+) networks", text)[1], len(networks))
    splits = []
    for path in cortex:
        with h5py.File(path) as file:
            splits.append(np.bincount(file["split"][:], minlength=3))
    said = re.search(r"subject's images ([^.]*) test", text.replace("&#39;", "'").replace("’", "'"))[1]
    least, most = np.min(splits, axis=0), np.max(splits, axis=0)
    ends = [end for pair in zip(least, most, strict=True) for end in dict.fromkeys(pair)]
    return counted + same(said, *ends)


def provenance(results, page, config):
    """What attacks cost, jobs and their time, and the digest of the configuration."""
    (table,) = tables_of(page, "^What each attack cost")
    counted = 0
    for row in table.rows:
        paths = list(results.root.glob(f"attacks/*/*/*/seed*/{results.labels[row[0]]}.parquet"))
        frames = [pd.read_parquet(path) for path in paths]
        passes = [
            [frame[name].sum() / frame["image"].nunique() for name in ("n_forward", "n_backward")] for frame in frames
        ]
        counted += same(row[1], len(paths)) + same(row[2], frames[0]["image"].nunique())
        counted += sum(map(same, row[3:5], np.mean(passes, axis=0)))
    (jobs,) = tables_of(page, "^Jobs, time")
    for row in jobs.rows:
        folder, seconds = results.root / "benchmarks" / row[0], []
        for path in [*folder.rglob("*.jsonl"), *folder.rglob("*.tsv")]:
            lines = path.read_text().splitlines()
            seconds.append(json.loads(lines[0])["s"] if path.suffix == ".jsonl" else float(lines[1].split("\t")[0]))
        value = sum(seconds)
        counted += same(row[1], len(seconds)) + same(row[2], value / (60 if "min" in row[2] else 1))
    (table,) = tables_of(page, "^Code, configuration")
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digests = {row[1]: row[2] for row in table.rows}
    assert digests["configuration, SHA-256"] == hashlib.sha256(text.encode()).hexdigest()
    return counted + 1
