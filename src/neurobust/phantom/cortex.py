"""The planted cortex: what each voxel of the phantom responds to, and how noisy it is.

A voxel's noise-free signal is one of six kinds:
  energy    Gabor energy of one orientation and spatial frequency, pooled over a Gaussian pRF (V1, V2, V3);
  midlevel  local colour opponency, or energy over all orientations (texture), in a larger pRF (hV4, VO, PHC, PPA);
  category  a random tuning over the object categories, scaled by the object's size (EBA);
  face      how much of the frame a face fills, with a preference over identities (OFA, FFA);
  silhouette  a random projection of the object's or face's outline in its own place and size: it tells the category
            and knows neither position, size, colour nor cue (LO, TO);
  noise     nothing: its trials are noise alone (FEF).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurobust.core.seeding import numpy_rng
from neurobust.phantom.scenes import CATEGORIES, Scene, identity_traits, silhouette

SIZE = 64  # pixels at which filters see the image
FREQUENCIES = (6.0, 12.0)  # cycles per image
ORIENTATIONS = 6
KINDS = ("energy", "midlevel", "category", "face", "silhouette", "noise")


@dataclass(frozen=True)
class Region:
    """Voxels of one label: how many per hemisphere, what they respond to, pRF size (half frames) and signal."""

    atlas: str
    label: str
    count: int
    kind: str
    prf_size: tuple[float, float]
    ncsnr: tuple[float, float]


@dataclass(frozen=True)
class Voxel:
    """The truth of a planted voxel: its label and side, its ncsnr, the number of its kind in KINDS, its pRF (centre and
    size in half frames, y down), and which feature map it reads (-1 for kinds that read none)."""

    atlas: str
    label: str
    hemisphere: str
    ncsnr: float
    kind: int
    x: float
    y: float
    sigma: float
    channel: int

    @property
    def noise(self) -> bool:
        """Whether it answers to nothing."""
        return KINDS[self.kind] == "noise"


EARLY, LARGE, SIGNAL = (0.12, 0.3), (0.3, 0.5), (0.5, 1.3)
REGIONS = [
    Region("prf-visualrois", "V1v", 20, "energy", EARLY, SIGNAL),
    Region("prf-visualrois", "V1d", 20, "energy", EARLY, SIGNAL),
    Region("prf-visualrois", "V2v", 14, "energy", (0.2, 0.4), SIGNAL),
    Region("prf-visualrois", "V2d", 14, "energy", (0.2, 0.4), SIGNAL),
    Region("prf-visualrois", "V3v", 10, "energy", LARGE, SIGNAL),
    Region("prf-visualrois", "V3d", 10, "energy", LARGE, SIGNAL),
    Region("prf-visualrois", "hV4", 20, "midlevel", LARGE, SIGNAL),
    Region("Kastner2015", "VO1", 8, "midlevel", LARGE, SIGNAL),
    Region("Kastner2015", "VO2", 8, "midlevel", LARGE, SIGNAL),
    Region("Kastner2015", "PHC1", 8, "midlevel", LARGE, SIGNAL),
    Region("Kastner2015", "PHC2", 8, "midlevel", LARGE, SIGNAL),
    Region("Kastner2015", "LO1", 16, "silhouette", LARGE, SIGNAL),
    Region("Kastner2015", "LO2", 16, "silhouette", LARGE, SIGNAL),
    Region("Kastner2015", "TO1", 8, "silhouette", LARGE, (0.7, 1.5)),
    Region("Kastner2015", "TO2", 8, "silhouette", LARGE, (0.7, 1.5)),
    Region("floc-faces", "OFA", 8, "face", LARGE, SIGNAL),
    Region("floc-faces", "FFA-1", 10, "face", LARGE, SIGNAL),
    Region("floc-faces", "FFA-2", 10, "face", LARGE, SIGNAL),
    Region("floc-places", "PPA", 12, "midlevel", LARGE, SIGNAL),
    Region("floc-bodies", "EBA", 12, "category", LARGE, SIGNAL),
    Region("Kastner2015", "FEF", 10, "noise", LARGE, (0.0, 0.0)),
]


def luminance(images: np.ndarray) -> np.ndarray:
    """Rec. 709 luma of uint8 (N, H, W, 3) as float32 (N, H, W) in [0, 1]."""
    return (images @ np.array([0.2126, 0.7152, 0.0722], np.float32)) / 255


def shrink(images: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Average uint8 images (N, H, W, 3) down to (N, size, size, 3) float32; H must be a multiple of `size`."""
    n, height = images.shape[:2]
    factor = height // size
    return images.reshape(n, size, factor, size, factor, 3).mean((2, 4), dtype=np.float32)


def energy_maps(gray: np.ndarray) -> np.ndarray:
    """Gabor energy sqrt(even^2 + odd^2) of (N, S, S): float32 (frequencies, orientations, N, S, S).

    One-sided Gaussian band-pass filters in the Fourier domain (bandwidth half the frequency): the modulus of the
    analytic response is the energy of a quadrature pair.
    """
    size = gray.shape[-1]
    fy, fx = np.meshgrid(np.fft.fftfreq(size) * size, np.fft.fftfreq(size) * size, indexing="ij")
    spectrum = np.fft.fft2(gray - gray.mean((1, 2), keepdims=True))
    maps = np.empty((len(FREQUENCIES), ORIENTATIONS, *gray.shape), np.float32)
    for i, frequency in enumerate(FREQUENCIES):
        for j in range(ORIENTATIONS):
            angle = np.pi * j / ORIENTATIONS
            along = (fx - frequency * np.cos(angle)) ** 2 + (fy - frequency * np.sin(angle)) ** 2
            band = np.exp(-along / (2 * (0.35 * frequency) ** 2))
            maps[i, j] = np.abs(np.fft.ifft2(spectrum * band))
    return maps


