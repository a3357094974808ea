"""Common corruptions: published strengths, closed forms, rising severity, and the files that they pass through."""

import io
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image
from scipy.ndimage import gaussian_filter

from neurobust.attacks.corruptions import blur, digital, evaluate, noise, weather
from neurobust.attacks.corruptions.make import corrupt, make_corruptions
from neurobust.attacks.corruptions.registry import CORRUPTIONS, HELD_OUT, SCORED, SEVERITIES, corruption_modules
from neurobust.attacks.corruptions.settings import Corruptions
from neurobust.attacks.corruptions.tables import NATIVE_SIDE, SMALLEST_SIDE, TABLES, too_fine, way_out
from neurobust.attacks.perceptual import ssim
from neurobust.core.errors import InputError
from neurobust.core.io import read_parquet
from neurobust.core.settings import read
from neurobust.files.dataset import read_dataset

# Pairs of severities whose published numbers do not get stronger, by set and type; why is tested further down.
EVERY_PAIR = {(1, 2), (2, 3), (3, 4), (4, 5)}
LEVEL = {
    "cifar": {"glass_blur": {(1, 2), (2, 3), (4, 5)}, "elastic_transform": EVERY_PAIR, "motion_blur": {(3, 4)},
              "spatter": {(3, 4)}, "saturate": {(2, 3)}},
    "tinyimagenet": {"glass_blur": {(1, 2)}, "elastic_transform": EVERY_PAIR, "spatter": {(3, 4)},
                     "saturate": {(2, 3)}},
    "imagenet": {"elastic_transform": {(2, 3), (3, 4)}, "saturate": {(2, 3)}, "fog": {(3, 4)}, "snow": {(2, 3)}},
}  # fmt: skip
COUNTS = {8: 24, 32: 8, 64: 4, 224: 1}  # images by side


def textured(count, side):
    """Colourful images uint8 (count, side, side, 3) with structure at every scale."""
    rng, images = np.random.default_rng(0), []
    for _ in range(count):
        image = 0.8 * rng.standard_normal(3) + np.zeros((side, side, 3))
        for sd, weight in ((0.6, 0.3), (side / 16, 0.6), (side / 5, 1.0)):
            field = gaussian_filter(rng.standard_normal(image.shape), (sd, sd, 0))
            image = image + weight * field / field.std()
        images.append(np.rint(255 / (1 + np.exp(-image))).astype(np.uint8))
    return np.stack(images)


