"""Attacks on a caller's own model."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from neurobust.attacks.own_model import attack
from neurobust.core.errors import InputError


class Linear(nn.Module):
    """logit 1 - logit 0 = (mean brightness - 0.5) * 100: the smallest breaking change is known."""

    def forward(self, images):
        margin = (images.mean((1, 2, 3)) - 0.5) * 100
        return torch.stack([-margin, margin], 1) / 2


def batch(count=20):
    """Images of one brightness each, near the boundary on both sides, and their labels."""
    levels = 0.5 + torch.linspace(-0.02, 0.02, count)
    return levels[:, None, None, None].expand(count, 3, 8, 8).clone(), (levels > 0.5).long()


def test_the_accuracy_of_a_linear_model_is_the_closed_form():
    images, labels = batch()
    model = Linear().train()
    found = attack(model, images, labels, budgets=[0, 1, 3, 6], batch=7)
    away = (images.mean((1, 2, 3)) - 0.5).abs() * 255
    assert found.unit == "1/255" and list(found.accuracy) == [0, 1, 3, 6]
    for budget, standing in found.accuracy.items():
        assert standing == pytest.approx((away > budget).double().mean().item() if budget else 1.0)
    assert found.success.shape == (20, 4) and found.adversarial.shape == images.shape
    assert found.doubts == [] and len(found.checks) > 5
    assert model.training, "the model is given back as it was"


def test_a_model_that_hides_its_gradients_is_doubted():
    class Hidden(Linear):
        def forward(self, images):
            return super().forward((images * 8).round() / 8)

    found = attack(Hidden(), *batch(), budgets=[0, 6])
    assert any("gradient" in label for label in found.doubts)


class Banded(torch.autograd.Function):
    """The identity, with a gradient of zero at pixels near black and white."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return gradient * ((x > 0.05) & (x < 0.95))


def test_a_model_that_leads_a_climb_astray_is_doubted(net, batch, toys):
    """Nothing is wrong with its answers at the images: another loss, or a search without gradients, breaks more."""
    plain = attack(net, *batch, budgets=[0, 32])
    assert plain.doubts == []
    for model, doubt in (
        (toys.Scaled(net), "other_loss/pgd"), (toys.Canary(net, before=Banded.apply), "worst_case/pgd"),
    ):  # fmt: skip
        found = attack(model, *batch, budgets=[0, 32])
        assert found.accuracy[32] > plain.accuracy[32] + 0.2 and doubt in found.doubts


def test_a_climb_of_steps_too_short_for_its_ball_is_doubted(net, batch):
    found = attack(net, *batch, budgets=[0, 32], steps=5, rel_stepsize=1 / 30)
    assert "reach/pgd" in found.doubts


def test_other_attacks_and_norms_are_those_of_a_study():
    images, labels = batch()
    found = attack(Linear(), images, labels, method="gaussian", budgets=[0, 0.5], norm="l2", repeats=2)
    assert found.unit == "1" and found.accuracy[0] == 1
    again = attack(Linear(), images, labels, method="gaussian", budgets=[0, 0.5], norm="l2", repeats=2)
    assert torch.equal(found.distance.nan_to_num(-1), again.distance.nan_to_num(-1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "pgdd"}, "attack.pgdd.method: 'pgdd' is not known"),
        ({"steps": 0}, "attack.pgd.steps: 0"),
        ({"budgets": [4, 1]}, "attack.pgd.budgets"),
        ({"labels": torch.zeros(3)}, "attack: 20 images and 3 labels"),
        ({"images": batch()[0] * 255}, "attack: pixels outside"),
    ],
)
def test_what_cannot_be_attacked_is_one_line(changes, message):
    images, labels = batch()
    given = {"model": Linear(), "images": images, "labels": labels} | changes
    with pytest.raises(InputError, match=f"^{message}") as error:
        attack(**given)
    assert "\n" not in str(error.value)


class Given(nn.Module):
    """A model that does to its input, or gives of its logits, what a test says."""

    def __init__(self, give=None, dtype=None):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.give, self.dtype = nn.Conv2d(3, 4, 3, padding=1), give or (lambda logits: logits), dtype
        if dtype:
            self.to(dtype)

    def forward(self, images):
        return self.give(self.body(images.to(self.dtype or images.dtype)).mean((2, 3)))


class InPlace(Given):
    """Normalises the images that it is given, not a copy."""

    def forward(self, images):
        return super().forward(images.sub_(0.5))


def some(height=8, width=8, count=5):
    images = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))
    return images, Given()(images).argmax(1)


X, Y = some()


