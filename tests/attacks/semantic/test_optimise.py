"""The batched minimisers against torch's own and against closed forms."""

import torch

from neurobust.attacks.semantic.optimise import LBFGS, Adam


def free(points):
    return points


def quadratic(points, centre, scales):
    gap = points - centre
    return (scales * gap.square()).flatten(1).sum(1), 2 * scales * gap


def test_adam_is_torch_s_adam():
    centre, scales = torch.randn(3, 2, 4), torch.rand(3, 2, 4) + 0.1
    mine = Adam([torch.zeros(3, 2, 4)], 0.05, free)
    theirs = torch.zeros(3, 2, 4, requires_grad=True)
    optimiser = torch.optim.Adam([theirs], 0.05)
    for _ in range(7):
        values, gradients = quadratic(mine.points[0], centre, scales)
        mine.tell(values, [gradients])
        theirs.grad = quadratic(theirs.detach(), centre, scales)[1]
        optimiser.step()
    assert torch.allclose(mine.points[0], theirs.detach(), atol=1e-6)


def test_lbfgs_solves_quadratics_of_any_scale_and_each_image_alone():
    torch.manual_seed(0)
    centre, scales = torch.randn(4, 6), torch.logspace(-1, 1, 6).expand(4, 6) * torch.tensor([1, 10, 0.1, 3.0])[:, None]

    def run(rows):
        optimiser = LBFGS([torch.zeros(len(rows), 6)], 0.1, free)
        for _ in range(40):
            values, gradients = quadratic(optimiser.points[0], centre[rows], scales[rows])
            optimiser.tell(values, [gradients])
        return optimiser.base

    together = run([0, 1, 2, 3])
    assert (together - centre).abs().max() < 1e-3
    assert torch.allclose(run([2]), together[2:3], atol=1e-6)


def test_lbfgs_never_accepts_a_rise_and_stays_in_its_bounds():
    torch.manual_seed(1)
    optimiser = LBFGS([torch.full((2, 5), 0.5)], 0.4, lambda points: [points[0].clamp(0, 1)])
    best = torch.full((2,), torch.inf)
    for _ in range(30):
        points = optimiser.points[0].requires_grad_()
        values = (torch.sin(9 * points) + 2 * (points - 1.5) ** 2).sum(1)
        (gradient,) = torch.autograd.grad(values.sum(), points)
        optimiser.tell(values.detach(), [gradient])
        assert (optimiser.value <= best).all()
        best = optimiser.value
        assert optimiser.points[0].min() >= 0 and optimiser.points[0].max() <= 1


def test_an_image_that_leaves_changes_nothing_for_the_others():
    torch.manual_seed(2)
    centre, scales = torch.randn(3, 4), torch.rand(3, 4) + 0.2
    for make in (lambda points: Adam(points, 0.1, free), lambda points: LBFGS(points, 0.1, free)):
        whole, part, rows = make([torch.zeros(3, 4)]), make([torch.zeros(3, 4)]), [0, 1, 2]
        for step in range(10):
            values, gradients = quadratic(whole.points[0], centre, scales)
            whole.tell(values, [gradients])
            values, gradients = quadratic(part.points[0], centre[rows], scales[rows])
            part.tell(values, [gradients])
            if step == 4:
                part.keep(torch.tensor([True, False, True]))
                rows = [0, 2]
        assert torch.equal(whole.points[0][[0, 2]], part.points[0])
