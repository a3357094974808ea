"""Face verification from files to table and pictures: thresholds, every attribute, silence, rates without a measure."""

import itertools

import numpy as np
import pytest
import torch

from neurobust.attacks.engine import run as engine
from neurobust.attacks.engine.subject import Outputs, Subject
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.images import to_batch
from neurobust.attacks.semantic import bench
from neurobust.attacks.semantic.impersonation import VARIANTS
from neurobust.attacks.semantic.verification_settings import Verification, read_verification
from neurobust.attacks.semantic.verify_faces import NAME, attack_verification
from neurobust.core.errors import InputError
from neurobust.files.verification_table import read_verification_examples, read_verification_table
from neurobust.networks.architectures import build_network

pytestmark = pytest.mark.slow

FEW = {"pairs": 3, "steps": 6, "rebuild": 1, "draws": 2, "rates": [0.001, 0.05, 0.01]}


@pytest.fixture
def victim(monkeypatch):
    """A small untrained network in place of the one that the model file would hold."""
    torch.manual_seed(0)
    net = build_network("small", 4, image_size=16).eval().requires_grad_(False)
    monkeypatch.setattr(bench, "load_network", lambda path: net)
    return net


def run(faces, helpers, folder, settings=FEW, **extra):
    folder.mkdir(exist_ok=True)
    model = folder / "model.safetensors"
    model.write_text("stand-in")
    plan = read_verification(settings)
    subject = Subject(faces, model, 0, plan.settings.pairs, {"architecture": "small", "condition": "none"})
    names = Verification.helpers
    networks = Helpers({n: helpers / f"{n}.safetensors" for n in names}, {n: helpers / f"{n}.json" for n in names})
    outputs = Outputs({NAME: folder / "verification.parquet"}, folder / "verification.npz", folder / ".cells")
    attack_verification(subject, plan, networks, outputs, **extra)
    return read_verification_table(folder / "verification.parquet"), read_verification_examples(
        folder / "verification.npz"
    )


def test_every_pair_has_a_row_per_attribute_variant_and_measured_rate(faces, data, helpers, victim, tmp_path):
    (frame, record), examples = run(faces, helpers, tmp_path)
    names = data.attribute_names
    assert len(frame) == 3 * 2 * len(names) * len(VARIANTS) * 2 and set(frame["attribute"]) == set(names)
    assert frame["rate"].unique().tolist() == [0.05, 0.01], "600 pairs do not measure one in a thousand"
    assert set(frame["image"]) == set(data.examined(3).tolist()) and record.split == "validation"
    by_rate = {rate: part["success"].to_numpy() for rate, part in frame.groupby("rate")}
    targeted = (frame[frame["rate"] == 0.05]["goal"] == "targeted").to_numpy()
    loose, strict = by_rate[0.05], by_rate[0.01]
    assert (loose[targeted] >= strict[targeted]).all() and (loose[~targeted] <= strict[~targeted]).all()
    assert frame[frame["clean_wrong"]]["success"].all() and record.gates_passed is False
    itself = frame[frame["goal"] == "untargeted"]
    assert (itself["image"] == itself["reference"]).all() and not itself["clean_wrong"].any()
    assert record.verification["demoted"] == 0
    assert examples.attacked.shape == (2, 2, len(names), 16, 16, 3) and examples.success.shape == (2, 2, len(names))
    own = frame[(frame["variant"] == "attack") & (frame["rate"] == 0.01)].set_index(["image", "goal", "attribute"])
    for k, g, a in np.ndindex(*examples.success.shape):
        where = (examples.image[k], examples.goals[g], examples.attributes[a])
        assert own.loc[where, "success"] == examples.success[k, g, a]


def test_thresholds_are_those_of_the_network_s_own_impostors(faces, data, helpers, victim, tmp_path):
    (_, record), _ = run(faces, helpers, tmp_path)
    rows = data.held_out()
    vectors = victim.features(to_batch(data, rows, torch.device("cpu"))).double().numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    impostors = sorted(
        ((vectors[i] - vectors[j]) ** 2).sum()
        for i, j in itertools.combinations(range(len(rows)), 2) if data.labels[rows[i]] != data.labels[rows[j]]
    )  # fmt: skip
    own, other = ([t for t in record.thresholds if t.verifier == who] for who in ("network", "identity"))
    assert len(impostors) == 600 and [t.rate for t in own] == [0.05, 0.01, 0.001] == [t.rate for t in other]
    for limit, passing in zip(own[:2], (30, 6), strict=True):
        assert impostors[passing - 1] < limit.threshold + 1e-9 and limit.threshold < impostors[passing] + 1e-9
        assert (limit.passing, limit.impostors, limit.people) == (passing, 600, 4)
    assert own[2].threshold is None and other[2].threshold is None and own[2].impostors == 600
    assert own[0].threshold != other[0].threshold


def test_batches_change_nothing_and_finished_cells_are_read(faces, helpers, victim, tmp_path, monkeypatch):
    (frame, _), _ = run(faces, helpers, tmp_path / "one")
    (other, _), _ = run(faces, helpers, tmp_path / "two", attack_batch=2)
    for name in ("image", "reference", "goal", "attribute", "variant", "rate", "success", "n_forward"):
        assert (frame[name] == other[name]).all(), name
    assert np.allclose(frame["distance"], other["distance"], atol=1e-4)
    monkeypatch.setattr(engine, "compute_cell", lambda *given: pytest.fail("the cell was there"))
    (again, _), _ = run(faces, helpers, tmp_path / "one")
    assert frame.equals(again)


def test_without_a_measured_rate_there_is_no_row(faces, helpers, victim, tmp_path):
    (frame, record), examples = run(faces, helpers, tmp_path, FEW | {"rates": [1e-4]})
    assert len(frame) == 0 and len(examples.image) == 0 and examples.success.size == 0
    assert [limit.threshold for limit in record.thresholds] == [None, None]


def test_a_verifier_that_falls_silent_is_broken(faces, data, helpers, victim, tmp_path, monkeypatch):
    """It gives no embedding of images that no file holds: no answer is no robustness, in either direction."""
    plain = victim.features

    def features(images):
        away = (255 * images - (255 * images).round()).abs().flatten(1).amax(1) > 1e-2
        return torch.where(away[:, None], torch.nan, plain(images))

    monkeypatch.setattr(victim, "features", features)
    (frame, record), _ = run(faces, helpers, tmp_path, FEW | {"attributes": data.attribute_names[:1]})
    assert frame["success"].all() and record.verification["demoted"] == 0
    assert not frame[frame["goal"] == "untargeted"]["clean_wrong"].any()


def test_what_cannot_be_verified_is_one_line(faces, helpers, victim, tmp_path):
    with pytest.raises(InputError, match=r"semantic\.verification\.attributes: 'ears' is unknown; use some of"):
        run(faces, helpers, tmp_path, FEW | {"attributes": ["ears"]})
