"""Training of one network: cross-entropy, and the pull of its features towards a target.

    L = (1 - w) CE(head(f), label) + w loss(neural_head(f) or f, target)        (Shao et al. 2024)

The condition `none` has the same L without its second term: the same CE weight, optimiser and random streams. It is bit
for bit what a condition gives whose neural gradient is zero. A reference has another first term and no second one.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, provenance, save_weights, write_json, write_parquet
from neurobust.core.seeding import derive_seed, seed_everything
from neurobust.core.similarity import debiased_cka
from neurobust.core.training import clear_checkpoint, pick_device, train_epochs
from neurobust.networks.architectures import Classifier, build_network
from neurobust.networks.batches import AUGMENTATIONS, epoch_batches, in_order, read_ahead, to_pixels
from neurobust.networks.layers import PENULTIMATE, LayerMixture, Layers
from neurobust.networks.losses import LOSSES
from neurobust.networks.manifolds import ClassTarget, Manifolds, fit_manifolds
from neurobust.networks.pairs import PairBatch, Pairs
from neurobust.networks.recipe import OPTIMIZERS, SCHEDULES, WEIGHT_SCHEDULES, resolve_recipe
from neurobust.networks.references import reference_loss
from neurobust.networks.source import TEST, TRAIN, VALIDATION
from neurobust.networks.targets import NeuralTarget
from neurobust.networks.tasks import Dataset, load_dataset

CKA_ROWS = 2000  # test images whose n x n Gram matrices measure the alignment


def train_network(
    dataset: Path,
    predictors: Sequence[Path],
    recipe: Mapping[str, Any],
    seed: int,
    model: Path,
    metrics: Path,
    history: Path,
    checkpoint: Path | None,
    names: Mapping[str, Any],
    eval_batch: int = 256,
    files: Mapping[str, Sequence[Path]] | None = None,
) -> None:
    """Train one network of a task and write its weights, its metrics and its history (one row per epoch).

    `dataset` is a `dataset.h5`; `predictors` the weights of the target's predictors, none for the condition `none`;
    `recipe` as in `recipe.DEFAULTS`; `names` (task, architecture, condition) go into the metrics as they are. A killed
    run goes on from `checkpoint`, which is removed at the end. `eval_batch` images bound the memory of evaluation.
    `files` are read by some conditions: see `targets.NeuralTarget` and, as `responses` and `stimuli`, `pairs.Pairs`.
    Raises InputError for a recipe, dataset or predictor that cannot be used, and if the loss is no longer finite.
    """
    start = time.monotonic()
    recipe = resolve_recipe(recipe)
    data = load_dataset(Path(dataset))
    files = {name: [Path(path) for path in paths] for name, paths in (files or {}).items() if paths}
    measured = recipe["condition"].get("pairs", False)
    if measured != ("responses" in files):
        raise InputError("recipe.condition.pairs: measured responses go with their files, and with no other condition")
    if (recipe["condition"]["target"] is None or measured) != (len(predictors) == 0):
        raise InputError(
            f"recipe.condition.target: {recipe['condition']['target']!r} goes with {len(predictors)} predictor files; "
            "a target needs at least one and `none` takes no predictor"
        )
    inputs = {"dataset": dataset, **{f"predictor{i}": path for i, path in enumerate(predictors)}}
    inputs.update({f"{name}{i}": path for name, paths in files.items() for i, path in enumerate(paths)})
    record = provenance(inputs, params=recipe, seed=seed)
    trainer = Trainer(data, predictors, recipe, seed, eval_batch, files)
    prepared = time.monotonic() - start
    rows = train_epochs(
        parts={"model": trainer.network, "optimiser": trainer.optimiser, "schedule": trainer.schedule},
        run_epoch=trainer.run_epoch,
        epochs=recipe["epochs"],
        seed=seed,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        fingerprint=canonical_json(record),
        label=f"{names.get('condition', 'network')} seed{seed}",
    )
    summary = {**names, "seed": seed, **trainer.summary(), "provenance": record}
    # over all sessions of a resumed run: the time of each epoch travels with the checkpoint
    summary["seconds"] = prepared + sum(row["seconds"] for row in rows)
    config = {key: recipe[key] for key in ("architecture", "stem")}
    config.update(num_classes=len(data.classes), image_size=data.images.shape[1], classes=data.classes)
    config.update({key: getattr(trainer.network, key).flatten().tolist() for key in ("mean", "std")})
    save_weights(model, trainer.network.state_dict(), {**config, **names, "seed": seed, "provenance": record})
    write_history(history, rows, {**names, "seed": seed, "provenance": record})
    write_json(metrics, summary)
    clear_checkpoint(None if checkpoint is None else Path(checkpoint))


def write_history(path: Path, rows: Sequence[Mapping[str, float]], attrs: Mapping[str, Any]) -> None:
    """Write one row per epoch, without the time each took (the same inputs give the same bytes)."""
    import pandas as pd

    write_parquet(path, pd.DataFrame(rows).drop(columns="seconds"), attrs)


class Trainer:
    """A network with its optimiser, schedule and target: `run_epoch` trains, `summary` measures."""

    def __init__(
        self,
        data: Dataset,
        predictors: Sequence[Path],
        recipe: Mapping[str, Any],
        seed: int,
        eval_batch: int,
        files: Mapping[str, Sequence[Path]] | None = None,
    ):
        self.data, self.recipe, self.seed, self.eval_batch = data, recipe, seed, eval_batch
        self.device = pick_device()
        if self.device.type == "cuda":
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        self.condition = condition = recipe["condition"]
        self.weight, self.reference = condition["weight"], condition.get("reference")
        self.loss = LOSSES[condition["loss"]] if condition["target"] is not None else None
        self.target = self.pairs = self.layers = self.manifolds = None
        if condition.get("pairs"):
            shown = files["responses"], files["stimuli"], data.images.shape[1]
            self.pairs = Pairs(*shown, condition["control"], seed, recipe["batch_size"], self.device)
        elif self.loss is not None:
            self.target = NeuralTarget(
                predictors, data, condition["control"], seed, eval_batch, self.device, condition, files
            )
            if self.loss.by_class:
                self.manifolds = self._fit_manifolds()
        self.augment = AUGMENTATIONS[recipe["augment"]]
        self.rows = data.rows(TRAIN)
        smallest = min(len(batch) for batch in self.batches(0))
        least = max(2, self.loss.min_batch if self.loss else 0)  # batch statistics need two images
        if smallest < least:
            raise InputError(f"recipe.batch_size: batches of {smallest} images are too small here; at least {least}")
        self.network = self._make_network().to(self.device)
        if self.device.type == "cuda":
            self.network = self.network.to(memory_format=torch.channels_last)
        self.optimiser = OPTIMIZERS[recipe["optimizer"]](self.network.parameters(), recipe)
        self.steps = recipe["epochs"] * len(self.batches(0))
        factor = SCHEDULES[recipe["schedule"]]
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, lambda step: factor(step / self.steps))
        self.weight_factor = WEIGHT_SCHEDULES[condition.get("schedule", "constant")]

    def _make_network(self) -> Classifier:
        seed_everything(self.seed, "network")
        network = build_network(
            self.recipe["architecture"],
            len(self.data.classes),
            stem=self.recipe["stem"],
            pretrained=self.recipe["pretrained"],
            image_size=self.data.images.shape[1],
        )
        if self.loss is None:
            return network
        names, pool = self.condition.get("layers", [PENULTIMATE]), self.condition.get("pool", 1)
        self.layers = Layers(network, names, pool, self.recipe["architecture"], self.data.images.shape[1])
        # after the backbone and from its own stream: `none` starts from the very same network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "neural head"))
            if self.loss.needs_head:
                network.neural_head = nn.Linear(sum(self.layers.widths), (self.pairs or self.target).dim)
            elif self.loss.mixes_layers:
                network.neural_head = LayerMixture(self.layers.widths)
        return network

    def _fit_manifolds(self) -> Manifolds:
        rows = self.data.rows(TRAIN)
        manifolds = fit_manifolds(
            self.target.cached(rows), torch.from_numpy(self.data.labels[rows]), len(self.data.classes)
        )
        return manifolds.to(self.device)

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Training rows of each batch of an epoch."""
        return epoch_batches(self.rows, self.recipe["batch_size"], self.seed, epoch)

    def run_epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch; give its mean losses and accuracy on the fly, then those on the validation images."""
        start = time.monotonic()
        self.network.train()
        sums = torch.zeros(4, dtype=torch.float64, device=self.device)
        keys = [(step, rows, epoch) for step, rows in enumerate(self.batches(epoch))]
        for step, (rows, images, partners) in enumerate(read_ahead(self._read, keys)):
            labels = torch.from_numpy(self.data.labels[rows]).to(self.device)
            target = self._target((epoch, step), rows, partners, labels)
            sums += len(rows) * self._step(to_pixels(images, self.device), labels, target)
        loss, cross_entropy, neural, accuracy = (sums / len(self.rows)).tolist()
        if not math.isfinite(loss):
            rate = self.recipe["learning_rate"]
            raise InputError(f"recipe.learning_rate: {rate}: the loss is not finite in epoch {epoch}; lower it")
        held_out = self.evaluate(self.data.rows(VALIDATION))
        return {
            "loss": loss,
            "cross_entropy": cross_entropy,
            "neural_loss": neural if self.loss else math.nan,
            "train_accuracy": accuracy,
            "validation_accuracy": held_out["accuracy"],
            "validation_alignment": held_out["alignment"],
            "learning_rate": self.schedule.get_last_lr()[0],
            "seconds": time.monotonic() - start,
        }

    def _target(
        self, place: tuple[int, int], rows: np.ndarray, partners: np.ndarray | None, labels: Tensor
    ) -> Tensor | ClassTarget | PairBatch | None:
        """What the loss compares the features with at a place (epoch, step); None without a target."""
        if self.pairs is not None:
            return self.pairs.draw(*place)
        if self.target is None:
            return None
        if self.manifolds is not None:
            return self.manifolds.of(labels)
        if partners is None:
            return self.target.cached(rows)
        return self.target.live(partners, self.target.partners[rows])

    def _read(self, key: tuple[int, np.ndarray, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Rows, images and, where the predictor must see augmented pixels, the images of the rows' partners."""
        step, rows, epoch = key
        images = self.data.images[rows]
        if self.augment is None:
            return rows, images, None
        stream = (self.seed, "augment", epoch, step)
        partners = None
        if self.target is not None and self.manifolds is None:
            partners = self.augment(self.data.images[self.target.partners[rows]], *stream)
        return rows, self.augment(images, *stream), partners

    def _step(self, pixels: Tensor, labels: Tensor, target: Tensor | ClassTarget | PairBatch | None) -> Tensor:
        """One optimiser step; the batch's loss, cross-entropy, neural loss and accuracy, still on the device."""
        neural = torch.zeros((), device=self.device)
        with self._autocast():
            if self.reference is not None:
                logits, cross_entropy = reference_loss(self.network, pixels, labels, self.reference)
            else:
                features = self.network.features(pixels)
                logits = self.network.head(features)
                cross_entropy = nn.functional.cross_entropy(logits.float(), labels)
            if isinstance(target, PairBatch):  # the network's second pass of this step, over the stimuli
                compared, target = self._compared(target.pixels, None, target.columns), target.responses
            elif target is not None:
                compared = self._compared(pixels, features)
        total = (1 - self.weight) * cross_entropy
        if target is not None:
            neural = self.loss.function(compared.float(), target)
            total = total + self.weight * self.weight_factor(self.schedule.last_epoch / self.steps) * neural
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.optimiser.step()
        self.schedule.step()
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        return torch.stack([total.detach(), cross_entropy.detach(), neural.detach(), accuracy]).double()

    def _compared(self, pixels: Tensor, features: Tensor | None, columns: slice = slice(None)) -> Tensor:
        """What the loss sees of a pass, whose `features` may be there already: the layers, behind the neural head."""
        layers = self.layers.collect(self.network.features(pixels) if features is None else features)
        compared = layers if self.network.neural_head is None else self.network.neural_head(layers)
        return compared[:, columns] if self.loss.needs_head else compared

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.device.type == "cuda":
            return torch.autocast("cuda", torch.bfloat16)
        return contextlib.nullcontext()

    @torch.inference_mode()
    def evaluate(self, rows: np.ndarray, align: bool = True) -> dict[str, float]:
        """Accuracy and, with `align`, alignment (mean r of neural head and target) and CKA; NaN where undefined.

        In float32 and eval mode, as the attacks will see the network. `align` keeps the outputs of all rows in memory.
        """
        if len(rows) == 0:
            return {"accuracy": math.nan, "alignment": math.nan, "cka": math.nan}
        self.network.eval()
        hits, features, predictions = 0, [], []
        for group in read_ahead(lambda part: (part, self.data.images[part]), in_order(rows, self.eval_batch)):
            part = self.network.features(to_pixels(group[1], self.device))
            hits += int((self.network.head(part).argmax(1).cpu().numpy() == self.data.labels[group[0]]).sum())
            if align and self.target is not None:
                features.append(self.layers.collect(part))
                if self.loss.needs_head:
                    predictions.append(self.network.neural_head(features[-1]))
        result = {"accuracy": hits / len(rows), "alignment": math.nan, "cka": math.nan}
        if align and self.pairs is not None:
            return result | self._evaluate_pairs(int(self.data.split[rows[0]]))
        if predictions:
            result["alignment"] = mean_correlation(torch.cat(predictions), self.target.cached(rows))
        if features and len(rows) >= 4:
            shown = rows[:CKA_ROWS]
            result["cka"] = debiased_cka(torch.cat(features)[:CKA_ROWS], self.target.cached(shown)).item()
        return result

    def _evaluate_pairs(self, split: int) -> dict[str, float]:
        """Alignment and CKA on held-out stimuli and their measured responses, averaged over subjects."""
        head = self.network.neural_head if self.loss.needs_head else None

        def correlation(layers: Tensor, responses: Tensor, columns: slice) -> float:
            return math.nan if head is None else mean_correlation(head(layers)[:, columns], responses)

        def cka(layers: Tensor, responses: Tensor, columns: slice) -> float:
            return debiased_cka(layers[:CKA_ROWS], responses[:CKA_ROWS]).item()

        def layers(pixels: Tensor) -> Tensor:
            return self.layers.collect(self.network.features(pixels))

        return self.pairs.compare(split, {"alignment": correlation, "cka": cka}, layers)

    def summary(self) -> dict[str, Any]:
        """Final accuracies, alignments and counts; None where a number is not defined."""
        test = self.evaluate(self.data.rows(TEST))
        train, validation = (self.evaluate(self.data.rows(part), align=False) for part in (TRAIN, VALIDATION))
        numbers = {
            "clean_accuracy": test["accuracy"],
            "train_accuracy": train["accuracy"],
            "validation_accuracy": validation["accuracy"],
            "alignment": test["alignment"],
            "alignment_cka": test["cka"],
        }
        return {
            **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
            "target_dim": (self.pairs or self.target).dim if self.loss else None,
            "n_train": len(self.rows),
            "n_test": int((self.data.split == TEST).sum()),
        }


def mean_correlation(prediction: Tensor, target: Tensor) -> float:
    """Mean over columns of Pearson's r between two (N, D) tensors, in float64; constant columns are left out."""
    x, y = (part.double() - part.double().mean(0) for part in (prediction, target))
    scale = (x.square().sum(0) * y.square().sum(0)).sqrt()
    defined = scale > 1e-9 * len(x)
    if not defined.any():
        return math.nan
    return ((x * y).sum(0)[defined] / scale[defined]).mean().item()
