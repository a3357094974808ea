"""Numbers counted from the files of the stages with pandas, numpy and scipy alone."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

PAINT, STRENGTH = "cadv", 8.0  # the semantic attack of the synthetic study, read at this strength


class Results:
    """Files of a study: attacks by the labels that pages give them, as (name, norm)."""

    def __init__(self, root, labels, norms, given=None):
        self.root, self.labels, self.norms, self.given = Path(root), labels, norms, given or {}
        self.read = {}

    def elsewhere(self, root):
        """The same study in another folder."""
        return Results(root, self.labels, self.norms, self.given)

    def stands(self, task, architecture, condition, seed, attack):
        """Whether each image stands, by budget (columns); `worst-<norm>`: under every attack of the norm."""
        key = (task, architecture, condition, seed, attack)
        if key not in self.read:
            if attack.startswith("worst-"):
                members = [name for name, norm in self.norms.items() if norm == attack.removeprefix("worst-")]
                self.read[key] = self.worst(key[:4], members)
            else:
                folder = self.root / "attacks" / task / architecture / condition / f"seed{seed}"
                if attack == PAINT:
                    frame = pd.read_parquet(folder / "semantic" / f"{attack}.parquet")
                    frame = frame[frame["variant"] == "attack"].rename(columns={"strength": "budget"})
                else:
                    frame = pd.read_parquet(folder / f"{attack}.parquet")
                frame["stands"] = frame["clean_correct"] & ~frame["success"]
                self.read[key] = frame.pivot(index="image", columns="budget", values="stands").astype(float)
        return self.read[key]

    def worst(self, network, members):
        tables = [self.stands(*network, name) for name in members]
        budgets = max((table.columns for table in tables), key=len)
        return pd.DataFrame({
            budget: np.min([table[max(b for b in table.columns if b <= budget)] for table in tables], axis=0)
            for budget in budgets
        })  # fmt: skip

    def falls(self, task, architecture, condition, seed, norm):
        """The smallest budget that breaks each image under any attack of a norm: listed, or the size of what broke it;
        infinite where none does within what all of them were given."""
        smallest, largest = np.inf, np.inf
        for name in (name for name, of in self.norms.items() if of == norm):
            table = self.stands(task, architecture, condition, seed, name)
            path = self.root / "attacks" / task / architecture / condition / f"seed{seed}" / f"{name}.parquet"
            sizes = pd.read_parquet(path).groupby("image")["distance"].min().reindex(table.index)
            fallen = table.to_numpy() == 0
            listed = np.where(fallen.any(1), table.columns.to_numpy()[fallen.argmax(1)], np.inf)
            smallest = np.fmin(smallest, np.where(np.isinf(listed), np.inf, np.fmin(listed, sizes)))
            largest = min(largest, table.columns.max())
        return np.where(smallest <= largest * (1 + 1e-6), smallest, np.inf)

    def architecture(self, task):
        """The only one of a task."""
        (found,) = (path.name for path in (self.root / "networks" / task).iterdir() if path.is_dir())
        return found

    def seeds(self, task, architecture, condition):
        folder = self.root / "networks" / task / architecture / condition
        return sorted(int(path.name.removeprefix("seed")) for path in folder.glob("seed*"))

    def at(self, task, architecture, condition, attack, budget):
        """(seeds, images) of those that stand at a budget."""
        found = [self.stands(task, architecture, condition, seed, attack)[budget] for seed in
                 self.seeds(task, architecture, condition)]  # fmt: skip
        return np.array(found, dtype=float)

    def pair(self, task, names, attack, budget):
        """Those that stand under two conditions, for the seeds that both have."""
        found = [self.at(task, self.architecture(task), name, attack, budget) for name in names]
        return [stands[: min(map(len, found))] for stands in found]

    def reference(self, task, architecture, attack):
        """The smallest budget above 0 at which `none` stands between 10 and 60 %, over seeds and images; or None."""
        if attack in self.given:
            return self.given[attack]
        budgets = self.stands(task, architecture, "none", 0, attack).columns
        levels = {b: self.at(task, architecture, "none", attack, b).mean() for b in budgets if b > 0}
        return min((budget for budget, level in levels.items() if 0.1 <= level <= 0.6), default=None)

    def metrics(self, task, architecture, condition, name):
        """A number of each seed's network."""
        paths = [self.root / "networks" / task / architecture / condition / f"seed{seed}" / "metrics.json"
                 for seed in self.seeds(task, architecture, condition)]  # fmt: skip
        return np.array([json.loads(path.read_text())[name] for path in paths], dtype=float)


def difference(own, other):
    """Points between two conditions: mean, ends of the 95 % interval over seeds and images, range over seeds."""
    table = 100 * (own - other)
    seeds, images = table.shape
    rows, columns, mean = table.mean(1), table.mean(0), table.mean()
    seed = images * np.var(rows, ddof=1)
    image = seeds * np.var(columns, ddof=1)
    rest = ((table - rows[:, None] - columns + mean) ** 2).sum() / ((seeds - 1) * (images - 1))
    error = max(np.sqrt(max(seed, seed + image - rest) / (seeds * images)), 100 / (seeds * images))
    half = stats.t.ppf(0.975, seeds - 1) * error
    return mean, mean - half, mean + half, rows.min(), rows.max()


def spread(values):
    return np.mean(values), np.min(values), np.max(values)
