"""The small networks that tests attack: how they are built, read, and how their files were made.

    python tests/networks_under_attack/make.py [FOLDER]

writes them again, into this folder or another one (ten seconds). Tests read the files and never train these networks: a
network trained on another processor is another network, and what was measured on one need not hold for the other.
Training is in float64 with fixed draws: AVX-512 and AVX2 give the same files, SSE the same to 4e-7, except cnn-robust,
where the sign of a gradient near zero makes another network of it. Nothing is taken from neurobust: the networks stay
the same whatever changes there.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
TRAIN = 1400  # of the 1797 digits; the others were never shown to any of these networks
ADVERSARIAL = {"cnn-robust": 32 / 255, "mlp-robust": 0.1}  # largest change of a pixel that they were trained against


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Scikit-learn's real 8 x 8 digits in fixed order: uint8 RGB (n, 8, 8, 3) and labels int64 (n,)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.round(data.images / 16 * 255).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(grey))  # the file's last writers differ from its first
    return np.repeat(grey[..., None], 3, axis=3)[order], data.target.astype(np.int64)[order]


class Patches(nn.Module):
    """Images (N, 3, 8, 8) as 16 tokens (N, 16, 32), each of a patch of 2 x 2 pixels and its place."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 32, 2, stride=2)
        self.place = nn.Parameter(0.02 * torch.randn(1, 16, 32))

    def forward(self, images: Tensor) -> Tensor:
        return self.embed(images).flatten(2).transpose(1, 2) + self.place


class Block(nn.Module):
    """A transformer's block: attention of four heads, then two layers, each after a layer norm and around a skip."""

    def __init__(self):
        super().__init__()
        self.before, self.attention = nn.LayerNorm(32), nn.MultiheadAttention(32, 4, batch_first=True)
        self.layers = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, tokens: Tensor) -> Tensor:
        looked = self.before(tokens)
        tokens = tokens + self.attention(looked, looked, looked, need_weights=False)[0]
        return tokens + self.layers(tokens)


def build(name: str) -> nn.Sequential:
    """The network `name` with random weights: a convolutional one, one of two layers, or a small vision transformer."""
    if name == "vit":
        return nn.Sequential(Patches(), Block(), Block(), nn.LayerNorm(32), nn.Flatten(), nn.Linear(512, 10))
    if name.startswith("mlp"):
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip


def load(name: str) -> nn.Sequential:
    """The network `name` with the weights of its file, in evaluation mode."""
    from safetensors.torch import load_file

    network = build(name)
    network.load_state_dict(load_file(HERE / f"{name}.safetensors"))
    return network.eval()


def perturbed(network: nn.Module, images: Tensor, labels: Tensor, radius: float) -> Tensor:
    """One signed gradient step of 1.25 radii from a random point, kept within `radius` of the images."""
    noise = radius * (2 * torch.rand_like(images) - 1)
    start = (images + noise).clamp(0, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(network(start), labels), start)
    return (images + (noise + 1.25 * radius * gradient.sign()).clamp(-radius, radius)).clamp(0, 1)


def train(name: str, images: Tensor, labels: Tensor, epochs: int) -> nn.Module:
    """Fit a network by SGD with momentum: on the images, or on perturbed ones where it is to be robust."""
    torch.manual_seed(0)
    network, radius = build(name).double(), ADVERSARIAL.get(name)
    parameters = list(network.parameters())
    momenta = [torch.zeros_like(parameter) for parameter in parameters]
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(64):
            points = images[rows] if radius is None else perturbed(network, images[rows], labels[rows], radius)
            loss = nn.functional.cross_entropy(network(points), labels[rows])
            gradients = torch.autograd.grad(loss, parameters)
            for parameter, momentum, gradient in zip(parameters, momenta, gradients, strict=True):
                parameter.data -= 0.05 * momentum.mul_(0.9).add_(gradient)
    return network.float().eval()


def main(folder: Path) -> None:
    """Write the five networks into `folder`, and print how many of the digits not shown they read."""
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    pixels, labels = read_digits()
    images, labels = torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255, torch.from_numpy(labels)
    for name, epochs in (("cnn", 12), ("cnn-robust", 20), ("mlp", 15), ("mlp-robust", 15), ("vit", 12)):
        network = train(name, images[:TRAIN], labels[:TRAIN], epochs)
        right = (network(images[TRAIN:].float()).argmax(1) == labels[TRAIN:]).double().mean()
        save_file(network.state_dict(), folder / f"{name}.safetensors")
        print(f"{name}: accuracy {right:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
