"""PyTorch's side of the training benchmark: ResNet-50, BNNeck, losses and SGD, channels-last."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from experiments.benchmarks import input as reading
from experiments.benchmarks.training import Contender
from jreid.data.plain_folder import read_folder

HEIGHT, WIDTH = 288, 144
MARGIN = 0.3
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Bottleneck(nn.Module):
    """torchvision's block: the stride is in the 3x3 convolution."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * planes
        self.way = nn.Sequential(
            *_convolution(inputs, planes, 1), nn.ReLU(inplace=True),
            *_convolution(planes, planes, 3, stride), nn.ReLU(inplace=True),
            *_convolution(planes, outputs, 1),
        )  # fmt: skip
        straight = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity()
        if not straight:
            self.shortcut = nn.Sequential(*_convolution(inputs, outputs, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.way(x) + self.shortcut(x))


class Network(nn.Module):
    """ResNet-50: a stem for each modality, a last stride of 1, mean pooling, BNNeck, classifier."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.visible_stem, self.infrared_stem = _stem(), _stem()
        blocks, inputs = [], 64
        for planes, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 1)):
            for number in range(count):
                blocks.append(Bottleneck(inputs, planes, 1 if number else stride))
                inputs = 4 * planes
        self.layers = nn.Sequential(*blocks)
        self.neck = nn.BatchNorm1d(inputs)
        self.classifier = nn.Linear(inputs, classes, bias=False)

    def forward(
        self, visible: torch.Tensor, infrared: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        maps = torch.cat([self.visible_stem(visible), self.infrared_stem(infrared)])
        pooled = self.layers(maps).mean((2, 3)).float()
        return pooled, self.classifier(self.neck(pooled))


def _stem() -> nn.Sequential:
    pool = nn.MaxPool2d(3, 2, 1)
    return nn.Sequential(*_convolution(3, 64, 7, 2), nn.ReLU(inplace=True), pool)


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


def batch_hard(features: torch.Tensor, identity: torch.Tensor) -> torch.Tensor:
    """The mean over anchors of max(0, hardest positive - hardest negative + margin)."""
    squares = (features**2).sum(1)
    distances = (squares[:, None] + squares[None] - 2 * features @ features.T).clamp(1e-12).sqrt()
    same = identity[:, None] == identity[None]
    hardest_positive = distances.masked_fill(~same, 0).amax(1)
    hardest_negative = distances.masked_fill(same, torch.inf).amin(1)
    return torch.relu(hardest_positive - hardest_negative + MARGIN).mean()


def contender(
    dtype: str, compiled: bool, classes: int, folder: Path | None, identities: int = reading.P
) -> Contender:
    """The step, eager or compiled.

    Args:
        dtype: float32, or bfloat16 by autocast.
        classes: of the classifier.
        folder: images to read by a DataLoader; None for random ones.
        identities: of a batch.
    """
    start = time.monotonic()
    network = Network(classes).to(DEVICE).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    forward: Callable[..., Any] = torch.compile(network) if compiled else network
    half = torch.autocast(DEVICE, torch.bfloat16) if dtype == "bfloat16" else None

    def step(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
        visible, infrared, identity = batch
        with half or contextlib.nullcontext():
            pooled, logits = forward(visible, infrared)
        loss = functional.cross_entropy(logits.float(), identity) + batch_hard(pooled, identity)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    identity = torch.arange(identities).repeat_interleave(reading.K).repeat(2).to(DEVICE)
    batches = _read(folder, identity) if folder else _random(identity)
    step(next(batches))
    how = "compiled" if compiled else "eager"
    parameters = sum(weight.numel() for weight in network.parameters())
    seconds = time.monotonic() - start
    name = f"PyTorch {how}, {dtype}"
    return Contender(name, len(identity), parameters, seconds, None, None, dtype, step, batches)


def _random(identity: torch.Tensor) -> Iterator[Any]:
    images = torch.randn(2, len(identity) // 2, 3, HEIGHT, WIDTH, device=DEVICE)
    visible, infrared = (x.contiguous(memory_format=torch.channels_last) for x in images)
    while True:
        yield visible, infrared, identity


def _read(folder: Path, identity: torch.Tensor) -> Iterator[Any]:
    _, paths, _ = read_folder(folder)
    loader = reading.torch_loader(paths, reading.augmentation_of("agw:sysu_mm01"))
    assert loader
    while True:
        for images in loader():
            halves = images.to(DEVICE, memory_format=torch.channels_last).chunk(2)
            yield *halves, identity
