"""The auxiliary networks: gates that an untrained network fails and a trained one passes, files, resumption."""

import json

import pytest
import torch
from msgspec import to_builtins

from neurobust.attacks.helpers import Helpers
from neurobust.attacks.images import to_batch
from neurobust.attacks.semantic.fit import load_auxiliary, train_helper
from neurobust.attacks.semantic.gates import chance_corrected, gate
from neurobust.attacks.semantic.oracle import Oracle
from neurobust.attacks.semantic.plan import read_helper
from neurobust.attacks.semantic.registry import HELPERS, helper_modules
from neurobust.attacks.semantic.texture import TextureTrainer
from neurobust.attacks.semantic.verification import pair_distances, threshold_at
from neurobust.core.errors import InputError
from neurobust.core.places import load
from neurobust.core.sources import source_files
from neurobust.files.auxiliary import all_passed, read_auxiliary_record

pytestmark = pytest.mark.slow

TINY = {"width": 4, "epochs": 1, "batch_size": 32}


def train(kind, faces, folder, others=None, checkpoint=None, **settings):
    files = folder / f"{kind}.safetensors", folder / f"{kind}.json"
    return train_helper(kind, faces, read_helper(kind, settings), *files, checkpoint, others)


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory):
    """A folder with an oracle and a colouriser that learnt enough to pass their gates, and their gates."""
    folder = tmp_path_factory.mktemp("auxiliary")
    gates = {"oracle": train("oracle", faces, folder, width=6, epochs=14, batch_size=16, learning_rate=5e-3)}
    gates["colouriser"] = train("colouriser", faces, folder, width=6, epochs=12, phase=0.0)
    return folder, gates


def test_gates_compare_and_refuse_what_is_no_number():
    assert gate("g", 2, 1).passed and not gate("g", 0.5, 1).passed and gate("g", 0.5, 1, at_most=True).passed
    broken = gate("g", float("nan"), 1, at_most=True)
    assert not broken.passed and broken.value is None
    assert all_passed([gate("a", 1, 0)]) and not all_passed([]) and not all_passed([gate("a", 1, 0), broken])
    assert chance_corrected(0.25, 4) == 0 and chance_corrected(1, 4) == 1


def test_an_untrained_network_fails_its_gates(faces, data, tmp_path):
    others = {"oracle": Oracle(4, 4, 4).eval().requires_grad_(False)}
    for kind in HELPERS:
        settings = read_helper(kind, {"widths": (4, 4, 8, 8, 8)} if kind == "texture" else {"width": 4})
        torch.manual_seed(0)
        fresh = load(settings.trainer)(kind, data, settings, others)
        fresh.network.eval().requires_grad_(False)
        gates = fresh.gates()
        assert gates and not all_passed(gates), kind
        assert len({entry.gate for entry in gates}) == len(gates)


def test_a_trained_one_passes(trained):
    for kind, gates in trained[1].items():
        assert all_passed(gates), (kind, gates)


