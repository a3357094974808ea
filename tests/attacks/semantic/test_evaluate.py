"""From files to table and examples: verification, finished cells, baselines against the true label."""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from neurobust.attacks.engine import run as engine
from neurobust.attacks.engine.cells import OURS, cell_sources
from neurobust.attacks.engine.subject import Outputs, Subject
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.images import to_batch
from neurobust.attacks.semantic import bench
from neurobust.attacks.semantic.data import read_task
from neurobust.attacks.semantic.descent import Attempt, Book, probability_lead
from neurobust.attacks.semantic.evaluate import attack_semantic
from neurobust.attacks.semantic.measured import verify
from neurobust.attacks.semantic.plan import read_helper, read_semantic
from neurobust.attacks.semantic.registry import HELPERS, SEMANTIC, helper_modules, semantic_modules
from neurobust.core.errors import InputError
from neurobust.core.io import read_parquet
from neurobust.core.places import load
from neurobust.core.settings import field_names, options, written
from neurobust.study.model import title_of

pytestmark = pytest.mark.slow

SETTINGS = {
    "cadv": {"strengths": [0, 1, 3], "learning_rate": 0.05},
    "cadv-confined": {"strengths": [0, 4, 8], "steps": 3},
    "tadv": {"strengths": [1, 3]},
    "tadv-jpeg": {"strengths": [1, 3]},
    "semanticadv": {"strengths": [0, 1], "steps": 3, "rebuild": 1},
}


