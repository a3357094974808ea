"""Training of a convolutional network on the principal components of the responses."""

from __future__ import annotations

import torch

from neurobust.core.reading import read_ahead
from neurobust.core.seeding import seed_everything
from neurobust.core.training import KeepBest, finite_loss, readers, train_epochs
from neurobust.files.pixels import to_pixels
from neurobust.files.splits import TRAIN
from neurobust.predictors.components import count_components, principal_components
from neurobust.predictors.data import channel_statistics, training_batches, with_pictures
from neurobust.predictors.fitting import FitContext, Fitted
from neurobust.predictors.model import Arguments
from neurobust.predictors.predict import validation_r
from neurobust.predictors.resnet_pcs import ComponentNet
from neurobust.predictors.resnet_pcs_settings import ResNetPCs


def build_component_net(settings: ResNetPCs, context: FitContext) -> tuple[ComponentNet, Arguments]:
    """A fresh network with the components of the training images' responses, and the config that rebuilds its shape."""
    fits = {data.subject: principal_components(data.responses[data.rows_of(TRAIN)]) for data in context.subjects}
    mean, std = channel_statistics(context.subjects)
    components = {s: max(1, count_components(fit[2], settings.variance)) for s, fit in fits.items()}
    config: Arguments = {
        "voxels": context.voxels,
        "components": components,
        "architecture": settings.architecture,
        "input_size": context.input_size,
        "mean": mean,
        "std": std,
    }
    seed_everything(context.seed, "resnet-pcs")
    model = ComponentNet(**config)
    for subject, (centre, basis, _) in fits.items():
        kept = torch.from_numpy(basis.T[: components[subject]]).float()
        model.centre(subject).copy_(torch.from_numpy(centre))
        model.basis(subject)[: len(kept)] = kept
    return model, config


def fit_resnet_pcs(settings: ResNetPCs, context: FitContext) -> Fitted:
    """Train on all subjects at once. Loss: squared error summed over components, averaged over images; Adam with weight
    decay; the epoch with the best median validation r over voxels is kept."""
    subjects, device = context.subjects, context.device
    model, config = build_component_net(settings, context)
    model.to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)

    def run_epoch(epoch: int) -> dict[str, float]:
        model.train()
        loss, images = 0.0, 0
        batches = training_batches(subjects, settings.batch_size, context.seed, epoch)
        for (data, rows), pictures in read_ahead(with_pictures, batches, readers(device)):
            if len(rows) == 1:
                continue  # BatchNorm has no statistics of one image where the maps are one place
            target = torch.from_numpy(data.responses[rows]).to(device) - model.centre(data.subject)
            target = target @ model.basis(data.subject).T
            scores = model.scores(to_pixels(pictures, device))[data.subject]
            error = (scores - target).square().sum()
            optimiser.zero_grad(set_to_none=True)
            (error / len(rows)).backward()
            optimiser.step()
            loss += finite_loss(error.item(), f"resnet-pcs, {data.subject}, epoch {epoch}")
            images += len(rows)
        score = validation_r(model, subjects, context.image_batch, device)
        return {"loss": loss / max(images, 1), "validation_r": score}

    history = train_epochs(
        parts={"model": model, "optimiser": optimiser}, run_epoch=run_epoch, epochs=settings.epochs, seed=context.seed,
        checkpoint=context.checkpoint, fingerprint=context.fingerprint, label="resnet-pcs",
        keep=KeepBest("validation_r", settings.patience),
    )  # fmt: skip
    return Fitted(model.cpu().eval(), config, history)