@pytest.fixture(scope="module")
def images():
    return textured(6, 32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_published_numbers():
    """Spot checks against Hendrycks and Dietterich's own tables; `zoom_blur` holds how many factors theirs make."""
    cifar, tiny, imagenet = TABLES["cifar"], TABLES["tinyimagenet"], TABLES["imagenet"]
    assert [c[0] for c in tiny["gaussian_noise"]] == [0.04, 0.08, 0.12, 0.15, 0.18]
    assert [c[0] for c in tiny["gaussian_blur"]] == [0.5, 0.75, 1, 1.25, 1.5]
    assert tiny["defocus_blur"][0] == (0.5, 0.6) and tiny["defocus_blur"][4] == (3, 0.1)
    assert tiny["elastic_transform"][1] == pytest.approx((64 * 0.05, 64 * 0.3, 64 * 0.06))
    assert tiny["snow"][2] == (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7) and tiny["glass_blur"][3] == (0.7, 2, 1)
    assert tiny["zoom_blur"] == cifar["zoom_blur"] and tiny["saturate"][4] == (30, 0.2)
    assert [c[0] for c in cifar["gaussian_noise"]] == [0.04, 0.06, 0.08, 0.09, 0.10]
    assert [c[0] for c in imagenet["shot_noise"]] == [60, 25, 12, 5, 3]
    assert cifar["glass_blur"][3] == (0.25, 1, 2) and imagenet["glass_blur"][2] == (1, 2, 3)
    assert imagenet["motion_blur"] == ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
    assert cifar["snow"][4] == (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8)
    assert imagenet["frost"][4] == (0.6, 0.75) and cifar["fog"][2] == (0.75, 2.5)
    assert [c[0] for c in imagenet["jpeg_compression"]] == [25, 18, 15, 10, 7]
    assert cifar["elastic_transform"][1] == (32 * 0.05, 32 * 0.2, 32 * 0.07)
    assert imagenet["elastic_transform"][4] == pytest.approx((244 * 0.12, 244 * 0.01, 244 * 0.02))
    for top, (count, step) in zip((1.06, 1.11, 1.16, 1.21, 1.26), cifar["zoom_blur"], strict=True):
        assert len(np.arange(1, top, step)) == count
    ends = (1.11, 1.16, 1.21, 1.26, 1.31)
    for top, (count, step) in zip(ends, imagenet["zoom_blur"], strict=True):
        assert len(np.arange(1, top, step)) == count


def test_every_type_has_five_strengths_in_every_set():
    assert set(CORRUPTIONS) == {*SCORED, *HELD_OUT} and (len(SCORED), len(HELD_OUT)) == (15, 4)
    for table in TABLES.values():
        assert set(table) == set(CORRUPTIONS)
        assert all(len(strengths) == 5 for strengths in table.values())


def change(images, corrupted):
    """Mean absolute change of the images."""
    return np.abs(corrupted.astype(float) - images).mean()


def lost_structure(images, corrupted):
    """1 - SSIM: by far slower to find than the change."""
    one, other = (torch.from_numpy(part).permute(0, 3, 1, 2) / 255 for part in (images, corrupted))
    return 1 - ssim(one, other).mean().item()


def drawn_alike(images, kind, severity, table):
    """`corrupt`, but the random part is the same at every severity: what is left is the severity's own effect."""
    scale, strengths = images.shape[1] / NATIVE_SIDE[table], TABLES[table][kind][severity - 1]
    found = [
        CORRUPTIONS[kind](image / 255, np.random.default_rng(index), scale, *strengths)
        for index, image in enumerate(images)
    ]
    return np.rint(np.stack(found).clip(0, 1) * 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("side", COUNTS)
@pytest.mark.parametrize("table", TABLES)
def test_each_severity_is_a_change_and_no_weaker_than_the_one_before_or_is_refused(table, side):
    """The change, or where a veil dims and brightens at once (frost, fog, snow) the loss of structure, grows."""
    images = textured(COUNTS[side], side)
    for kind in CORRUPTIONS:
        if too_fine(table, [kind], side):
            continue
        found = [drawn_alike(images, kind, severity, table) for severity in SEVERITIES]
        changes = [change(images, corrupted) for corrupted in found]
        assert min(changes) > 0, kind
        for low in SEVERITIES[:-1]:
            if (low, low + 1) in LEVEL[table].get(kind, ()) or changes[low] > changes[low - 1]:
                continue
            assert side > 8, f"{kind}: {low} -> {low + 1}: {changes}"
            weaker, stronger = (lost_structure(images, found[place]) for place in (low - 1, low))
            assert stronger > weaker, f"{kind}: {low} -> {low + 1}: {changes}"


def test_no_set_is_refused_at_its_own_side_and_what_is_refused_elsewhere_has_a_way_out():
    for table, side in NATIVE_SIDE.items():
        assert not too_fine(table, CORRUPTIONS, side) and not too_fine(table, CORRUPTIONS, 2 * side)
        assert set(SMALLEST_SIDE[table]) <= set(CORRUPTIONS)
    assert too_fine("imagenet", CORRUPTIONS, 64) == ["defocus_blur", "glass_blur", "gaussian_blur"]
    assert way_out("imagenet", CORRUPTIONS, 64).startswith(
        "choose tinyimagenet, or by-side for tasks of several sides,"
    )
    assert way_out("imagenet", CORRUPTIONS, 32).endswith(
        "or leave defocus_blur, glass_blur, snow, gaussian_blur out of `types`"
    )
    assert way_out("cifar", ["fog", "glass_blur"], 8) == "leave glass_blur out of `types`"


def test_each_side_has_its_set():
    chosen = replace(SETTINGS, set="by-side")
    assert [chosen.set_for(side) for side in (8, 32, 63, 64, 128, 224, 299)] == [
        "cifar", "cifar", "cifar", "tinyimagenet", "tinyimagenet", "imagenet", "imagenet",
    ]  # fmt: skip
    assert all(not too_fine(chosen.set_for(side), CORRUPTIONS, side) for side in range(32, 400))
    assert SETTINGS.set_for(224) == "cifar"


@pytest.mark.parametrize(("table", "kind", "side"), [
    ("imagenet", "defocus_blur", 32), ("imagenet", "gaussian_blur", 32), ("imagenet", "defocus_blur", 64),
    ("imagenet", "gaussian_blur", 64), ("cifar", "gaussian_blur", 8), ("imagenet", "glass_blur", 32),
    ("cifar", "defocus_blur", 24), ("tinyimagenet", "defocus_blur", 48),
])  # fmt: skip
def test_what_is_refused_has_a_severity_that_changes_nothing(table, kind, side):
    images = textured(4, side)
    assert too_fine(table, [kind], side)
    assert not all(change(images, drawn_alike(images, kind, severity, table)) for severity in SEVERITIES)


def test_a_severity_without_effect_stops_the_job(dataset, tmp_path):
    """Grey digits have no saturation to scale: three of five severities are the images themselves."""
    for types, message in (
        (("saturate",), "saturate of severity 1 changes no pixel of all 3 images; leave saturate"),
        (("pixelate",), "pixelate of severity 2 is what severity 1 is on all 3 images"),
    ):
        with pytest.raises(InputError, match=message):
            make_corruptions(dataset, replace(SETTINGS, types=types, images=3), tmp_path / "corruptions.h5")
        assert not (tmp_path / "corruptions.h5").exists()


def test_why_some_published_strengths_do_not_rise(rng):
    image = textured(1, 64)[0] / 255
    glass, motion = TABLES["cifar"]["glass_blur"], TABLES["cifar"]["motion_blur"]
    assert glass[1][0] == glass[3][0] and glass[1][2] < glass[3][2]  # same blur, swapped twice: stronger
    change = [np.abs(blur.glass_blur(image, np.random.default_rng(1), 1, *glass[k]) - image).mean() for k in (1, 3)]
    assert change[1] > 1.1 * change[0]
    assert motion[2][1] == motion[3][1]  # one SD, and both kernels reach far beyond it: the same blur
    assert np.allclose(blur.trail(image, *motion[2], 20), blur.trail(image, *motion[3], 20), atol=1e-6)
    fog = TABLES["imagenet"]["fog"]  # as thick, and rougher
    assert fog[2][0] == fog[3][0] and fog[2][1] > fog[3][1]
    snow = TABLES["imagenet"]["snow"]  # flakes of as much light within a fifth and as much colour kept, but larger
    draws = [np.random.default_rng(1).normal(mean, sd, 10**5) for mean, sd, *_ in snow[1:3]]
    light = [
        np.where(draw < floor, 0, draw).clip(0, 1).mean()
        for draw, (_, _, _, floor, *_) in zip(draws, snow[1:3], strict=True)
    ]
    assert light[1] < 1.2 * light[0] and snow[1][6] == snow[2][6] and snow[2][2] == 2 * snow[1][2]
    saturate = TABLES["cifar"]["saturate"]
    assert all(factor < 1 for factor, _ in saturate[:2]) and all(factor > 1 for factor, _ in saturate[2:])
    for table in ("cifar", "tinyimagenet"):
        assert [mud for *_, mud in TABLES[table]["spatter"]] == [0, 0, 0, 1, 1]
    tiny = TABLES["tinyimagenet"]["glass_blur"]  # swapped alike, and the wider blur evens out more of the swaps
    assert tiny[0][1:] == tiny[1][1:] and tiny[0][0] < tiny[1][0]
    for table in ("cifar", "tinyimagenet"):
        elastic = TABLES[table]["elastic_transform"]  # the affine jitter falls while the warp rises
        assert sorted((jitter for *_, jitter in elastic), reverse=True) == [jitter for *_, jitter in elastic]
        fields = [(amount, sd, 0) for amount, sd, _ in elastic]
        warps = [digital.elastic_transform(image, np.random.default_rng(1), 1, *field) for field in fields]
        warp = [np.abs(warped - image).mean() for warped in warps]
        assert warp[0] == pytest.approx(0, abs=1e-12) and warp == sorted(warp) and warp[4] > warp[2]


@pytest.mark.parametrize("table", TABLES)
def test_an_image_is_corrupted_alike_whatever_came_before(images, table):
    for kind in CORRUPTIONS:
        alone = corrupt(images[3], kind, 4, table, 3)
        batch = [corrupt(image, kind, 4, table, index) for index, image in reversed(list(enumerate(images)))][::-1]
        assert np.array_equal(alone, batch[3])
        assert alone.dtype == np.uint8 and alone.shape == images[3].shape


def test_images_severities_and_types_have_draws_of_their_own(images):
    for kind in ("gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "snow", "frost", "fog", "spatter",
                 "speckle_noise", "elastic_transform", "motion_blur"):  # fmt: skip
        assert not np.array_equal(corrupt(images[0], kind, 5, "cifar", 0), corrupt(images[0], kind, 5, "cifar", 1)), (
            kind
        )
    image = np.full((32, 32, 3), 128, np.uint8)
    drawn = [corrupt(image, "gaussian_noise", severity, "cifar", 0).astype(float) - 128 for severity in (3, 4)]
    assert abs(np.corrcoef(drawn[0].ravel(), drawn[1].ravel())[0, 1]) < 0.1


def test_noise_moments(rng):
    image = np.full((200, 200, 3), 0.5)
    assert noise.gaussian_noise(image, rng, 1, 0.1).std() == pytest.approx(0.1, rel=0.02)
    shot = noise.shot_noise(image, rng, 1, 60)
    assert (shot.mean(), shot.std()) == pytest.approx((0.5, np.sqrt(0.5 / 60)), rel=0.02)
    assert noise.speckle_noise(image, rng, 1, 0.2).std() == pytest.approx(0.1, rel=0.02)
    impulse = noise.impulse_noise(image, rng, 1, 0.27)
    black, white = (impulse == 0).mean(), (impulse == 1).mean()
    assert (black, white) == pytest.approx((0.135, 0.135), rel=0.05) and black + white + (impulse == 0.5).mean() == 1


def test_colour_corruptions_are_colorsys(rng):
    import colorsys

    image = textured(1, 12)[0] / 255
    image[0, 0], image[0, 1] = 0, (0.3, 0.3, 0.3)  # black and a grey, which has the hue of red

    def by_colorsys(change):
        return np.array(
            [[colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))) for pixel in row] for row in image]
        )

    assert np.allclose(digital.brightness(image, rng, 1, 0.2), by_colorsys(lambda h, s, v: (h, s, min(v + 0.2, 1))))
    for factor, amount in ((0.3, 0), (2, 0.1), (20, 0.2)):
        expected = by_colorsys(lambda h, s, v, f=factor, a=amount: (h, min(s * f + a, 1), v))
        assert np.allclose(digital.saturate(image, rng, 1, factor, amount), expected)