@pytest.fixture
def victim(monkeypatch):
    """A small net in place of the one that the model file would hold."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(196, 4)).eval()
    monkeypatch.setattr(bench, "load_network", lambda path: net)
    return net


def run(attack, faces, helpers, folder, condition="none", n_images=6, **extra):
    place = folder / "attacks/phantom-faces/resnet18" / condition / "seed0/semantic"
    place.mkdir(parents=True, exist_ok=True)
    model = folder / "model.safetensors"
    model.write_text("stand-in")
    plan, names = read_semantic(attack, SETTINGS[attack]), SEMANTIC[attack].helpers
    subject = Subject(faces, model, 0, n_images, {"architecture": "resnet18", "condition": condition})
    networks = Helpers(
        {name: helpers / f"{name}.safetensors" for name in names}, {name: helpers / f"{name}.json" for name in names}
    )
    outputs = Outputs({attack: place / f"{attack}.parquet"}, place / f"{attack}.npz", folder / ".cells")
    attack_semantic(subject, plan, networks, outputs, **extra)
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
    assert frame[~frame["clean_correct"]]["l2"].isna().all() and not frame["abstained"].any()
    if attack == "semanticadv":
        turned = frame.groupby("image")["attribute"].agg(["first", "nunique"])
        assert (turned["nunique"] == 1).all() and set(turned["first"]) <= set(read_task(faces).attribute_names)
    assert attrs["gates_passed"] == (attack != "semanticadv") and attrs["settings"]["confidence"] == 0.05
    assert attrs["verification"]["demoted"] == 0
    aimed = attack in ("cadv", "tadv", "tadv-jpeg")
    assert ("reached_target" in frame) == aimed
    if aimed:
        assert not (frame["reached_target"] & ~frame["success"]).any()
    with np.load(path.with_suffix(".npz")) as file:
        assert file["clean"].shape == (4, 16, 16, 3) and file["example/attack"].shape == (4, len(strengths), 16, 16, 3)
    other, _ = read_parquet(run(attack, faces, helpers, tmp_path / "again", attack_batch=2))
    for name in ("image", "variant", "success"):
        assert (frame[name] == other[name]).all(), name
    for name in ("ciede2000", "ssim", "l2"):
        assert np.allclose(frame[name], other[name], atol=2e-3, equal_nan=True), name


class SilentDetector(nn.Module):
    """A network that answers with NaN to every image that is not on the grid of 8 bits, and to the first clean one."""

    def __init__(self, network, spurned):
        super().__init__()
        self.network, self.spurned = network, spurned

    def forward(self, images):
        off = ((255 * images - (255 * images).round()).abs() > 1e-3).flatten(1).any(1)
        off = off | (images - self.spurned).flatten(1).abs().amax(1).lt(1e-6)
        return torch.where(off[:, None], torch.nan, self.network(images))


@pytest.mark.parametrize("attack", [name for name in SEMANTIC if name != "tadv-jpeg"])  # its images are on the grid
def test_no_answer_counts_against_the_network(attack, faces, data, helpers, victim, tmp_path, monkeypatch):
    rows = data.examined(6)
    spurned = to_batch(data, rows[:1], torch.device("cpu"))
    answers = victim(to_batch(data, np.arange(len(data.labels)), torch.device("cpu"))).argmax(1).numpy()
    monkeypatch.setattr(bench, "load_network", lambda path: SilentDetector(victim, spurned))
    monkeypatch.setattr(bench, "read_task", lambda path, attributes: replace(data, labels=answers))
    frame, attrs = read_parquet(run(attack, faces, helpers, tmp_path))
    own = frame[(frame["variant"] == "attack") & (frame["strength"] == SETTINGS[attack]["strengths"][-1])]
    assert own["clean_correct"].tolist() == [False] + [True] * 5, "what gets no answer when clean is no right reading"
    assert own["success"].all() and own["abstained"].all() and attrs["verification"]["demoted"] == 0
    others = frame[(frame["variant"] != "attack") & frame["clean_correct"]]
    assert (others["success"] >= others["abstained"]).all() and others["abstained"].any()


def test_an_image_that_is_none_breaks_no_network(batch, toys):
    images, labels, _ = batch
    book = Book(toys.MeanColour(), images, labels, [1.0], 0.05)
    bad = images.clone()
    bad[0, 0, 0, 0] = torch.nan
    rows = torch.arange(len(images))
    gone = book.offer(rows, bad, toys.MeanColour()(bad), 0)
    assert not gone.any() and book.lead[0] == -torch.inf and torch.equal(book.best[0], images[0])


def test_finished_cells_are_read_and_damaged_ones_computed_again(faces, helpers, victim, tmp_path, monkeypatch):
    first, _ = read_parquet(run("tadv", faces, helpers, tmp_path))
    monkeypatch.setattr(engine, "compute_cell", lambda *given: pytest.fail("the cell was there"))
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
    assert (lead > 0).tolist() == [True, False, True, False, True]
    assert lead[4] == 1, "no answer is no robustness"


def test_settings_are_completed_and_checked():
    assert read_semantic("tadv", {"strengths": [1, 2]}).attack.weight == 0.03
    plan = read_semantic("cadv", {"strengths": [0, 1], "tasks": ["a"], "conditions": ["V1"], "reference_strength": 1})
    assert (plan.tasks, plan.conditions, plan.reference_strength) == (("a",), ("V1",), 1)
    assert plan == read_semantic("cadv", plan.settings() | {"strengths": [0, 1], "tasks": ["a"], "conditions": ["V1"],
                                                            "reference_strength": 1})  # fmt: skip
    assert "tasks" not in plan.settings() and plan.settings()["strengths"] == [0.0, 1.0]
    for name, settings, message in (
        ("cadv", {"stepz": 1}, r"semantic\.cadv: unknown key 'stepz'"), ("xadv", {}, "'xadv' is not known"),
        ("cadv", {"strengths": [4, 2]}, r"semantic\.cadv: strengths \[4, 2\] must ascend"),
        ("cadv-confined", {"strengths": [0, 9]}, "exceed the 8 clusters"),
        ("tadv", {"strengths": [1.5]}, "expected a whole"), ("tadv-jpeg", {"quality": 96}, r"tadv-jpeg\.quality"),
        ("tadv", {"reference_strength": 3}, r"reference_strength: 3 is not one of its `strengths`"),
        ("semanticadv", {"loss": "x"}, "'x' is not known; choose one of ce, margin, dlr"),
        ("cadv", {"confidence": 1}, r"semantic\.cadv\.confidence"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            read_semantic(name, settings)


def test_prices_follow_the_settings():
    """One image's steps at the defaults, and with keys; tAdv goes on where a smaller strength ended."""
    confined = SEMANTIC["cadv-confined"]
    assert confined().passes() == 60 * 5 and read_semantic("cadv-confined", {"steps": 7}).attack.passes() == 35
    assert SEMANTIC["cadv"]().passes() == 500 and SEMANTIC["tadv-jpeg"]().passes() == 14
    assert SEMANTIC["tadv"]().passes() == 14 and read_semantic("tadv", {"strengths": [1, 3]}).attack.passes() == 3
    assert SEMANTIC["semanticadv"]().passes() == 60 * 5
    for name, kind in HELPERS.items():
        assert read_helper(name, {}) == kind() == read_helper(name, written(kind())) and kind.cost >= 1


