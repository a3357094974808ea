"""The files of the contract: what a module writes, its reader gives back, under the names that others know."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurobust.core.errors import InputError
from neurobust.core.io import read_json, read_parquet
from neurobust.files.adversarials import Adversarials, adversarials_path, read_adversarials, write_adversarials
from neurobust.files.attack_table import AttackRecord, read_attack_table, write_attack_table
from neurobust.files.auxiliary import (
    AuxiliaryRecord,
    Gate,
    all_passed,
    auxiliary_record_path,
    auxiliary_weights_path,
    read_auxiliary_record,
    write_auxiliary_record,
)
from neurobust.files.canaries import Canary, CanaryRecord, read_canaries, write_canaries
from neurobust.files.checks import Check, read_checks, write_checks
from neurobust.files.corruption_table import CorruptionRecord, read_corruption_table, write_corruption_table
from neurobust.files.corruptions import Corrupted, corruptions_path, open_corruptions, write_corruptions
from neurobust.files.examples import Examples, read_examples, write_examples
from neurobust.files.explained import (
    COLUMNS,
    ExplainedRecord,
    read_explained,
    read_explained_arrays,
    write_explained,
    write_explained_arrays,
)
from neurobust.files.network_history import history_path
from neurobust.files.network_metrics import NetworkMetrics, read_metrics, write_metrics
from neurobust.files.predictor_tables import (
    PredictorMetrics,
    map_path,
    predictor_metrics_path,
    read_voxels,
    write_predictor_metrics,
    write_voxels,
)
from neurobust.files.records import read_arrays
from neurobust.files.semantic_adversarials import lent_pictures_path, semantic_adversarials_path
from neurobust.files.semantic_table import (
    SemanticExamples,
    SemanticRecord,
    read_semantic_examples,
    read_semantic_table,
    semantic_examples_path,
    semantic_table_path,
    write_semantic_examples,
    write_semantic_table,
)
from neurobust.files.semantic_transfer_table import read_semantic_transfer, semantic_transfer_path
from neurobust.files.shifted import ShiftedImages, open_shifted, shifted_path, write_shifted
from neurobust.files.shifted_table import shifted_table_path
from neurobust.files.transfer_table import TransferRecord, read_transfer_table, write_transfer_table
from neurobust.files.verification_table import verification_examples_path, verification_table_path
from neurobust.files.weights import network_weights_path, predictor_weights_path

NETWORK = "digits/resnet18/none/seed0"
GATE = Gate(gate="accuracy", value=0.9, threshold=0.5, at_most=False, passed=True)
WHOSE = {"task": "digits", "architecture": "resnet18", "condition": "none", "seed": 0}


def test_paths_take_names_and_wildcards_alike():
    found = {
        adversarials_path("r", NETWORK): f"r/attacks/{NETWORK}/transfer.npz",
        corruptions_path("r", "{task}"): "r/attacks/{task}/corruptions.h5",
        shifted_path("r", "{task}", "{shifted}"): "r/attacks/{task}/shifted/{shifted}.h5",
        shifted_table_path("r", NETWORK, "c"): f"r/attacks/{NETWORK}/shifted/c.parquet",
        auxiliary_weights_path("r", "{task}", "{helper}"): "r/attacks/{task}/auxiliary/{helper}.safetensors",
        auxiliary_record_path("r", "{task}", "oracle"): "r/attacks/{task}/auxiliary/oracle.json",
        semantic_table_path("r", NETWORK, "cadv"): f"r/attacks/{NETWORK}/semantic/cadv.parquet",
        semantic_examples_path("r", NETWORK, "{semantic}"): f"r/attacks/{NETWORK}/semantic/{{semantic}}.npz",
        semantic_adversarials_path("r", NETWORK, "cadv"): f"r/attacks/{NETWORK}/semantic/transfer/cadv.npz",
        lent_pictures_path("r", NETWORK, "cadv"): f"r/attacks/{NETWORK}/semantic/transfer/cadv-pictures.npz",
        semantic_transfer_path("r", NETWORK, "cadv"): f"r/attacks/{NETWORK}/semantic/transfer/cadv.parquet",
        verification_table_path("r", NETWORK): f"r/attacks/{NETWORK}/verification.parquet",
        verification_examples_path("r", "{task}"): "r/attacks/{task}/verification.npz",
        history_path("r", NETWORK): f"r/networks/{NETWORK}/history.parquet",
        network_weights_path("r", NETWORK): f"r/networks/{NETWORK}/model.safetensors",
        predictor_weights_path("r", "gnet", "V1", "{seed}"): "r/predictors/gnet/V1/seed{seed}/model.safetensors",
        predictor_metrics_path("r", "gnet", "{roi}", 0): "r/predictors/gnet/{roi}/seed0/metrics.json",
        map_path("r", "gnet", "V1", 0, "subj01", "r"): "r/predictors/gnet/V1/seed0/maps/subj01_r.nii.gz",
    }
    assert [str(path) for path in found] == list(found.values())


def test_checks_and_canaries_come_back(tmp_path):
    checks = [Check("reach", True, "pgd", 2.5, "long enough"), Check("logits", False)]
    write_checks(tmp_path / "checks.json", checks)
    assert read_checks(tmp_path / "checks.json") == checks
    assert [entry.label for entry in checks] == ["reach/pgd", "logits"]
    first = {"check": "reach", "attack": "pgd", "passed": True, "value": 2.5, "note": "long enough"}
    assert read_json(tmp_path / "checks.json")[0] == first
    canaries = [Canary("linear", [], [], True, 1.01, "")]
    write_canaries(tmp_path / "canaries.json", CanaryRecord(canaries, 48, 0.99, ["pgd"], {"seed": 0}))
    assert read_canaries(tmp_path / "canaries.json") == canaries
    assert set(read_json(tmp_path / "canaries.json")) == {
        "canaries", "images", "train_accuracy", "attacks", "provenance",
    }  # fmt: skip


def test_gates_travel_without_their_network_and_are_shown_with_it(tmp_path):
    write_auxiliary_record(tmp_path / "oracle.json", AuxiliaryRecord(network="oracle", gates=[GATE], passed=True))
    assert read_auxiliary_record(tmp_path / "oracle.json").gates == [GATE]
    assert set(read_json(tmp_path / "oracle.json")["gates"][0]) == {
        "gate", "value", "threshold", "at_most", "passed", "note",
    }  # fmt: skip
    own = GATE.of("oracle")
    assert (own.network, own.gate, own.value) == ("oracle", "accuracy", 0.9)
    assert all_passed([GATE, own]) and not all_passed([])
    (tmp_path / "other.json").write_text('{"gates": []}')
    with pytest.raises(InputError, match=r"other\.json: not the record of an auxiliary network"):
        read_auxiliary_record(tmp_path / "other.json")


def test_tables_come_back_with_how_they_were_made(tmp_path):
    frame = pd.DataFrame({"image": [3, 3], "budget": [0.0, 1.0], "clean_correct": True, "success": [False, True],
                          "n_forward": 1.0, "n_backward": 0.0})  # fmt: skip
    record = AttackRecord(**WHOSE, attack="fgsm", norm="linf", unit="1/255", settings={"steps": 1}, seconds=1.5)
    write_attack_table(tmp_path / "a.parquet", frame, record)
    rows, found = read_attack_table(tmp_path / "a.parquet")
    assert found == record and rows.equals(frame)
    assert "space" not in read_parquet(tmp_path / "a.parquet")[1], "of attacks on the neural head alone"
    write_transfer_table(tmp_path / "t.parquet", frame, TransferRecord("digits", "resnet18", {}, {}))
    assert read_transfer_table(tmp_path / "t.parquet").equals(frame)
    made = CorruptionRecord(
        **WHOSE, set="cifar", types=["snow", "spatter"], scored=["snow"], versions={}, provenance={}
    )  # fmt: skip
    write_corruption_table(tmp_path / "c.parquet", frame, made)
    assert read_corruption_table(tmp_path / "c.parquet")[1] == ["snow"]
    found = pd.DataFrame([("margin", "", "LO", 0.5, 0.4, 0.6, 2)], columns=list(COLUMNS))
    record = ExplainedRecord("margin", {}, 0, [3, 4])
    write_explained(tmp_path / "i.parquet", found, record)
    assert read_explained(tmp_path / "i.parquet")[0].equals(found)
    assert read_explained(tmp_path / "i.parquet")[1] == record
    write_explained_arrays(tmp_path / "i.parquet", {"map": np.eye(2)})
    assert (read_explained_arrays(tmp_path / "i.parquet")["map"] == np.eye(2)).all()
    assert read_parquet(tmp_path / "i.parquet")[1]["images"] == [3, 4]
    write_voxels(tmp_path / "v.parquet", frame, {"seed": 0})
    assert read_voxels(tmp_path / "v.parquet").equals(frame)


def test_metrics_come_back_under_their_names(tmp_path):
    metrics = NetworkMetrics(**WHOSE, clean_accuracy=0.9, seconds=3.0)
    write_metrics(tmp_path / "m.json", metrics)
    assert read_metrics(tmp_path / "m.json") == metrics
    assert read_json(tmp_path / "m.json")["alignment"] is None, "what was not measured is said to be so"
    write_predictor_metrics(tmp_path / "p.json", PredictorMetrics({"median_r": 0.3}, {"subj01": {}}, [], 7, {}))
    assert set(read_json(tmp_path / "p.json")) == {"all", "subjects", "history", "parameters", "provenance"}


def test_pictures_come_back(tmp_path):
    rows, images = np.arange(2), np.random.default_rng(0).random((2, 4, 4, 3), np.float32)
    write_adversarials(tmp_path / "t.npz", Adversarials(images, rows > 0, rows, rows))
    assert np.array_equal(read_adversarials(tmp_path / "t.npz").adversarial, images)
    write_examples(tmp_path / "e.npz", Examples(rows, rows, images, {"pgd": images / 2}, {"pgd": rows * 1.0}))
    found = read_examples(tmp_path / "e.npz")
    assert np.array_equal(found.adversarial["pgd"], images / 2) and found.budget["pgd"].tolist() == [0, 1]
    variants, notes = {"attack": images[:, None]}, {"attribute": np.array(["smiling", "glasses"])}
    shown = SemanticExamples(rows, rows, np.array([0.0]), rows, rows > 0, images, variants, notes)
    write_semantic_examples(tmp_path / "s.npz", shown)
    again = read_semantic_examples(tmp_path / "s.npz")
    assert list(again.variants) == ["attack"] and again.notes["attribute"].tolist() == ["smiling", "glasses"]
    frame = pd.DataFrame({"image": [1], "variant": "attack", "strength": 0.0, "success": False})
    record = SemanticRecord(**WHOSE, attack="cadv", axis="clusters", gates=[GATE.of("oracle")], gates_passed=True,
                            settings={}, seconds=1.0, verification={"checked": 1})  # fmt: skip
    write_semantic_table(tmp_path / "s.parquet", frame, record)
    assert read_semantic_table(tmp_path / "s.parquet")[1] == record
    with pytest.raises(InputError, match=r"s\.parquet: not rows of a semantic transfer .*; delete it and run again"):
        read_semantic_transfer(tmp_path / "s.parquet")


def damaged(path):
    """A file of arrays, as a full disk, a broken copy or another program leave it: name -> its bytes."""
    np.savez(path, a=np.arange(1000))
    whole = path.read_bytes()
    np.save(alone := BytesIO(), np.arange(3))
    flipped = whole[:200] + b"\xff" * 50 + whole[250:]
    return {"empty": b"", "cut": whole[:-30], "flipped": flipped, "npy": alone.getvalue(), "text": b"hello"}


@pytest.mark.parametrize("how", ["empty", "cut", "flipped", "npy", "text"])
def test_a_damaged_file_of_arrays_is_one_line(tmp_path, how):
    path = tmp_path / "a.npz"
    path.write_bytes(damaged(path)[how])
    with pytest.raises(InputError, match=r"a\.npz: not a readable file of arrays .*; delete it and run again") as error:
        read_arrays(path, ["a"])
    assert "\n" not in str(error.value)


def test_corrupted_images_come_back_in_their_places(tmp_path):
    images = np.arange(2 * 2 * 3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    about = Corrupted("digits", "cifar", ("snow", "fog"), (1, 2), np.array([5, 6, 9]), {"seed": 0})
    write_corruptions(tmp_path / "c.h5", about, (2, 2, 3), iter(images))
    with open_corruptions(tmp_path / "c.h5") as file:
        assert (file.task, file.set, list(file.types), list(file.severities)) == (
            "digits",
            "cifar",
            ["snow", "fog"],
            [1, 2],
        )
        assert file.images.shape == (2, 2, 3, 2, 2, 3) and file.image.tolist() == [5, 6, 9]
        # by type, then by row, then by severity
        assert file.images[0, :, 0, 0, 0, 0].tolist() == [0, 1] and file.images[1, 0, :, 0, 0, 0].tolist() == [6, 8, 10]
    Path(tmp_path / "c.h5").write_bytes(b"half")
    with (
        pytest.raises(InputError, match=r"c\.h5: not a readable file of corrupted images"),
        open_corruptions(tmp_path / "c.h5"),
    ):
        pass


def test_shifted_images_come_back_and_a_set_that_is_short_is_refused(tmp_path):
    images = np.arange(2 * 2 * 3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    about = ShiftedImages("cifar10", "cifar10-c", ("snow", "fog"), (1, 2), np.array([5, 6, 9]), np.arange(10))
    write_shifted(tmp_path / "s.h5", about, 2, iter([images[:5], images[5:]]), lambda: {"seed": 0})
    with open_shifted(tmp_path / "s.h5") as file:
        assert (file.task, file.kind, file.types, file.severities) == ("cifar10", "cifar10-c", ["snow", "fog"], [1, 2])
        assert file.labels.tolist() == [5, 6, 9] and file.classes.tolist() == list(range(10))
        assert file.images[:, :, :, 0, 0, 0].tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    for count in (11, 13):
        with pytest.raises(InputError, match=r"t\.h5: not \(2, 2, 3\) images in the set's files"):
            write_shifted(tmp_path / "t.h5", about, 2, iter([np.zeros((count, 2, 2, 3), np.uint8)]), dict)
    assert not (tmp_path / "t.h5").exists()
