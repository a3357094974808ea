"""The cross-layer Gram loss against a slow reference, its gates, and tAdv on a network of known taste."""

import io
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from neurobust.attacks.images import to_batch
from neurobust.attacks.semantic.jpeg import in_jpeg
from neurobust.attacks.semantic.tadv import JPEGAttack, TAdvAttack, same_length_noise
from neurobust.attacks.semantic.tadv_settings import TAdv, TAdvJPEG
from neurobust.attacks.semantic.texture import TextureNetwork, cross_grams, gram_scales, style_fall, texture_loss
from neurobust.files.splits import TRAIN


def slow_gram(low, high):
    enlarged = functional.interpolate(high[None], size=low.shape[1:], mode="bilinear", align_corners=False)[0]
    channels, height, width = low.shape
    gram = torch.zeros(channels, len(high))
    for i in range(channels):
        for j in range(len(high)):
            for y in range(height):
                for x in range(width):
                    gram[i, j] += low[i, y, x] * enlarged[j, y, x]
    return gram / (height * width)


def test_gram_and_loss_equal_a_slow_reference():
    torch.manual_seed(0)
    maps = [torch.randn(2, 3, 6, 6), torch.randn(2, 4, 3, 3), torch.randn(2, 2, 2, 2)]
    styles = [torch.randn_like(part) for part in maps]
    mine, wanted = cross_grams(maps), cross_grams(styles)
    loss = texture_loss(mine, wanted, gram_scales(mine))
    for n in range(2):
        total = 0.0
        for k in range(2):
            gram, style = slow_gram(maps[k][n], maps[k + 1][n]), slow_gram(styles[k][n], styles[k + 1][n])
            assert torch.allclose(mine[k][n], gram, atol=1e-5)
            total += ((gram - style) ** 2).mean() / maps[k].shape[1] ** 2 / gram.flatten().std()
        assert torch.isclose(loss[n], total, rtol=1e-4)


def test_the_loss_of_an_image_to_itself_is_zero_and_falls_towards_another(data, batch):
    torch.manual_seed(0)
    network = TextureNetwork(4, (8, 8, 16, 16, 16)).eval().requires_grad_(False)
    images = batch[0]
    grams = cross_grams(network.maps(images))
    assert texture_loss(grams, grams, gram_scales(grams)).abs().max() == 0
    assert style_fall(network, images[:4], images[4:], 14).min() > 1


def tadv(data, attack=TAdvAttack, kind=TAdv, **settings):
    torch.manual_seed(0)
    network = TextureNetwork(4, (8, 8, 16, 16, 16)).eval().requires_grad_(False)
    return attack({"texture": network}, data, kind(**({"strengths": (0, 1, 4, 8)} | settings)))


def named_by(network, data):
    """The data with the network's own answers as labels."""
    everything = to_batch(data, np.arange(len(data.labels)), torch.device("cpu"))
    return replace(data, labels=network(everything).argmax(1).numpy())


def test_styles_are_the_nearest_of_another_class_and_know_no_network(data, batch):
    attack = tadv(data)
    images, _, rows = batch
    labels = torch.from_numpy(data.labels[rows])
    styles, targets = attack.choose_styles(images, labels, rows)
    assert (targets != labels).all() and (data.labels[styles] == targets.numpy()).all()
    assert (data.split[styles] == TRAIN).all()
    features = functional.normalize(attack.network.features(images), dim=1)
    for k in range(len(rows)):
        rivals = attack.bank[attack.bank_labels == targets[k].item()]
        others = functional.normalize(attack.network.features(to_batch(data, rivals, torch.device("cpu"))), dim=1)
        assert styles[k] == rivals[int((others @ features[k]).argmax())]
    again, _ = attack.choose_styles(images[3:5], labels[3:5], rows[3:5])
    assert again.tolist() == styles[3:5].tolist()


def test_tadv_is_monotone_counts_its_passes_and_does_not_depend_on_batch_or_order(data, batch, toys):
    images, labels, rows = batch
    network = toys.MeanColour()
    attack = tadv(named_by(network, data), weight=1.0)
    whole = attack(network, images, labels, rows)
    assert len(whole.tried) == 4 and whole.clean_correct.all()
    assert torch.equal(whole.tried[0], images), "no step, no change"
    standing = whole.first == 4
    assert (whole.n_backward.sum(1)[standing] == 8).all() and (whole.n_backward[:, 0] == 0).all()
    assert ((whole.first > 0) | ~whole.clean_correct).all()
    for place in range(4):
        wrong = network(whole.tried[place]).argmax(1) != labels
        assert torch.equal(wrong, whole.first <= place)
        assert whole.tried[place].min() >= 0 and whole.tried[place].max() <= 1
    order = [5, 2, 7]
    part = attack(network, images[order], labels[order], [rows[k] for k in order])
    assert torch.equal(part.first, whole.first[order])
    assert torch.allclose(part.tried[-1], whole.tried[-1][order], atol=1e-5)


def test_noise_has_the_length_of_what_it_is_compared_with(batch):
    images, _, rows = batch
    tried = (images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    noisy = same_length_noise(images, tried, rows)
    wanted, found = ((part - images).flatten(1).norm(dim=1) for part in (tried, noisy))
    assert torch.allclose(wanted, found, rtol=1e-3)
    assert not torch.allclose(noisy, tried, atol=0.05)


def test_jpeg_is_that_of_files_and_gradients_pass_as_they_are(batch):
    images = batch[0].clone().requires_grad_()
    decoded = in_jpeg(images, 60)
    for image, found in zip(batch[0], decoded.detach(), strict=True):
        file = io.BytesIO()
        pixels = (255 * image.permute(1, 2, 0)).round().to(torch.uint8).numpy()
        Image.fromarray(pixels).save(file, "JPEG", quality=60)
        assert np.array_equal(np.asarray(Image.open(file)), (255 * found.permute(1, 2, 0)).round().numpy())
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((decoded * weights).sum(), images)
    assert torch.equal(gradient, weights)
    assert in_jpeg(images[:0], 60).shape == images[:0].shape
    worse = in_jpeg(batch[0], 10)
    assert (worse - batch[0]).abs().mean() > (decoded - batch[0]).abs().mean() > 0


def test_with_jpeg_in_the_loop_the_network_meets_files_alone_and_files_break_it(data, batch, toys):
    images, labels, rows = batch
    seen = []

    class Noted(toys.MeanColour):
        def forward(self, images):
            seen.append(images.detach())
            return super().forward(images)

    own, network = named_by(toys.MeanColour(), data), Noted()
    attack = tadv(own, JPEGAttack, TAdvJPEG, weight=1.0, quality=75)
    attempt = attack(network, images, labels, rows)
    levels = 255 * torch.cat(seen[1:])  # after the clean look
    assert (levels - levels.round()).abs().max() < 1e-3, "decoded pixels have 8 bits"
    plain = 255 * tadv(own, weight=1.0)(toys.MeanColour(), images, labels, rows).tried[-1]
    assert (plain - plain.round()).abs().max() > 0.1, "those of the attack without JPEG have not"
    broken = (attempt.first < 4) & attempt.clean_correct
    again = toys.MeanColour()(in_jpeg(attempt.tried[-1], 75)).argmax(1)
    assert broken.sum() >= 4 and (again != labels)[broken].double().mean() > 0.8, "stored once more too"
    assert torch.equal(attempt.baselines["jpeg-only"][2], in_jpeg(images, 75))
    texture = 255 * attempt.baselines["texture-only"][-1]
    assert (texture - texture.round()).abs().max() < 1e-3
