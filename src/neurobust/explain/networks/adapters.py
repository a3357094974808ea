"""From a network's bench to the pure functions of this room, and from their numbers to findings."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from neurobust.explain.findings import Findings, Row
from neurobust.explain.measured import Measured
from neurobust.explain.measures import linear_distances, margin_gradients
from neurobust.explain.network_bench import NetworkBench
from neurobust.explain.networks import calibration, fourier, geometry, jacobian, saliency, similarity
from neurobust.explain.networks.bias import cue_bias
from neurobust.explain.networks.settings import (
    Boundary,
    Calibration,
    CueBias,
    Fourier,
    Geometry,
    Jacobian,
    LayerSimilarity,
    Perturbations,
    Saliency,
)
from neurobust.predictors.target import load_target


def layers(bench: NetworkBench, settings: LayerSimilarity) -> Findings:
    """Every layer beside every ROI: CKA and RSA with predictor and brain, and the brain's ceilings."""
    rows: list[Row] = []
    count = len(bench.images)
    own = {layer: similarity.distances(features) for layer, features in bench.layers.items()}
    for roi, responses in bench.predictors.items():
        theirs = similarity.distances(responses)
        for layer, features in bench.layers.items():
            found = similarity.cka_with_interval(features, responses)
            rows.append(Row("CKA with the predictor", found.value, layer, roi, found.low, found.high, count))
            rows.append(Row("RSA with the predictor", similarity.rsa(own[layer], theirs), layer, roi, n_images=count))
    seen: dict[bytes, dict[str, Tensor]] = {}
    for roi, stimuli in bench.stimuli.items():
        key = stimuli.nsd_id.tobytes()
        if key not in seen:
            seen[key] = bench.layers_of(stimuli.images)
        rows += brain_rows(seen[key], roi, stimuli)
    return Findings(rows)


def brain_rows(layers: dict[str, Tensor], roi: str, stimuli: Measured) -> list[Row]:
    """Each layer beside the measured responses of an ROI, and their ceilings."""
    subjects, count = stimuli.subject.tolist(), len(stimuli.nsd_id)
    rows = []
    for layer, features in layers.items():
        found = similarity.measured_similarity(features, stimuli.responses, subjects)
        rows.append(Row("CKA with the brain", found["cka"], layer, roi, n_images=count))
        rows.append(Row("RSA with the brain", found["rsa"], layer, roi, n_images=count))
    limit = similarity.measured_ceiling(stimuli.responses, subjects, stimuli.noise_ceiling)
    rows.append(Row("CKA ceiling", limit["cka"], roi=roi, n_images=count))
    ends = limit["rsa_low"], limit["rsa_high"]
    rows.append(Row("RSA ceiling", ends[0], "", roi, *ends, count))
    return rows


def fourier_sensitivity(bench: NetworkBench, settings: Fourier) -> Findings:
    """The Fourier map; arrays: `error` (rows, columns), frequencies ascending from `reach` (2,), and `clean`."""
    images, labels = bench.images[: settings.images], bench.labels[: settings.images]
    shape = (int(images.shape[-2]), int(images.shape[-1]))
    norm = settings.strength * min(shape) / 32
    found = fourier.fourier_map(
        bench.network, images, labels, norm, settings.grid, image_batch=max(bench.image_batch, len(images))
    )
    summary = fourier.map_summary(found, shape, settings.cutoff)
    names = {
        "low": "error from low frequencies",
        "high": "error from high frequencies",
        "centre": "frequency of errors",
    }
    rows = [Row(name, summary[key], n_images=len(images)) for key, name in names.items()]
    error = fourier.mirrored(found.frequencies, found.error, shape).astype(np.float32)
    return Findings(rows, {"error": error, "clean": np.array(found.clean), "reach": found.frequencies.min(0)})


def perturbations(bench: NetworkBench, settings: Perturbations) -> Findings:
    """The spectrum of one attack's perturbations; arrays: `power` (H, W), `radii`, `profile` and `below` (rings,)."""
    pairs = bench.adversarials
    chosen = [pairs[settings.attack]] if settings.attack in pairs else list(pairs.values())
    clean, found = (torch.cat([getattr(pair, name) for pair in chosen]) for name in ("clean", "adversarial"))
    spectrum = fourier.spectrum(found - clean)
    count, rows, arrays = len(found), [], {}
    if spectrum is not None:
        rows = [
            Row("slope of perturbations", spectrum.slope, n_images=count),
            Row("frequency of perturbations", spectrum.centre, n_images=count),
            Row("low-frequency share of perturbations", fourier.share_below(spectrum, settings.cutoff), n_images=count),
        ]
        arrays = {name: getattr(spectrum, name) for name in ("power", "radii", "profile", "below")}
    said, answer = calibration.confidence(bench.over(found))
    wrong = answer != bench.over(clean).argmax(1).cpu().numpy()
    sure = float(said[wrong].mean()) if wrong.any() else math.nan
    rows.append(Row("confidence under attack", sure, n_images=int(wrong.sum())))
    rows.append(straightness(bench))
    return Findings(rows, arrays)


