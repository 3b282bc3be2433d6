"""PyTorch's DataLoader as the peer of `input.py`."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from jreid.data.augmentation import Augmentation
from jreid.data.pixels import IMAGENET_MEAN, IMAGENET_STD
from jreid.process import cores

RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}


def loader(
    paths: list[Path], options: Augmentation, shape: tuple[int, int]
) -> DataLoader[torch.Tensor]:
    """A DataLoader of random images, with one worker for each core.

    Args:
        shape: the number of batches, and of images in each.
    """
    return DataLoader(
        TorchImages(paths, options),
        batch_sampler=np.random.default_rng(0).integers(len(paths), size=shape).tolist(),
        num_workers=len(cores()),
        multiprocessing_context="spawn",  # a fork of a process with threads may hang
        persistent_workers=True,
    )


class TorchImages(Dataset[torch.Tensor]):
    """Files opened, decoded and augmented as the released loaders do: Pillow, then tensors.

    The same steps as torchvision's transforms, so that the benchmark does not need torchvision.
    """

    def __init__(self, paths: list[Path], options: Augmentation) -> None:
        self.paths, self.options = paths, options

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        options = self.options
        height, width = options.size
        image = Image.open(self.paths[index]).convert("RGB")
        if (options.gray_visible, options.gray_infrared)[index % 2]:  # every other one is infrared
            image = image.convert("L").convert("RGB")
        image = image.resize((width, height), RESAMPLING[options.resize])
        flips = torch.rand(1).item() < options.flip_probability
        if flips and options.order == "flip_first":
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image = ImageOps.expand(image, options.padding, (int(options.padding_fill),) * 3)
        top, left = torch.randint(2 * options.padding + 1, (2,)).tolist()
        image = image.crop((left, top, left + width, top + height))
        if flips and options.order == "crop_first":
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        levels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        pixels = levels.to(torch.float32).div(255)  # ToTensor
        mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET_MEAN, IMAGENET_STD))
        return self.erase(pixels.clone().sub_(mean).div_(std))  # Normalize

    def erase(self, pixels: torch.Tensor) -> torch.Tensor:
        """Random erasing in place."""
        options = self.options
        height, width = options.size
        if torch.rand(1).item() >= options.erase_probability:
            return pixels
        for _ in range(10):
            area = height * width * torch.empty(1).uniform_(*options.erase_area).item()
            log_ratio = torch.log(torch.tensor(options.erase_ratio)).tolist()
            ratio = math.exp(torch.empty(1).uniform_(*log_ratio).item())
            tall, wide = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if tall < height and wide < width:
                top = torch.randint(height - tall + 1, (1,)).item()
                left = torch.randint(width - wide + 1, (1,)).item()
                pixels[:, top : top + tall, left : left + wide] = options.erase_fill
                break
        return pixels
