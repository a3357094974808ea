"""A network beside human observers, on stimuli whose shape and texture disagree."""

from __future__ import annotations

from pathlib import Path

import torch

from neurobust.core.errors import InputError
from neurobust.core.image_files import ImageFiles, images_in
from neurobust.explain.findings import Findings, Row
from neurobust.explain.network_bench import NetworkBench
from neurobust.explain.networks import consistency
from neurobust.explain.networks.bias import cue_bias, stimulus_classes
from neurobust.explain.networks.settings import Humans
from neurobust.files.pixels import to_pixels


def humans(bench: NetworkBench, settings: Humans) -> Findings:
    """Cue bias on a folder of stimuli, and error consistency with those who saw them.

    Right is who names the shape; no stimuli, no numbers. Trials name a stimulus with or without what was put before it
    (`0001_..._cat1-bear2.png`: another number for each observer). Raises InputError for a folder without images, a
    table that is none, or trials on none of the stimuli.
    """
    if settings.stimuli is None:
        return Findings([])
    folder = Path(settings.stimuli)
    files = images_in(folder)
    if not files:
        raise InputError(f"explain.humans.stimuli: {folder}: no images there; name the folder of the stimuli")
    names = [path.name for path in files]
    shape, cue = stimulus_classes(names, bench.dataset.classes)
    blocks = ImageFiles(files, folder, bench.dataset.side).blocks()
    answers = torch.cat([bench.over(to_pixels(block, bench.device)).argmax(1) for block in blocks]).cpu().numpy()
    found = cue_bias(answers, shape, cue)
    rows = [Row("cue bias on the stimuli", found.cue, low=found.low, high=found.high, n_images=found.n_decided)]
    if settings.trials is None:
        return Findings(rows)
    trials = consistency.read_trials(Path(settings.trials))
    trials["imagename"] = trials["imagename"].str.rsplit("_", n=1).str[-1]
    both = int(trials["imagename"].drop_duplicates().isin(names).sum())
    if not both:
        raise InputError(
            f"explain.humans.trials: {settings.trials}: none of its images ({trials['imagename'].iloc[0]}, ...) is in "
            f"{folder} ({names[0]}, ...); give the trials on these stimuli"
        )
    right = dict(zip(names, (answers == shape).tolist(), strict=True))
    alike = consistency.consistency_with_humans(right, trials)
    mean, low, high = consistency.human_band(trials)
    rows.append(Row("consistency with humans", alike, n_images=both))
    rows.append(Row("consistency of humans", mean, low=low, high=high, n_images=trials["imagename"].nunique()))
    return Findings(rows)