def test_contrast_and_pixelate_are_closed_forms(images, rng):
    image = images[0] / 255
    expected = image.mean((0, 1)) + 0.3 * (image - image.mean((0, 1)))
    assert np.allclose(digital.contrast(image, rng, 1, 0.3), expected)
    boxes = image.reshape(16, 2, 16, 2, 3).mean((1, 3)).repeat(2, 0).repeat(2, 1)
    assert np.abs(digital.pixelate(image, rng, 1, 0.5) - boxes).max() <= 1.01 / 255  # PIL rounds rows, then columns


def test_jpeg_is_a_jpeg_file(images, rng):
    buffer = io.BytesIO()
    Image.fromarray(images[0]).save(buffer, "JPEG", quality=25)
    assert np.array_equal(corrupt(images[0], "jpeg_compression", 1, "imagenet", 0), np.asarray(Image.open(buffer)))


def test_blurs_keep_a_flat_image_and_spread_a_point(rng):
    flat, point = np.full((40, 40, 3), 0.3), np.zeros((41, 41, 3))
    point[20, 20] = 1
    for change in (lambda x: blur.gaussian_blur(x, rng, 1, 2), lambda x: blur.defocus_blur(x, rng, 1, 3, 0.1),
                   lambda x: blur.trail(x, 6, 2, 30), lambda x: blur.zoom_blur(x, rng, 1, 12, 0.01),
                   lambda x: blur.glass_blur(x, rng, 1, 0.7, 2, 2),
                   lambda x: digital.elastic_transform(x, rng, 1, 3, 2, 4)):  # fmt: skip
        assert np.allclose(change(flat), 0.3)
    disc = blur.defocus_blur(point, rng, 1, 3, 0.1)[..., 0]
    rows, columns = np.mgrid[-20:21, -20:21]
    assert np.allclose(disc, (rows**2 + columns**2 <= 9) / 29, atol=1e-6)


