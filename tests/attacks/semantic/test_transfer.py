"""Paired semantic transfer, planted: who resists a change, who only blocks an optimiser, and what is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from neurobust.attacks.engine.subject import Subject
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.semantic import bench, transfer
from neurobust.attacks.semantic.descent import Book
from neurobust.attacks.semantic.description import SemanticAttack
from neurobust.attacks.semantic.plan import SemanticPlan
from neurobust.attacks.semantic.transfer import LentOutputs, lend_adversarials, meet_adversarials, surely
from neurobust.attacks.semantic.transfer_settings import SemanticTransfer
from neurobust.core.errors import InputError
from neurobust.files.dataset import read_dataset
from neurobust.files.semantic_adversarials import (
    read_lent_pictures,
    read_semantic_adversarials,
    write_semantic_adversarials,
)
from neurobust.files.semantic_transfer_table import read_semantic_transfer
from neurobust.study.model import NetworkName
from neurobust.study.read import read_study

STRENGTHS = (0.0, 1.0)


class Swap(SemanticAttack, frozen=True):
    """Nothing at the first strength; at the second red and blue change places."""

    axis = "swapped channels"
    strengths: tuple[float, ...] = STRENGTHS


def swap(helpers, data, settings):
    def run(model, images, labels, ids):
        book = Book(model, images, labels, settings.strengths, settings.confidence)
        for strength, batch in enumerate((images, images.flip(1))):
            rows = book.standing()
            book.offer(rows, batch[rows], model(batch[rows]), strength)
            book.close(strength)
        return book.attempt({})

    return run


class ByGreen(nn.Module):
    """The same by green, which the swap leaves alone."""

    def __init__(self, clean):
        super().__init__()
        self.values, self.labels = clean[0][:, 1].mean((1, 2)), clean[1]

    def forward(self, images):
        nearest = (images[:, 1].mean((1, 2))[:, None] - self.values[None]).abs().argmin(1)
        return nn.functional.one_hot(self.labels[nearest], 4).float()


@pytest.fixture
def planted(faces, monkeypatch, tmp_path):
    """Twelve faces; a surrogate that reads colour, and networks by name in the place of weights files."""
    monkeypatch.setattr(transfer, "load", lambda place: swap)
    data = read_dataset(faces)
    rows = data.examined(12)
    images = torch.from_numpy(np.stack([data.images[row] for row in rows])).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(data.labels[rows])
    colour = ByColourOf(images, labels)
    networks = {"none": colour, "colour": colour, "green": ByGreen((images, labels))}
    for module in (bench, transfer):
        monkeypatch.setattr(module, "load_network", lambda path: networks[path.stem])
    for name in networks:
        (tmp_path / f"{name}.safetensors").write_text(f"stand-in of {name}")

    def subject(name, seed=0):
        names = {"architecture": "small", "condition": name}
        return Subject(faces, tmp_path / f"{name}.safetensors", seed, 12, names)

    return subject, SemanticPlan("tadv", Swap()), images, labels


class ByColourOf(nn.Module):
    """The nearest of some images by the mean of each channel, so a swap of two channels reads as another one's."""

    def __init__(self, images, labels):
        super().__init__()
        self.values, self.labels = images.mean((2, 3)), labels

    def forward(self, images):
        distance = torch.cdist(images.mean((2, 3)), self.values)
        return nn.functional.one_hot(self.labels[distance.argmin(1)], 4).float() * 10


def lend(planted, folder, name="none"):
    subject, plan, *_ = planted
    outputs = LentOutputs(folder / "tadv.npz", folder / "tadv-pictures.npz", folder / ".cells")
    lend_adversarials(subject(name, 1), plan, SemanticTransfer(), Helpers({}, {}), outputs)
    return folder / "tadv.npz"


def test_what_a_surrogate_lends_holds_and_clean_errors_stay(planted, tmp_path):
    subject, plan, images, labels = planted
    found = read_semantic_adversarials(lend(planted, tmp_path))
    swapped = ByColourOf(images, labels)(images.flip(1)).argmax(1) != labels
    assert swapped.any() and found.clean_correct.all() and found.strengths.tolist() == list(STRENGTHS)
    assert (found.first == np.where(swapped, 1, 2)).all()
    clean, second = images.permute(0, 2, 3, 1).numpy(), images.flip(1).permute(0, 2, 3, 1).numpy()
    assert (found.adversarial[:, 0] == clean).all()
    assert (found.adversarial[swapped.numpy(), 1] == second[swapped.numpy()]).all()


