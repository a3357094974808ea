"""What an attack knows while it runs, and what it returns: nested budgets, survivors only, every pass counted."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from neurobust.attacks.losses import logits_of, loss_gradient, towards
from neurobust.attacks.norms import lengths, per_image
from neurobust.core.errors import InputError
from neurobust.core.seeding import derive_seed

HALVINGS = 10  # of the line from a clean image to its adversarial


@dataclass(frozen=True)
class Batch:
    """What every attack is given: images of one network's task, and the budgets to try on them.

    model: takes images (N, 3, H, W) in [0,1] to logits (N, K); images (N, 3, H, W); labels int64 (N,); budgets: they
    ascend, in the attack's own unit (pixels in [0,1] for norms); seed, and ids, the images' N dataset rows: they name
    the streams of random numbers; pool: other images of the task (M, 3, H, W) for attacks that start from one, or None;
    twins: the images with the cue of another class (N, 3, H, W) for attacks that ask for them, or None; helpers:
    auxiliary networks of the task by name, for attacks that read some; attack_batch: how many images go through the
    model in one call at most, for attacks that ask of one image many times or of the pool; default: the batch's own N.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    budgets: tuple[float, ...]
    seed: int
    ids: tuple[int, ...]
    pool: Tensor | None = None
    twins: Tensor | None = None
    helpers: Mapping[str, nn.Module] = field(default_factory=dict)
    attack_batch: int | None = None

    @property
    def at_once(self) -> int:
        """How many images go through the model in one call, at most."""
        return self.attack_batch or len(self.images)

    def helper(self, name: str) -> nn.Module:
        """An auxiliary network; InputError where the batch has none of this name."""
        if name not in self.helpers:
            raise InputError(f"attack: the auxiliary network '{name}' is missing; give it with the batch")
        return self.helpers[name]


@dataclass
class AttackResult:
    """What an attack found for N images and B ascending budgets. A broken image is broken at every larger budget.

    budgets: B numbers in the attack's own unit (pixels in [0,1] for norms); clean_correct: bool (N,);
    first: int64 (N,), index of the smallest budget at which the image is broken, B where it never is;
    distance: float64 (N,), distance of `adversarial` (0 for clean errors, NaN where nothing was found);
    adversarial: float (N, 3, H, W), the adversarial of the smallest broken budget; the clean image for clean errors
    and where nothing was found; n_forward, n_backward: float64 (N, B), passes spent on the image
    at this budget, so that a row's sum is the image's whole cost; member: int64 (N,), which
    attack of an ensemble (`ensemble.MEMBERS`) reached `first`, -1 where none did; None for any other attack;
    abstained: bool (N,), whether the image broke because the logits are not finite there; None before `verify.verify`.
    """

    budgets: list[float]
    clean_correct: Tensor
    first: Tensor
    distance: Tensor
    adversarial: Tensor
    n_forward: Tensor
    n_backward: Tensor
    member: Tensor | None = None
    abstained: Tensor | None = None

    @property
    def success(self) -> Tensor:
        """Broken, bool (N, B); clean errors count as broken at every budget."""
        return self.first[:, None] <= torch.arange(len(self.budgets))

    @property
    def distances(self) -> Tensor:
        """Distance float64 (N, B); NaN where the image is not broken."""
        return torch.where(self.success, self.distance[:, None], math.nan)


def check_budgets(budgets: Sequence[float]) -> list[float]:
    """The budgets as floats; they must be finite, not negative and ascending."""
    values = [float(budget) for budget in budgets]
    ascending = all(a < b for a, b in itertools.pairwise(values))
    if not values or not ascending or values[0] < 0 or not all(math.isfinite(value) for value in values):
        raise InputError(f"attack budgets {list(budgets)}: give finite numbers >= 0, each larger than the one before")
    return values


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Attack `model` in eval mode with frozen parameters; each module's and parameter's own state is restored."""
    training = {module: module.training for module in model.modules()}
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        model.eval()
        for parameter in trainable:
            parameter.requires_grad_(False)
        yield model
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
        for module, mode in training.items():
            module.training = mode


@contextlib.contextmanager
def seeded(device: torch.device, *parts: object) -> Iterator[None]:
    """Torch's global generators follow the stream `parts` inside, for networks and libraries that draw from them."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(*parts))
        yield


def mean_logits(model: nn.Module, points: Tensor, draws: int = 1) -> Tensor:
    """Logits (N, K) of the points (N, 3, H, W), the mean over `draws` passes."""
    total = logits_of(model, points)
    for _ in range(draws - 1):
        total = total + logits_of(model, points)
    return total / draws


def abstains(logits: Tensor) -> Tensor:
    """For which images a network gives no answer, bool (N,): some of their logits (N, K) are not finite."""
    return ~logits.isfinite().all(1)