@pytest.mark.parametrize(
    ("model", "images", "labels", "message"),
    [
        (Given(), X[0], Y[:1], r"images of shape \(3, 8, 8\); give \(N, 3, H, W\)"),
        (Given(), X, Y[:, None], r"labels of shape \(5, 1\); give \(N,\), the number of a class each"),
        (Given(), X, torch.eye(4)[Y], r"labels of shape \(5, 4\)"),
        (Given(), X, Y + 0.5, "labels of torch.float32 that are no whole numbers"),
        (Given(), X, Y + 4, r"label \d; the model has 4 classes: count them from 0"),
        (Given(), X, Y - 9, r"label -\d; the model has 4 classes"),
        (Given(), X, list("abcde"), "images and labels are no arrays"),
        (Given(), X.half(), Y, "images of torch.float16; give float32"),
        (Given(), 255 * X, Y, r"pixels outside \[0,1\]"),
        (Given(), X * torch.nan, Y, r"pixels outside \[0,1\]"),
        (Given(), X.permute(0, 2, 3, 1), Y, r"the model takes no images \(5, 8, 8, 3\) of torch.float32 on cpu"),
        (Given().half(), X, Y, r"the model takes no images .*; give what it takes, or cast and scale inside it"),
        (Given(), X.double(), Y, "the model takes no images .* of torch.float64"),
        (lambda images: images, X, Y, "a model of type function; give a torch module"),
        (Given(lambda logits: (logits, 1)), X, Y, "the model gives tuple for 5 images; it must give logits"),
        (Given(lambda logits: {"logits": logits}), X, Y, "the model gives dict for 5 images"),
        (Given(lambda logits: logits.numpy()), X, Y, "the model gives ndarray for 5 images"),
        (Given(lambda logits: logits[:, 0]), X, Y, r"the model gives \(5,\) for 5 images"),
        (Given(lambda logits: logits[:, :1]), X, Y, r"the model gives \(5, 1\) for 5 images"),
        (Given(lambda logits: logits[1:]), X, Y, r"the model gives \(4, 4\) for 5 images"),
        (Given(lambda logits: logits[..., None]), X, Y, r"the model gives \(5, 4, 1\) for 5 images"),
        (Given(lambda logits: logits.long()), X, Y, "the model gives torch.int64; it must give logits"),
        (InPlace(), X, Y, "the model changes its input in place; let it work on a copy"),
        (Given(), (255 * X).to(torch.uint8), Y, r"images of torch.uint8; give float32 in \[0,1\]: bytes"),
        (Given(), X > 0.5, Y, "images of torch.bool; give float32"),
        (Given(), X[:, :, :0], Y, r"images of shape \(5, 3, 0, 8\) have no pixels"),
        (Given(), X.to_sparse(), Y, "images of torch.float32, torch.sparse_coo, on cpu; give plain real numbers"),
        (Given(), X.to(torch.complex64), Y, "images of torch.complex64, .*; give plain real numbers"),
        (Given(), X.to("meta"), Y, "images of torch.float32, torch.strided, on meta; give plain real numbers"),
        (Given(), X, Y.to(torch.complex64), "labels of torch.complex64, .*; give plain real numbers"),
        (Given(), X[:0], Y[:0], "0 images and 0 labels"),
        (Given(lambda logits: logits.double()), X, Y, "the model gives torch.float64, .* for images of torch.float32"),
        (Given(lambda logits: logits.to_sparse()), X, Y, "the model gives torch.float32, torch.sparse_coo"),
        (Given(lambda logits: logits.squeeze()), X, Y, r"the model gives \(4,\) for one image; it must give \(1, 4\)"),
        (Given(lambda logits: logits.view(5, 4)), X, Y, "the model takes 5 images and not one .*; it must"),
        (Given(lambda logits: logits[:, : len(logits) - 1]), X, Y * 0, r"the model gives \(1, 0\) for one image"),
    ],
)  # fmt: skip
def test_no_model_and_no_data_ends_in_a_traceback(model, images, labels, message):
    with pytest.raises(InputError, match=f"^attack: {message}") as error:
        attack(model, images, labels, budgets=[0, 4])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [0, -1, 1.5, None, "3"])
def test_a_batch_that_is_no_count_is_one_line(size):
    with pytest.raises(InputError, match=f"^attack: batch {size!r}; give how many images"):
        attack(Given(), X, Y, budgets=[0, 4], batch=size)


def test_numbers_of_numpy_and_torch_are_budgets_and_labels_and_lists_of_tensors_are_images():
    expected = attack(Given(), X, Y, budgets=[0, 4, 64], steps=2)
    for budgets in (np.array([0, 4, 64]), torch.tensor([0.0, 4.0, 64.0]), [0, np.float32(4), np.int64(64)]):
        assert attack(Given(), X, Y, budgets=budgets, steps=2).accuracy == expected.accuracy
    flipped = X.flip(3).numpy()[..., ::-1]  # of negative strides
    for images, labels in ((list(X), list(Y)), (flipped, Y.numpy().astype(np.uint64)), (X, Y.float())):
        found = attack(Given(), images, labels, budgets=[0, 4, 64], steps=2)
        assert torch.equal(found.adversarial, expected.adversarial)


class Restless(Given):
    """Drops features out whatever its mode."""

    def forward(self, images):
        return self.give(nn.functional.dropout(self.body(images).relu(), 0.3, True).mean((2, 3)))