def test_descriptions_are_whole_and_the_schema_knows_every_key(project):
    """What the configuration may say is what the classes take, and every key has a default and a line of help."""
    rules = yaml.safe_load((project / "config/schema.yaml").read_text())
    semantic = rules["properties"]["semantic"]["properties"]
    for name, kind in SEMANTIC.items():
        assert set(semantic[name]["properties"]) == {"tasks", "conditions", "reference_strength", *field_names(kind)}
        assert kind.source and kind.axis and callable(load(kind.run)) and set(kind.helpers) <= set(HELPERS)
        assert "oracle" in kind.helpers, "all are judged by it"
    titles = [title_of(name) for name in SEMANTIC]
    assert len(set(titles)) == len(titles) and not set(titles) & set(SEMANTIC) and title_of("another") == "another"
    assert set(semantic["networks"]["properties"]) == set(HELPERS)
    for name, kind in HELPERS.items():
        assert set(semantic["networks"]["properties"][name]["properties"]) == set(field_names(kind))
    for kind in (*SEMANTIC.values(), *HELPERS.values()):
        for option in options(kind):
            assert not option.required and option.help, (kind, option.name)
    for name, kind in HELPERS.items():
        assert callable(load(kind.network)) and callable(load(kind.trainer)) and name not in kind.reads


def test_reading_descriptions_imports_nothing_heavy():
    code = (
        "import sys; from neurobust.attacks.semantic.plan import *; from neurobust.attacks.semantic.registry import *; "
        "[read_semantic(name, {}) for name in SEMANTIC]; [read_helper(name, {}) for name in HELPERS]; "
        "[semantic_modules(name) for name in SEMANTIC]; [helper_modules(name) for name in HELPERS]; "
        "sys.exit(bool({'torch', 'scipy', 'pandas', 'h5py'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_line_of_one_attack_or_helper_discards_no_cell_of_another():
    """Over the registry: a semantic cell stands for its attack, the networks that it reads, and the engine."""
    of = {}
    for name in SEMANTIC:
        files = cell_sources("neurobust.attacks.semantic.measured", *semantic_modules(name))
        of[name] = {path.relative_to(OURS).as_posix() for path in files}
        own = SEMANTIC[name].run.partition(":")[0].rpartition(".")[2]
        assert {"engine/run.py", "engine/verify.py", f"semantic/{own}.py"} <= of[name]
        assert not {"semantic/registry.py", "semantic/evaluate.py", "semantic/fit.py", "bounded.py"} & of[name]
    assert {name for name, files in of.items() if "semantic/semanticadv.py" in files} == {"semanticadv"}
    assert {name for name, files in of.items() if "semantic/colouriser.py" in files} == {"cadv", "cadv-confined"}
    assert {name for name, files in of.items() if "semantic/cadv.py" in files} == {"cadv"}
    assert {name for name, files in of.items() if "semantic/texture.py" in files} == {"tadv", "tadv-jpeg"}
    assert {name for name, files in of.items() if "semantic/editor.py" in files} == {"semanticadv"}
    assert "neurobust.attacks.semantic.oracle" in helper_modules("editor")
    assert not any("editor" in module for module in helper_modules("oracle"))