def misread(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images are not read rightly, bool (N,): taken for another class, or given no answer (`abstains`)."""
    return (logits.argmax(1) != labels) | abstains(logits)


class Search:
    """Book-keeping of one batch under attack: which images stand, the best adversarials, the passes spent.

    `draws` > 1 is for networks that draw random numbers: logits, losses and gradients are means over as many passes
    (expectation over transformation: Athalye et al., ICML 2018), and a candidate must hold on fresh draws.
    """

    def __init__(self, batch: Batch, draws: int = 1):
        self.batch, self.draws, self.budgets = batch, draws, check_budgets(batch.budgets)
        self.model, self.images, self.labels = batch.model, batch.images, batch.labels
        images = batch.images
        count, size, device = len(images), len(self.budgets), images.device
        self.first = torch.full((count,), size, device=device)
        self.adversarial = images.clone()
        self.n_forward = torch.zeros(count, size, dtype=torch.float64, device=device)
        self.n_backward = torch.zeros(count, size, dtype=torch.float64, device=device)
        logits = self.forward(torch.arange(count, device=device), images, 0)
        if logits.ndim != 2 or logits.shape[1] < 2:
            raise InputError(f"attacked model returns shape {tuple(logits.shape)}; give (N, classes) with 2 or more")
        self.clean_logits = logits
        self.clean_correct = ~misread(logits, batch.labels)
        self.first[~self.clean_correct] = 0

    def positive(self) -> list[tuple[int, float]]:
        """(index, radius) of the budgets above zero; zero is the clean image, which is tested already."""
        return [(index, radius) for index, radius in enumerate(self.budgets) if radius > 0]

    def in_question(self) -> Tensor:
        """Rows (n,) of the images that stand at the smallest budget above 0: the others have nothing to gain."""
        ahead = self.positive()
        return self.standing(ahead[0][0]) if ahead else torch.zeros(0, dtype=torch.long)

    def standing(self, budget: int) -> Tensor:
        """Rows (n,) of the images that are not broken at the budget of this index or a smaller one."""
        return (self.first > budget).nonzero().squeeze(1)

    def forward(self, rows: Tensor, points: Tensor, budget: int) -> Tensor:
        """Logits of the candidates `points` of the images `rows`, counted at this budget."""
        self.n_forward[rows, budget] += self.draws
        with torch.no_grad():
            return mean_logits(self.model, points, self.draws)

    def gradient(
        self, rows: Tensor, points: Tensor, loss: str, budget: int, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss (n,), logits (n, K) and gradient at the candidates of the images `rows`, counted at this budget."""
        self.n_forward[rows, budget] += self.draws
        self.n_backward[rows, budget] += self.draws
        return loss_gradient(self.model, points, self.labels[rows], loss, targets, self.draws)

    def offer(self, rows: Tensor, points: Tensor, logits: Tensor, budget: int) -> Tensor:
        """Record the candidates that are misclassified; returns which ones, bool (n,). Only standing rows."""
        broken = misread(logits, self.labels[rows])
        if self.draws > 1 and broken.any():
            broken[broken.clone()] = self.confirm(rows[broken], points[broken], logits[broken].argmax(1), budget)
        if broken.any():  # most of the time none is, and a GPU is asked once
            hit = rows[broken]
            self.first[hit] = budget
            self.adversarial[hit] = points[broken]
        return broken

    def confirm(self, rows: Tensor, points: Tensor, wrong: Tensor, budget: int) -> Tensor:
        """Whether fresh draws put class `wrong` (n,) above the label by two standard errors, bool (n,).

        The draws that a search has seen are those that flattered its candidate.
        """
        self.n_forward[rows, budget] += self.draws
        with torch.no_grad():
            passes = [logits_of(self.model, points) for _ in range(self.draws)]
        leads = torch.stack([towards(logits, self.labels[rows], wrong) for logits in passes])
        return (leads.mean(0) > 2 * leads.std(0) / math.sqrt(self.draws)) | abstains(torch.stack(passes).mean(0))

    def test(self, rows: Tensor, points: Tensor, budget: int) -> tuple[Tensor, Tensor]:
        """Forward and record: (broken (n,), logits (n, K))."""
        logits = self.forward(rows, points, budget)
        return self.offer(rows, points, logits, budget), logits

    def reached(self, norm: str) -> Tensor:
        """Distances float64 (N,) of the adversarials known so far: 0 for clean errors, inf where there is none."""
        known = lengths(self.adversarial.double() - self.images.double(), norm)
        return torch.where(self.first < len(self.budgets), known, math.inf)

    def place(self, rows: Tensor, points: Tensor, distance: Tensor, norm: str) -> None:
        """Record adversarials of measured `distance` float64 (n,), inf for none, where nearer than those known.

        Each is placed at the smallest budget that holds it; one beyond every budget is not an adversarial.
        """
        limits = torch.tensor(self.budgets, dtype=torch.float64, device=distance.device)
        place = torch.searchsorted(limits, distance)
        nearer = (distance < self.reached(norm)[rows]) & (place <= self.first[rows]) & (place < len(limits))
        self.first[rows[nearer]] = place[nearer]
        self.adversarial[rows[nearer]] = points[nearer].to(self.adversarial.dtype)

    def result(self, distance: Tensor | str) -> AttackResult:
        """Close the search and move it to the CPU. `distance`: a norm to measure, or the distances themselves (N,)."""
        if isinstance(distance, str):
            distance = lengths(self.adversarial.double() - self.images.double(), distance)
        distance[~self.clean_correct] = 0
        distance[self.first == len(self.budgets)] = math.nan
        fields = (self.clean_correct, self.first, distance, self.adversarial, self.n_forward, self.n_backward)
        return AttackResult(self.budgets, *(field.detach().cpu() for field in fields))


def pull_back(
    search: Search, rows: Tensor, points: Tensor, distance: Tensor, norm: str, budget: int
) -> tuple[Tensor, Tensor]:
    """Bisect the line from each clean image to its adversarial; the nearest tested adversarials and their distances."""
    found = distance.isfinite().nonzero().squeeze(1)
    if not len(found):
        return points, distance
    points, distance, rows = points.clone(), distance.clone(), rows[found]
    clean, far = search.images[rows], points[found]
    near = torch.zeros(len(found), dtype=far.dtype, device=far.device)
    good = torch.ones_like(near)
    for _ in range(HALVINGS):
        middle = (near + good) / 2
        tried = clean + per_image(middle, far) * (far - clean)
        broken = misread(search.forward(rows, tried, budget), search.labels[rows])
        near, good = torch.where(broken, near, middle), torch.where(broken, middle, good)
        points[found[broken]] = tried[broken]
    distance[found] = lengths(points[found].double() - clean.double(), norm)
    return points, distance
