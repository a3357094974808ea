"""Seeds and the training loop: a killed run ends like one that was not."""

import logging

import pytest
import torch
from torch import nn

from neurobust.core.seeding import derive_seed, numpy_rng
from neurobust.core.training import KeepBest, clear_checkpoint, load_checkpoint, save_checkpoint, train_epochs

SEED = 693637507253400143


def test_seeds_are_stable_and_named():
    assert derive_seed(0, "epoch", 3) == SEED, "a change of this number changes every result of every study"
    assert derive_seed(1, 23) != derive_seed(12, 3), "parts are kept apart"
    assert numpy_rng("a").integers(1000) == numpy_rng("a").integers(1000)


def train(folder, stop_at=None, epochs=6, **options):
    """Train a tiny network with dropout, Adam and a schedule; optionally die in an epoch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 1))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 2)
    x = torch.linspace(-1, 1, 40).reshape(10, 4)

    def run_epoch(epoch):
        if epoch == stop_at:
            raise KeyboardInterrupt
        for _ in range(3):
            optimiser.zero_grad()
            loss = (model(x[torch.randperm(10)[:6]]) - 1).square().mean()
            loss.backward()
            optimiser.step()
        schedule.step()
        return {"loss": loss.item(), "score": -abs(epoch - 2.0)}

    history = train_epochs(
        parts={"model": model, "optimiser": optimiser, "schedule": schedule}, run_epoch=run_epoch, epochs=epochs,
        seed=1, checkpoint=folder / "c.pt", fingerprint="f", label="t", **options,
    )  # fmt: skip
    return model.state_dict(), history


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("stop_at", range(6))
def test_resumed_is_bit_identical_to_undisturbed(tmp_path, stop_at):
    (tmp_path / "a").mkdir()
    whole, history = train(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_at=stop_at)
    resumed, again = train(tmp_path)
    assert same(whole, resumed)
    assert history == again


def test_best_epoch_is_kept_and_patience_stops(tmp_path):
    kept, history = train(tmp_path, keep=KeepBest("score", patience=2))
    assert [row["epoch"] for row in history] == [0, 1, 2, 3, 4]
    clear_checkpoint(tmp_path / "c.pt")
    short, _ = train(tmp_path, epochs=3)
    assert same(kept, short)


def test_a_checkpoint_of_other_settings_is_not_taken_up(tmp_path):
    train(tmp_path, epochs=2)
    saved = load_checkpoint(tmp_path / "c.pt")
    save_checkpoint(tmp_path / "c.pt", {**saved, "fingerprint": "other"})
    whole, history = train(tmp_path, epochs=2)
    assert len(history) == 2 and same(whole, train(tmp_path / "none", epochs=2)[0])


def test_a_corrupt_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_at=4)
    (tmp_path / "c.pt").write_bytes(b"torn")
    with caplog.at_level(logging.INFO, logger="neurobust"):
        resumed, _ = train(tmp_path)
    assert "unreadable checkpoint" in caplog.text and "resumed after epoch 3" in caplog.text
    whole, _ = train(tmp_path / "fresh")
    assert same(whole, resumed)


def test_a_checkpoint_never_unpickles_objects(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    (tmp_path / "c.pt").write_bytes(pickle.dumps(Evil()))
    assert load_checkpoint(tmp_path / "c.pt") is None
    assert not (tmp_path / "owned").exists()