def test_a_model_that_draws_random_numbers_gives_the_same_twice_and_leaves_the_generator_alone():
    model, found = Restless(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(attack(model, X, Y, budgets=[0, 8, 64], steps=3))
        after = torch.rand(1)
        torch.manual_seed(seed)
        assert torch.equal(after, torch.rand(1))
    one, two = found
    assert torch.equal(one.success, two.success) and torch.equal(one.adversarial, two.adversarial)
    assert one.checks == two.checks and "deterministic" in one.doubts


def test_a_model_in_training_is_given_back_as_it_was():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(8, 4)).train()
    layers[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    labels = copy.deepcopy(model).eval()(X).argmax(1)
    assert attack(model, X, labels, budgets=[0, 64], steps=2).accuracy[0] == 1, "attacked as it is used"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [layer.training for layer in layers] == [False, True, True, True, True] and model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("wrap", [torch.jit.script, lambda model: torch.jit.trace(model, X), nn.DataParallel])
def test_wrapped_models_are_attacked_as_what_they_hold(wrap):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)).eval()
    labels = model(X).argmax(1)
    found = [attack(each, X, labels, budgets=[0, 8, 128], steps=5).accuracy for each in (wrap(model), model)]
    assert found[0] == found[1] and found[0][128.0] < 1


def test_budgets_that_are_no_list_are_one_line():
    for budgets, message in ((3, "not a list of numbers"), ([0], "name at least one budget above it"), ([], "ascend")):
        with pytest.raises(InputError, match=rf"^attack\.pgd\.budgets: .*{message}"):
            attack(Given(), X, Y, budgets=budgets)
    with pytest.raises(InputError, match="'perceptual' needs a network or a task of a study"):
        attack(Given(), X, Y, method="perceptual", budgets=[0, 0.1])


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (9, 3)])
def test_every_shape_is_attacked_and_arrays_of_numpy_too(shape):
    images, labels = some(*shape)
    for method, budgets in (("pgd", [0, 64]), ("patch", [0, 0.3]), ("stadv", [0, 0.1]), ("recoloradv", [0, 0.1])):
        settings = {"pgd": {"steps": 3}, "patch": {"steps": 2, "starts": 1}}.get(method, {"steps": 2, "restarts": 0})
        found = attack(Given(), images.numpy(), labels.numpy(), method, budgets, batch=2, **settings)
        assert found.accuracy[0] == 1 and found.success.shape == (5, 2)


def test_one_channel_has_no_colours_and_may_bear_a_patch():
    class Grey(Given):
        def forward(self, images):
            return super().forward(images[:, :1].expand(-1, 3, -1, -1))

    grey, labels = X[:, :1], Grey()(X[:, :1]).argmax(1)
    found = attack(Grey(), grey, labels, "patch", [0, 0.5], steps=3, starts=1)
    assert found.adversarial.shape == grey.shape and found.accuracy[0] == 1
    assert attack(Grey(), grey, labels, "hue", [0, 0.5], grid=3).accuracy[0.5] == 1, "grey has no hue"
    with pytest.raises(InputError, match="images of 1 channels have no colours to move; give RGB"):
        attack(Grey(), grey, labels, "recoloradv", [0, 0.1])
    with pytest.raises(InputError, match="images of 2 channels have no hue; give RGB"):
        attack(Grey(), X[:, :2], labels, "hue", [0, 0.1])


@pytest.mark.parametrize(
    ("give", "accuracy"),
    [
        (lambda logits: logits * torch.nan, 0.0),
        (lambda logits: logits * 0, 1.0),
        (lambda logits: logits + torch.inf, 0.0),
    ],
)
def test_a_model_without_an_answer_is_never_robust(give, accuracy):
    """No answer is wrong everywhere; one answer for all stands, and the checks say what it is worth."""
    found = attack(Given(give), X, torch.zeros(5, dtype=torch.int64), budgets=[0, 64], steps=3)
    assert set(found.accuracy.values()) == {accuracy} and found.doubts


def test_a_network_in_half_precision_that_casts_its_input_is_attacked():
    found = attack(Given(dtype=torch.bfloat16), X, Given(dtype=torch.bfloat16)(X).argmax(1), budgets=[0, 255], steps=5)
    assert found.accuracy[0] == 1 and found.accuracy[255] < 1


def test_a_caller_without_gradients_attacks_as_one_with_them():
    """In inference mode no attack found anything."""
    model, (images, labels) = Linear(), batch()
    wanted = attack(model, images, labels, budgets=[0, 1, 4], steps=5)
    assert wanted.accuracy[4] < 0.5
    for without in (torch.no_grad(), torch.inference_mode()):
        with without:
            found = attack(model, images * 1, labels, budgets=[0, 1, 4], steps=5)
        assert found.accuracy == wanted.accuracy and found.doubts == wanted.doubts


def test_a_model_that_was_made_without_gradients_is_one_line():
    with torch.inference_mode():
        made = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    with pytest.raises(InputError, match=r"^attack: the model was made under torch\.inference_mode"):
        attack(made, *batch(), budgets=[0, 1])