def test_files_carry_the_network_its_gates_and_its_origin(trained, faces, data):
    folder, gates = trained
    record = json.loads((folder / "oracle.json").read_text())
    assert record["passed"] and record["gates"] == to_builtins(gates["oracle"]) and len(record["history"]) == 14
    assert record["provenance"]["inputs"]["dataset"]["sha256"] and record["provenance"]["seed"] == 1000
    assert [entry.network for entry in Helpers({}, {"oracle": folder / "oracle.json"}).gates()] == ["oracle"] * 2
    oracle = load_auxiliary(folder / "oracle.safetensors", "oracle")
    assert not oracle.training and not any(p.requires_grad for p in oracle.parameters())
    rows = data.held_out()
    hits = (oracle(to_batch(data, rows, torch.device("cpu"))).argmax(1).numpy() == data.labels[rows]).mean()
    assert f"accuracy {hits:.3f}" in gates["oracle"][0].note
    with pytest.raises(InputError, match="holds the network 'oracle', not 'texture'"):
        load_auxiliary(folder / "oracle.safetensors", "texture")


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(faces, tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    settings = {"widths": (4, 4, 8, 8, 8), "epochs": 2}
    train("texture", faces, tmp_path / "whole", checkpoint=tmp_path / "whole" / ".c.pt", **settings)
    kind, steps = TextureTrainer, []
    step = kind.step

    def killed(self, rows, epoch):
        steps.append(epoch)
        if epoch == 1:
            raise KeyboardInterrupt
        return step(self, rows, epoch)

    monkeypatch.setattr(kind, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train("texture", faces, tmp_path / "parts", checkpoint=tmp_path / "parts" / ".c.pt", **settings)
    monkeypatch.setattr(kind, "step", lambda self, rows, epoch: steps.append(10 + epoch) or step(self, rows, epoch))
    assert not (tmp_path / "parts/texture.safetensors").exists(), "no partial output"
    train("texture", faces, tmp_path / "parts", checkpoint=tmp_path / "parts" / ".c.pt", **settings)
    assert set(steps) == {0, 1, 11}, "the first epoch is not trained again"
    for name in ("texture.safetensors", "texture.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    assert not (tmp_path / "parts/.c.pt").exists()


def test_an_editor_splits_into_encoder_and_decoder_and_its_training_runs(faces, trained, tmp_path):
    train("editor", faces, tmp_path, others={"oracle": trained[0] / "oracle.safetensors"}, blocks=1, **TINY)
    editor = load_auxiliary(tmp_path / "editor.safetensors", "editor")
    images, code = torch.rand(2, 3, 16, 16), torch.tensor([[0.0, 1, 0, 1], [1.0, 1, 0, 0]])
    assert torch.equal(editor.decode(editor.encode(images, code)), editor(images, code))
    assert torch.allclose(editor(images, code)[:1], editor(images[:1], code[:1]), atol=1e-6)
    names = {entry.gate for entry in read_auxiliary_record(tmp_path / "editor.json").gates}
    assert "turned attributes that the oracle sees" in names and len(names) == 4


def test_threshold_lets_at_most_its_share_of_impostors_pass():
    impostors = torch.arange(1, 2001, dtype=torch.float32)
    for rate, allowed in ((1e-3, 2), (0.1, 200), (0.0, 0)):
        assert (impostors <= threshold_at(impostors, rate)).sum() == allowed
    tied = torch.ones(2000)
    assert (tied <= threshold_at(tied, 1e-3)).sum() == 0, "ties count against it"
    people = torch.tensor([0, 0, 1])
    own, others = pair_distances(torch.tensor([[1.0, 0], [0, 1.0], [1.0, 0]]), people)
    assert own.tolist() == [2.0] and sorted(others.tolist()) == [0.0, 2.0]


def test_bad_settings_and_tasks_are_one_line(faces, tmp_path):
    with pytest.raises(InputError, match="unknown key 'widht'"):
        train("oracle", faces, tmp_path, widht=3)
    import h5py
    import numpy as np

    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["images"], file["labels"] = np.zeros((4, 16, 16, 3), np.uint8), np.array([0, 1, 0, 1])
        file["split"] = np.array([0, 0, 1, 2], np.uint8)
        file.attrs["task"], file.attrs["classes"] = "plain", '["a", "b"]'
    with pytest.raises(InputError, match="task 'plain' has no attributes to edit"):
        train("editor", tmp_path / "plain.h5", tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_helper_s_sources_are_its_own(project):
    """A line of one auxiliary network trains no other again, except those that read it."""
    script = project / "workflow/scripts/attacks/train_helper.py"
    of = {name: {path.name for path in source_files(script, *helper_modules(name))} for name in HELPERS}
    for name, files in of.items():
        assert {"trainer.py", "fit.py", f"{name}.py", f"{name}_settings.py"} <= files
        assert not {"evaluate.py", "cadv.py", "tadv.py", "semanticadv.py", "measured.py", "engine.py"} & files
    assert {name for name, files in of.items() if "editor.py" in files} == {"editor"}
    assert {name for name, files in of.items() if "colouriser.py" in files} == {"colouriser"}
    assert {name for name, files in of.items() if "oracle_settings.py" in files} == {"oracle", "editor"}