def midlevel_maps(images: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Red-green, blue-yellow, saturation and texture (energy over all orientations): float32 (4, N, S, S)."""
    red, green, blue = np.moveaxis(images / 255, -1, 0)
    saturation = images.max(-1) / 255 - images.min(-1) / 255
    texture = np.sqrt(energy.mean((0, 1)))
    return np.stack([red - green, blue - (red + green) / 2, saturation, texture]).astype(np.float32)


def pool(maps: np.ndarray, x: float, y: float, sigma: float) -> np.ndarray:
    """Gaussian-weighted mean of maps (N, S, S) at (x, y) in half frames (-1 ... 1, y down): (N,)."""
    size = maps.shape[-1]
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    gx, gy = np.exp(-((axis - x) ** 2) / (2 * sigma**2)), np.exp(-((axis - y) ** 2) / (2 * sigma**2))
    weights = np.outer(gy, gx).astype(np.float32)
    return np.tensordot(maps, weights / weights.sum(), axes=([1, 2], [0, 1]))


class Stimuli:
    """Features of a set of scenes, computed once for all voxels. images: uint8 (N, H, W, 3), H a multiple of 64."""

    def __init__(self, scenes: list[Scene], images: np.ndarray):
        small = shrink(images)
        self.energy = np.sqrt(energy_maps(luminance(small)))
        self.midlevel = midlevel_maps(small, self.energy)
        names = (*CATEGORIES, "face")
        self.category = np.array([names.index(scene.category) for scene in scenes])
        self.size = np.array([scene.size for scene in scenes])
        self.face = np.array([scene.size**2 if scene.category == "face" else 0.0 for scene in scenes])
        self.identity = np.array([scene.identity for scene in scenes])
        self.silhouette = np.stack([silhouette(scene).ravel() for scene in scenes])

    def __len__(self) -> int:
        return len(self.category)


def plant_voxel(
    stimuli: Stimuli, region: Region, hemisphere: str, rng: np.random.Generator, silent: bool = False
) -> tuple[np.ndarray, Voxel]:
    """One voxel's noise-free signal over the images (N,), mean 0 and variance 1, and its truth; `silent`: ncsnr 0."""
    sigma = rng.uniform(*region.prf_size)
    eccentricity, angle = rng.uniform(0, 0.7), rng.uniform(0, 2 * np.pi)
    x, y = eccentricity * np.cos(angle), eccentricity * np.sin(angle)
    channel = -1
    if region.kind == "energy":
        frequency, orientation = int(rng.integers(len(FREQUENCIES))), int(rng.integers(ORIENTATIONS))
        channel = frequency * ORIENTATIONS + orientation
        signal = pool(stimuli.energy[frequency, orientation], x, y, sigma)
    elif region.kind == "midlevel":
        channel = int(rng.integers(len(stimuli.midlevel)))
        signal = pool(stimuli.midlevel[channel], x, y, sigma)
    else:
        signal = object_signal(stimuli, region.kind, rng)
    spread = signal.std()  # 0 where nothing that it answers to is shown, as without faces
    ncsnr = 0.0 if silent or spread == 0 else rng.uniform(*region.ncsnr)
    voxel = Voxel(region.atlas, region.label, hemisphere, ncsnr, KINDS.index(region.kind), x, y, sigma, channel)
    return (signal - signal.mean()) / (spread or 1.0), voxel


def object_signal(stimuli: Stimuli, kind: str, rng: np.random.Generator) -> np.ndarray:
    """The signal (N,) of a voxel of the kinds that know what is shown, not where; of a noise voxel one of chance."""
    if kind == "category":
        tuning = rng.normal(size=len(CATEGORIES) + 1)
        return tuning[stimuli.category] * (0.5 + stimuli.size)
    if kind == "silhouette":
        return stimuli.silhouette @ rng.normal(size=stimuli.silhouette.shape[1])
    if kind == "noise":
        return rng.normal(size=len(stimuli))
    taste = np.array([identity_traits(i)["width"] + identity_traits(i)["skin"] for i in range(64)])
    liking = 1 + rng.normal(0, 0.3) * (taste - taste.mean()) / taste.std()
    return stimuli.face * liking[stimuli.identity]


def exact_noise(rng: np.random.Generator, image_of_trial: np.ndarray, voxels: int) -> np.ndarray:
    """Noise (trials, voxels) whose variance over the repeats of an image is exactly 1, averaged over images with 3.

    Exact in this sample, so that the planted ncsnr is the sample's own and not its expectation.
    """
    noise = rng.normal(size=(len(image_of_trial), voxels))
    images, counts = np.unique(image_of_trial, return_counts=True)
    thrice = images[counts == 3]
    if len(thrice):
        rows = np.argsort(image_of_trial, kind="stable")
        rows = rows[np.isin(image_of_trial[rows], thrice)].reshape(len(thrice), 3)
        noise /= np.sqrt(noise[rows].var(1, ddof=1).mean(0))
    return noise


def plant_subject(
    subject: str, seed: int, stimuli: Stimuli, missing: tuple[str, ...] = ()
) -> tuple[list[Voxel], np.ndarray]:
    """All voxels of a subject: their truth, and signals (images, voxels)."""
    voxels, signals = [], []
    for region in REGIONS:
        if region.label in missing:
            continue
        for hemisphere in ("lh", "rh"):
            for k in range(region.count):
                rng = numpy_rng(seed, subject, region.atlas, region.label, hemisphere, k)
                # the first voxel of each label carries no signal
                signal, voxel = plant_voxel(stimuli, region, hemisphere, rng, silent=k == 0)
                voxels.append(voxel)
                signals.append(signal)
    return voxels, np.stack(signals, 1)