def straightness(bench: NetworkBench) -> Row:
    """The L2 that an attack took beside the linear distance: of the attack that took least."""
    name = "found over linear distance"
    lengths = {
        attack: (pair.adversarial - pair.clean).flatten(1).norm(dim=1).cpu().numpy()
        for attack, pair in bench.adversarials.items() if attack != "transfer"
    }  # fmt: skip
    if not lengths:
        return Row(name, None)
    least = min(lengths, key=lambda attack: float(np.median(lengths[attack])))
    clean = bench.adversarials[least].clean
    answers = bench.over(clean).argmax(1)
    margin, gradient = margin_gradients(bench.network, clean, answers, bench.image_batch)
    linear = linear_distances(margin, gradient).cpu().numpy()
    found = jacobian.agreement(linear, lengths[least])
    return Row(name, found["ratio"], n_images=len(clean))


def geometry_of(bench: NetworkBench, settings: Geometry) -> Findings:
    """The shape of the penultimate layer."""
    features, count = bench.features, len(bench.images)
    dimension, classes = geometry.two_nn(features), geometry.class_geometry(features, bench.labels, settings.shots)
    rows = [Row("spectral exponent", geometry.spectral_exponent(features), n_images=count)]
    if dimension is not None:
        rows.append(Row("intrinsic dimension", *dimension[:1], "", "", *dimension[1:], count))
    if classes is not None:
        numbers = {"class radius": classes.radius, "class dimension": classes.dimension}
        numbers["class signal-to-noise"] = classes.snr
        rows += [Row(name, value, n_images=count) for name, value in numbers.items()]
    return Findings(rows)


def jacobian_of(bench: NetworkBench, settings: Jacobian) -> Findings:
    """Spectral norm and curvature, medians over the first images."""
    images, labels = bench.images[: settings.images], bench.labels[: settings.images]
    gradient, batch = bench.gradient[: settings.images], bench.image_batch
    norms = jacobian.spectral_norms(bench.network, images, settings.steps, image_batch=batch)
    turns = jacobian.curvatures(bench.network, images, labels, gradient, settings.distance, batch)
    count = len(images)
    return Findings(
        [
            Row("spectral norm of the Jacobian", float(norms.nanmedian()), n_images=count),
            Row("curvature of the margin", float(turns.nanmedian()), n_images=count),
        ]
    )


def boundary(bench: NetworkBench, settings: Boundary) -> Findings:
    """The linear distance to the boundary beside the least L2 at which an attack crossed it."""
    assert bench.minimal is not None, "asked for by `needs`"
    linear = linear_distances(bench.margin, bench.gradient).cpu().numpy()
    found = jacobian.agreement(linear, bench.minimal)
    count = int(np.isfinite(bench.minimal).sum())
    return Findings(
        [
            Row("order of linear and true distance", found["correlation"], n_images=count),
            Row("true over linear distance", found["ratio"], n_images=count),
        ]
    )


def cue_bias_of(bench: NetworkBench, settings: CueBias) -> Findings:
    """Cue bias on the images with a conflicting cue; nothing where it is not known whose cue they bear."""
    cue, twins = bench.dataset.conflict_cue, bench.twins
    if cue is None or twins is None:
        return Findings([])
    answers = bench.over(twins["conflict"]).argmax(1).cpu().numpy()
    found = cue_bias(answers, bench.labels.cpu().numpy(), cue[bench.rows])
    return Findings(
        [
            Row("cue bias", found.cue, low=found.low, high=found.high, n_images=found.n_decided),
            Row("read as the cue", found.as_cue, n_images=found.n),
            Row("read as the shape", found.as_shape, n_images=found.n),
        ]
    )


def saliency_of(bench: NetworkBench, settings: Saliency) -> Findings:
    """The network's saliency beside the object's mask, where it is known, and beside each predictor's."""
    sigma = settings.blur / 100 * bench.dataset.side
    maps = saliency.blurred(saliency.saliency(bench.gradient), sigma)
    masks = bench.dataset.masks
    rows: list[Row] = []
    shown = None if masks is None else torch.from_numpy(masks[bench.rows] > 0).to(maps.device)
    if shown is not None:
        found = saliency.pointing_game(maps, shown)
        numbers = {"saliency on the object": found.mass, "pointing game": found.hits, "area of the object": found.area}
        rows = [Row(name, value, n_images=found.n) for name, value in numbers.items()]
    few = slice(0, settings.images)
    for roi, path in bench.compared.predictors.items():
        target = load_target([path]).to(bench.device)
        theirs = saliency.response_saliency(target, bench.images[few], settings.draws, image_batch=bench.image_batch)
        theirs = saliency.blurred(theirs, sigma)
        shared = saliency.shared_saliency(maps[few], theirs)
        rows.append(Row("shared saliency", shared.beyond, roi=roi, n_images=len(theirs)))
        if shown is not None:
            on = saliency.pointing_game(theirs, shown[few])
            rows.append(Row("predictor's saliency on the object", on.mass, roi=roi, n_images=on.n))
    return Findings(rows)


def calibration_of(bench: NetworkBench, settings: Calibration) -> Findings:
    """Calibration of the answers to the images."""
    said, answers = calibration.confidence(bench.logits)
    found = calibration.calibration(said, answers == bench.labels.cpu().numpy(), settings.bins)
    numbers = {"calibration error": found.beyond, "overconfidence": found.over, "confidence": found.mean}
    return Findings([Row(name, value, n_images=len(said)) for name, value in numbers.items()])