def test_motion_is_half_a_gaussian_along_the_line():
    point = np.zeros((41, 41))
    point[20, 20] = 1
    weights = np.exp(-(np.arange(13) ** 2) / 8) / np.exp(-(np.arange(13) ** 2) / 8).sum()
    right, down = blur.trail(point, 6, 2, 0), blur.trail(point, 6, 2, 90)
    assert np.allclose(right[20, 20:7:-1], weights) and right.sum() == pytest.approx(1)
    assert np.allclose(down[20:7:-1, 20], weights)
    diagonal = blur.trail(point, 6, 2, 45)
    assert all(row == column for row, column in np.argwhere(diagonal > 0)) and diagonal.sum() == pytest.approx(1)


def test_glass_swaps_and_does_not_copy(rng):
    """The published files lose pixels to a swap of views; ours keep every one."""
    image = np.arange(32 * 32 * 3).reshape(32, 32, 3) / 3072
    glass = blur.glass_blur(image, rng, 1, 0.0, 1, 2)
    assert np.array_equal(np.sort(glass.ravel()), np.sort(image.ravel()))
    assert (glass != image).any(2).mean() > 0.7
    moved = [np.abs(np.array(np.unravel_index(round(value * 3072) // 3, (32, 32))) - (row, column)).max()
             for row, line in enumerate(glass[..., 0]) for column, value in enumerate(line)]  # fmt: skip
    assert np.mean(moved) < 2.5, "a sweep in one direction would drag pixels along"


def test_magnified_ramp_is_a_flatter_ramp():
    ramp = np.arange(33.0)[:, None] + 2 * np.arange(33.0)
    assert np.array_equal(blur.magnify(ramp, 1.0), ramp)
    assert np.allclose(blur.magnify(ramp, 1.25), 48 + (ramp - 48) / 1.25)


def test_weather_layers(rng):
    cloud = weather.plasma(48, 2.0, rng)
    assert cloud.shape == (48, 48) and cloud.min() >= 0 and cloud.max() <= 1
    clouds = [weather.plasma(64, decay, np.random.default_rng(1)) for decay in (3, 2, 1.4)]
    rough = [np.abs(np.diff(cloud, n=2)).mean() for cloud in clouds]
    assert rough == sorted(rough) and rough[2] > 2 * rough[0]  # a slower decay is a rougher cloud
    image = textured(1, 32)[0] / 255
    fog = weather.fog(image, np.random.default_rng(3), 1, 1.5, 2)
    cloud = weather.plasma(32, 2, np.random.default_rng(3))[..., None]
    assert np.allclose(fog, (image + 1.5 * cloud) * image.max() / (image.max() + 1.5)) and fog.max() <= 1
    means = [weather.crystals(side, np.random.default_rng(2)).mean() for side in (32, 64, 224)]
    assert min(means) > 0.3 and max(means) < 0.6
    dry = weather.spatter(image, rng, 1, 0.1, 0.01, 1, 0.9, 0.5, 0)
    assert np.array_equal(dry, image)  # no drop anywhere


def test_a_set_means_the_same_at_any_size():
    """Lengths grow with the image: a picture at twice the side is corrupted like itself."""
    small = np.kron(textured(1, 16)[0], np.ones((2, 2, 1))).astype(np.uint8)
    large = np.kron(small, np.ones((2, 2, 1))).astype(np.uint8)
    for kind in ("gaussian_blur", "zoom_blur", "contrast", "brightness", "saturate"):
        one, two = (corrupt(image, kind, 5, "cifar", 0).astype(float) for image in (small, large))
        halved = two.reshape(32, 2, 32, 2, 3).mean((1, 3))
        assert np.abs(one - halved).mean() < 4, kind


def test_bad_requests_are_one_clear_error(images):
    for kind, severity, table in (("rain", 1, "cifar"), ("snow", 6, "cifar"), ("snow", 1, "mnist")):
        with pytest.raises(InputError, match="choose a type"):
            corrupt(images[0], kind, severity, table, 0)
    with pytest.raises(InputError, match=r"image 7: uint8 \(32, 16, 3\)"):
        corrupt(images[0][:, :16], "snow", 1, "cifar", 7)
    with pytest.raises(InputError, match="'rain' is not known; give scored, all or a list"):
        of_types(["snow", "rain"])
    with pytest.raises(InputError, match=r"corruptions\.types: 'most' is not known; choose one of scored, all"):
        of_types("most")
    with pytest.raises(InputError, match=r"corruptions\.types: \[\]"):
        of_types([])


def of_types(types):
    return read(Corruptions, {"set": "cifar", "types": types, "images": 3}, "corruptions")


def test_types_come_in_one_order():
    assert of_types("scored").names == SCORED and of_types("all").names == (*SCORED, *HELD_OUT)
    assert of_types(["snow", "gaussian_noise"]).names == ("gaussian_noise", "snow")
    assert of_types("scored").corrupted() == 15 * 5 * 3 and of_types(["snow"]).corrupted() == 15


def test_names_cost_no_import_and_modules_are_those_of_the_types():
    assert corruption_modules(["snow", "fog"]) == ["neurobust.attacks.corruptions.weather"]
    code = (
        "import sys, neurobust.attacks.corruptions.settings; "
        "sys.exit(bool({'torch', 'scipy', 'pandas', 'h5py'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


SETTINGS = Corruptions(set="cifar", types=("gaussian_noise", "contrast", "brightness"), images=9)


def test_files_hold_what_corrupt_makes_and_what_the_network_says(dataset, net, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "load_network", lambda path: net)
    monkeypatch.setattr(evaluate, "pick_device", lambda: torch.device("cpu"))
    weights, table = tmp_path / "model.safetensors", tmp_path / "corruptions.parquet"
    weights.write_bytes(b"digits net")
    make_corruptions(dataset, SETTINGS, tmp_path / "corruptions.h5")
    data = read_dataset(dataset)
    rows = data.examined(9)
    labels = data.labels[rows]
    with h5py.File(dataset) as source, h5py.File(tmp_path / "corruptions.h5") as file:
        clean, images = source["images"][:], file["images"][:]
        assert images.shape == (3, 5, 9, 8, 8, 3) and file["images"].chunks == (1, 1, 1, 8, 8, 3)
        assert file["image"][:].tolist() == rows.tolist()
        assert file.attrs["types"] == '["gaussian_noise","brightness","contrast"]' and file.attrs["set"] == "cifar"
        assert "sha256" in file.attrs["provenance"]
    assert np.array_equal(images[0, 4, 2], corrupt(clean[rows[2]], "gaussian_noise", 5, "cifar", rows[2]))

    names = {"task": "digits", "architecture": "tiny", "condition": "none", "seed": 0}
    evaluate.corrupt_network(dataset, weights, tmp_path / "corruptions.h5", table, names, image_batch=4)
    frame, attrs = read_parquet(table)
    assert list(frame.columns) == ["image", "corruption", "severity", "clean_correct", "correct"]
    assert len(frame) == 3 * 5 * 9 and attrs["types"] == ["gaussian_noise", "brightness", "contrast"]
    with torch.no_grad():
        for row in frame.sample(20, random_state=0).itertuples():
            place = (attrs["types"].index(row.corruption), row.severity - 1, rows.tolist().index(row.image))
            points = np.stack([images[place], clean[row.image]])
            answers = net(torch.from_numpy(points).permute(0, 3, 1, 2).float() / 255).argmax(1)
            assert [row.correct, row.clean_correct] == (answers == labels[place[2]]).tolist()
    assert 0 < frame["correct"].mean() < 1

    again = tmp_path / "again.h5"
    make_corruptions(dataset, replace(SETTINGS, set="by-side"), again)
    with h5py.File(again) as file:
        assert file.attrs["set"] == "cifar" and np.array_equal(file["images"][:], images)
    make_corruptions(dataset, SETTINGS, again)
    assert again.read_bytes() == (tmp_path / "corruptions.h5").read_bytes()


def test_more_images_continue_the_same_list(dataset, tmp_path):
    for count in (3, 5):
        make_corruptions(dataset, replace(SETTINGS, images=count), tmp_path / f"{count}.h5")
    with h5py.File(tmp_path / "3.h5") as few, h5py.File(tmp_path / "5.h5") as more:
        assert np.array_equal(few["images"][:], more["images"][:, :, :3])


def test_corruptions_of_other_images_are_refused(dataset, net, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "load_network", lambda path: net)
    made, weights = tmp_path / "corruptions.h5", tmp_path / "model.safetensors"
    weights.write_bytes(b"digits net")
    make_corruptions(dataset, replace(SETTINGS, images=2), made)
    with h5py.File(dataset, "a") as file:
        file["images"][0, 0, 0, 0] ^= 1
    names = {"task": "digits", "architecture": "tiny", "condition": "none", "seed": 0}
    with pytest.raises(InputError, match="made of other images than"):
        evaluate.corrupt_network(dataset, weights, made, tmp_path / "table.parquet", names)
    assert not (tmp_path / "table.parquet").exists()