def test_a_stranger_breaks_who_reads_colour_and_not_who_reads_green(planted, tmp_path):
    subject, plan, images, labels = planted
    adversarials, colour = lend(planted, tmp_path), ByColourOf(images, labels)
    swapped = colour(images.flip(1)).argmax(1) != labels
    shown = colour(torch.where(swapped[:, None, None, None], images.flip(1), images)).argmax(1).numpy()
    for name, expected in (("colour", swapped.numpy()), ("green", np.zeros(12, bool))):
        output = tmp_path / f"{name}.parquet"
        meet_adversarials(subject(name), surely(plan, SemanticTransfer()), adversarials, ("none", 1), output, batch=5)
        frame, record = read_semantic_transfer(output)
        assert (record.condition, record.source_condition, record.source_seed) == (name, "none", 1)
        assert record.settings["confidence"] == 0.9 and record.axis == "swapped channels"
        assert len(frame) == 24 and frame["clean_correct"].all() and frame["source_correct"].all()
        last = frame[frame["strength"] == 1]
        assert (last["source_broken"].to_numpy() == swapped.numpy()).all()
        assert (last["success"].to_numpy() == expected).all(), name
        assert (last["answer"].to_numpy() == (shown if name == "colour" else labels.numpy())).all(), name
        assert not frame[frame["strength"] == 0]["success"].any()


def test_pictures_for_readers_are_the_first_that_broke(planted, tmp_path):
    subject, plan, images, labels = planted
    all_of_them = read_semantic_adversarials(lend(planted, tmp_path))
    found, colour = read_lent_pictures(tmp_path / "tadv-pictures.npz"), ByColourOf(images, labels)
    swapped = colour(images.flip(1)).argmax(1)
    broken = (swapped != labels).nonzero().flatten()[:4].numpy()
    assert len(broken) and (found.image == all_of_them.image[broken]).all() and found.strength == 1
    assert np.allclose(found.clean, images.permute(0, 2, 3, 1).numpy()[broken])
    assert (found.adversarial == all_of_them.adversarial[broken, 1]).all()
    assert (found.answer == swapped.numpy()[broken]).all() and (found.label == labels.numpy()[broken]).all()
    lend(planted, tmp_path, "green")
    assert read_lent_pictures(tmp_path / "tadv-pictures.npz").clean.shape == (0, *found.clean.shape[1:]), "none broke"


def test_adversarials_of_other_images_or_strengths_are_refused(planted, tmp_path):
    subject, plan, *_ = planted
    path = lend(planted, tmp_path)
    found = read_semantic_adversarials(path)
    given = (subject("green"), surely(plan, SemanticTransfer()))
    write_semantic_adversarials(path, replace(found, label=(found.label + 1) % 4))
    with pytest.raises(InputError, match=r"tadv\.npz: made for other images than .*; delete it and run again"):
        meet_adversarials(*given, path, ("none", 1), tmp_path / "x.parquet")
    write_semantic_adversarials(path, replace(found, strengths=np.array([0.0, 2.0])))
    with pytest.raises(InputError, match=r"made at strengths \[0\.0, 2\.0\], not \[0\.0, 1\.0\]; delete it"):
        meet_adversarials(*given, path, ("none", 1), tmp_path / "x.parquet")


def given_study(project, **changes):
    return {**yaml.safe_load((project / "config/semantic.yaml").read_text()), **changes}


def test_all_networks_of_a_seed_meet_one_surrogate_and_none_its_own(project):
    study = read_study(given_study(project, seeds=[0, 3, 7]))
    met = {name: study.surrogate(name) for name in study.networks()}
    assert all(lender.condition == "none" and lender.seed != name.seed for name, lender in met.items())
    for seed, following in ((0, 3), (3, 7), (7, 0)):
        assert {lender.seed for name, lender in met.items() if name.seed == seed} == {following}
    alone = read_study(given_study(project, seeds=[0]))
    own = NetworkName("phantom-faces", "small", "none", 0)
    assert alone.surrogate(own) == own, "with one seed `none` is left out of the transfer"


def test_a_task_without_none_has_nobody_to_lend(project):
    given = given_study(project)
    given["tasks"]["phantom-faces"]["conditions"] = ["FFA", "FFA-shuffled"]
    with pytest.raises(InputError, match=r"config\.semantic\.transfer: the task 'phantom-faces' trains no 'none'"):
        read_study(given)
    given = given_study(project)
    given["semantic"]["transfer"] = {"confidence": 1}
    with pytest.raises(InputError, match=r"config\.semantic\.transfer\.confidence: 1: .*< 1"):
        read_study(given)


def jobs(text):
    table = text.rsplit("Job stats:", 1)[1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"(?m)^(\w+)\s+(\d+)$", table)}


@pytest.mark.slow
def test_one_attack_per_surrogate_and_one_pass_per_network(snakemake, project, tmp_path):
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(given_study(project, seeds=[0, 1])))
    counts = jobs(snakemake("-n", "--configfile", tmp_path / "two.yaml", "--", "all", directory=tmp_path).text)
    assert counts["lend_semantic"] == 5 * 2, "five attacks on `none` of two seeds"
    assert counts["transfer_semantic"] == counts["attack_semantic"] == 3 * 6 + 2 * 2
