"""One network in training: its epochs, its steps, and what it is measured by."""

from __future__ import annotations

import contextlib
import math
import time

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.errors import InputError
from neurobust.core.reading import read_ahead
from neurobust.core.seeding import numpy_rng, seed_everything
from neurobust.core.training import pick_device, readers
from neurobust.files.dataset import Dataset
from neurobust.files.network_metrics import NetworkMetrics
from neurobust.files.pixels import to_pixels
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.networks.architectures import Classifier, build_network, load_network
from neurobust.networks.batches import AUGMENTATIONS, epoch_batches, in_order
from neurobust.networks.conditions import Recipe
from neurobust.networks.guidance import Both, Goal, Guidance
from neurobust.networks.inputs import NetworkInputs
from neurobust.networks.low_pass import matched_cutoff
from neurobust.networks.references import reference_loss
from neurobust.networks.schedules import OPTIMIZERS, SCHEDULES
from neurobust.networks.stores import SHARE, open_store
from neurobust.networks.versions import Versions

MATCHED_IMAGES = 128  # training images whose gradients say a cut-off
Place = tuple[int, int]  # (epoch, step)
Batch = tuple[np.ndarray, Tensor, Tensor | None]  # rows, images, images of the rows' partners


class Trainer:
    """A network with its optimiser, schedule and guidance: `run_epoch` trains, `summary` measures.

    `share`: see `stores.open_store`.
    """

    def __init__(
        self, inputs: NetworkInputs, data: Dataset, recipe: Recipe, seed: int, eval_batch: int, share: float = SHARE
    ):
        self.data, self.recipe, self.seed, self.eval_batch = data, recipe, seed, eval_batch
        self.device = pick_device()
        self.threads = readers(self.device)
        if self.device.type == "cuda":
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        condition, training = recipe.condition, recipe.training
        self.guidance: Guidance | None = None
        if condition.target is not None:
            self.guidance = Guidance(inputs, data, recipe, seed, eval_batch, self.device)
        self.stored = open_store(data.images, self.device, share)
        images = self._shown_images()
        self.shown = self.stored if images is data.images else open_store(images, self.device, share)
        self.augment = AUGMENTATIONS[training.augment]
        self.rows = data.rows(TRAIN)
        self.versions = self._fixed_versions()
        self._check_batches()
        self.guided = inputs.guided
        self.network = self._make_network().to(self.device)
        self.optimiser = OPTIMIZERS[training.optimizer](self.network.parameters(), training)
        self.steps = training.epochs * len(self.batches(0))
        factor = SCHEDULES[training.schedule]
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, lambda step: factor(step / self.steps))

    def _fixed_versions(self) -> Versions | None:
        """The augmented versions that images have, where they are fewer than the epochs."""
        training = self.recipe.training
        if self.augment is None or training.versions is None or training.versions >= training.epochs:
            return None
        versions = Versions(self.augment, training.versions, self.rows, self.data.images.shape[1:3], self.seed)
        if self.guidance is not None:
            self.guidance.keep(versions, self.stored, self.eval_batch)
        return versions

    def _check_batches(self) -> None:
        smallest = min(len(batch) for batch in self.batches(0))
        least = max(2, self.guidance.loss.min_batch if self.guidance else 0)  # batch statistics need two images
        if smallest < least:
            raise InputError(f"recipe.batch_size: batches of {smallest} images are too small here; at least {least}")

    def _shown_images(self) -> np.ndarray:
        """The images that it trains on: the task's own, or those that its reference names."""
        reference = self.recipe.condition.reference
        if reference is None:
            return self.data.images
        found: np.ndarray | None = getattr(self.data, reference.images)
        if found is None:
            raise InputError(
                f"{self.data.path}: no '{reference.images}', which the reference '{reference.kind}' trains on; leave "
                "it out of the task's `conditions`"
            )
        return found

    def _cutoff(self) -> float | None:
        """Cut-off of the filter that the network begins with: its reference's, or that of the network it names."""
        reference = self.recipe.condition.reference
        if reference is None or reference.matched is None:
            return None if reference is None else reference.low_pass
        rows = np.sort(numpy_rng(self.seed, "low-pass").permutation(self.rows)[:MATCHED_IMAGES])
        network = load_network(self.guided[0]).to(self.device)
        return matched_cutoff(
            network,
            to_pixels(self.data.images[rows], self.device),
            torch.from_numpy(self.data.labels[rows]).to(self.device),
        )

    def _make_network(self) -> Classifier:
        low_pass = self._cutoff()
        seed_everything(self.seed, "network")
        network = build_network(
            self.recipe.architecture,
            len(self.data.classes),
            stem=self.recipe.stem,
            pretrained=self.recipe.pretrained,
            image_size=self.data.side,
            low_pass=low_pass,
        )
        if self.guidance is not None:
            self.guidance.attach(network)
        return network

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Training rows of each batch of an epoch."""
        return epoch_batches(self.rows, self.recipe.training.batch_size, self.seed, epoch)

    def run_epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch; give its mean losses and accuracy on the fly, then those on the validation images."""
        start = time.monotonic()
        self.network.train()
        sums = torch.zeros(4, dtype=torch.float64, device=self.device)
        if self.guidance is not None and self.guidance.kept is not None:
            self.guidance.kept.prepare(epoch)
        keys = [((epoch, step), rows) for step, rows in enumerate(self.batches(epoch))]
        for step, (rows, images, partners) in enumerate(read_ahead(self._read, keys, self.threads)):
            labels = torch.from_numpy(self.data.labels[rows]).to(self.device)
            goal = self.guidance.goal((epoch, step), rows, partners, labels) if self.guidance else None
            sums += len(rows) * self._step(to_pixels(images, self.device), labels, goal)
        loss, cross_entropy, neural, accuracy = (sums / len(self.rows)).tolist()
        if not math.isfinite(loss):
            rate = self.recipe.training.learning_rate
            raise InputError(f"recipe.learning_rate: {rate}: the loss is not finite in epoch {epoch}; lower it")
        held_out = self.evaluate(self.data.rows(VALIDATION))
        return {
            "loss": loss,
            "cross_entropy": cross_entropy,
            "neural_loss": neural if self.guidance else math.nan,
            "train_accuracy": accuracy,
            "validation_accuracy": held_out["accuracy"],
            "validation_alignment": held_out["alignment"],
            "learning_rate": self.schedule.get_last_lr()[0],
            "seconds": time.monotonic() - start,
        }

    def _read(self, key: tuple[Place, np.ndarray]) -> Batch:
        """Rows, images and, where the predictor must see augmented pixels, the images of the rows' partners."""
        (epoch, step), rows = key
        if self.augment is None:
            return rows, self.shown.read(rows), None
        if self.versions is not None:
            windows = self.versions.windows(epoch, rows)
        else:
            stream = (self.seed, "augment", epoch, step)
            windows = self.augment(len(rows), *self.data.images.shape[1:3], *stream).windows()
        changed = self.shown.read(rows, windows)
        partners = self.guidance.partners_of(rows) if self.guidance else None
        if partners is None:
            return rows, changed, None
        if self.shown is self.stored and np.array_equal(partners, rows):
            return rows, changed, changed
        return rows, changed, self.stored.read(partners, windows)

    def _step(self, pixels: Tensor, labels: Tensor, goal: Goal | Both | None) -> Tensor:
        """One optimiser step; the batch's loss, cross-entropy, neural loss and accuracy, still on the device."""
        condition, pulled = self.recipe.condition, None
        neural = torch.zeros((), device=self.device)
        with self._autocast():
            if condition.reference is not None:
                logits, cross_entropy = reference_loss(self.network, pixels, labels, condition.reference)
            else:
                features = self.network.features(pixels)
                logits = self.network.head(features)
                cross_entropy = nn.functional.cross_entropy(logits.float(), labels)
                if self.guidance is not None and goal is not None:
                    pulled = self.guidance.compare(features, goal)
        total = (1 - condition.weight) * cross_entropy
        if self.guidance is not None and pulled is not None:
            neural = self.guidance.neural_loss(pulled)
            total = total + condition.weight * self.guidance.factor(self.schedule.last_epoch / self.steps) * neural
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.optimiser.step()
        self.schedule.step()
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        return torch.stack([total.detach(), cross_entropy.detach(), neural.detach(), accuracy]).double()

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.device.type == "cuda":
            return torch.autocast("cuda", torch.bfloat16)
        return contextlib.nullcontext()

    @torch.inference_mode()
    def evaluate(self, rows: np.ndarray, align: bool = True) -> dict[str, float]:
        """Accuracy and, with `align`, alignment (mean r of neural head and target) and CKA; NaN where undefined.

        In float32 and eval mode, as the attacks will see the network. `align` keeps the outputs of all rows in memory.
        """
        found = {"accuracy": math.nan, "alignment": math.nan, "cka": math.nan}
        if len(rows) == 0:
            return found
        guidance = self.guidance if align else None
        self.network.eval()
        labels = torch.from_numpy(self.data.labels[rows]).to(self.device).split(self.eval_batch)
        hits, shown = torch.zeros((), dtype=torch.long, device=self.device), []
        parts = read_ahead(self.stored.read, in_order(rows, self.eval_batch), self.threads)
        for images, wanted in zip(parts, labels, strict=True):
            features = self.network.features(to_pixels(images, self.device))
            hits += (self.network.head(features).argmax(1) == wanted).sum()
            if guidance is not None and guidance.target is not None:
                shown.append(guidance.look(features))
        found["accuracy"] = hits.item() / len(rows)
        return found if guidance is None else found | guidance.agreement(rows, shown)

    def summary(self) -> NetworkMetrics:
        """Final accuracies, alignments and counts, of a network without a name; None where a number is not defined."""
        test = self.evaluate(self.data.rows(TEST))
        train, validation = (self.evaluate(self.data.rows(part), align=False) for part in (TRAIN, VALIDATION))
        return NetworkMetrics(
            clean_accuracy=defined(test["accuracy"]),
            train_accuracy=defined(train["accuracy"]),
            validation_accuracy=defined(validation["accuracy"]),
            alignment=defined(test["alignment"]),
            alignment_cka=defined(test["cka"]),
            layer_depth=self.guidance.layers.depth if self.guidance else None,
            target_dim=self.guidance.dim if self.guidance else None,
            n_train=len(self.rows),
            n_test=len(self.data.rows(TEST)),
        )


def defined(value: float) -> float | None:
    """A number for a record; None where it is not defined."""
    return value if math.isfinite(value) else None
