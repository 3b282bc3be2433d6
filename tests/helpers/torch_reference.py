"""Networks written in PyTorch with the published names, to hold ours against."""

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)  # its threads wait for each other where the machine is busy
BASIC, BOTTLENECK = 1, 4  # by how much a block widens


class ResNet(nn.Module):
    """torchvision's ResNet without its classifier; returns the maps of layer1 to layer4."""

    def __init__(self, blocks, widening, width=64, last_stride=1, ibn=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = width
        for stage, (count, stride) in enumerate(
            zip(blocks, (1, 2, 2, last_stride), strict=True), start=1
        ):
            planes = width * 2 ** (stage - 1)
            layer = nn.ModuleList()
            for i in range(count):
                step = stride if i == 0 else 1
                layer.append(Block(inputs, planes, step, widening, ibn and stage < 4))
                inputs = planes * widening
            self.add_module(f"layer{stage}", layer)

    def stem(self, x):
        return self.maxpool(torch.relu(self.bn1(self.conv1(x))))

    def layers(self, x, after=lambda stage, i, x: x):
        maps = []
        for stage in (1, 2, 3, 4):
            for i, block in enumerate(self.get_submodule(f"layer{stage}")):
                x = after(stage, i, block(x))
            maps.append(x)
        return maps

    def forward(self, x):
        return self.layers(self.stem(x))


class Block(nn.Module):
    """The basic block, or the bottleneck with the stride in its 3x3 convolution."""

    def __init__(self, inputs, planes, stride, widening, ibn):
        super().__init__()
        first = IBN(planes) if ibn else nn.BatchNorm2d(planes)
        if widening == BASIC:
            self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
            self.bn1 = first
            self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(planes)
        else:
            self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
            self.bn1 = first
            self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(planes)
            self.conv3 = nn.Conv2d(planes, planes * widening, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(planes * widening)
        if stride != 1 or inputs != planes * widening:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, planes * widening, 1, stride, bias=False),
                nn.BatchNorm2d(planes * widening),
            )

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "conv3"):
            y = self.bn3(self.conv3(torch.relu(y)))
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class IBN(nn.Module):
    """Instance norm on the first half of the channels, batch norm on the others."""

    def __init__(self, channels):
        super().__init__()
        self.half = channels // 2
        self.IN = nn.InstanceNorm2d(self.half, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.half)

    def forward(self, x):
        return torch.cat([self.IN(x[:, : self.half]), self.BN(x[:, self.half :])], 1)


class NonLocal(nn.Module):
    """AGW's non-local block, by the whole matrix of affinities."""

    def __init__(self, channels, reduced=1):
        super().__init__()
        self.g = nn.Sequential(nn.Conv2d(channels, reduced, 1))
        self.W = nn.Sequential(nn.Conv2d(reduced, channels, 1), nn.BatchNorm2d(channels))
        self.theta = nn.Conv2d(channels, reduced, 1)
        self.phi = nn.Conv2d(channels, reduced, 1)

    def forward(self, x):
        theta, phi, g = (f(x).flatten(2) for f in (self.theta, self.phi, self.g))
        affinity = theta.transpose(1, 2) @ phi / phi.shape[2]
        mixed = (affinity @ g.transpose(1, 2)).transpose(1, 2)
        return x + self.W(mixed.reshape(x.shape[0], -1, *x.shape[2:]))


class AGW(nn.Module):
    """The public AGW network with all its entries, those of its unused stages included."""

    def __init__(self, identities, width=64, blocks=(3, 4, 6, 3)):
        super().__init__()

        def holder(name):
            return nn.ModuleDict({name: ResNet(blocks, BOTTLENECK, width)})

        self.thermal_module = holder("thermal")
        self.visible_module = holder("visible")
        self.base_resnet = holder("base")
        self.NL_2 = nn.ModuleList([NonLocal(width * 8) for _ in range(2)])
        self.NL_3 = nn.ModuleList([NonLocal(width * 16) for _ in range(3)])
        self.bottleneck = nn.BatchNorm1d(width * 32)
        self.classifier = nn.Linear(width * 32, identities, bias=False)
        self.blocks = blocks

    def pool(self, visible, infrared):
        """GeM-pooled features of both modalities, visible rows first; either may be None."""
        stems = []
        if visible is not None:
            stems.append(self.visible_module["visible"].stem(visible))
        if infrared is not None:
            stems.append(self.thermal_module["thermal"].stem(infrared))
        last = self.base_resnet["base"].layers(torch.cat(stems), self.after)[-1]
        return ((last**3).mean((2, 3)) + 1e-12) ** (1 / 3)

    def after(self, stage, i, x):
        """Applies the non-local block that follows block i of a stage, if there is one."""
        blocks = {2: self.NL_2, 3: self.NL_3}.get(stage, [])
        number = i - (self.blocks[stage - 1] - len(blocks))
        return blocks[number](x) if number >= 0 and len(blocks) else x

    def embed(self, images_nchw, modality):
        """The neck's output for images of "visible" or "infrared", before normalization."""
        visible, infrared = (
            images_nchw if modality == m else None for m in ("visible", "infrared")
        )
        return self.bottleneck(self.pool(visible, infrared))

    def forward(self, visible, infrared):
        """Pooled features, neck outputs and logits of a training batch, visible rows first."""
        pooled = self.pool(visible, infrared)
        neck = self.bottleneck(pooled)
        return pooled, neck, self.classifier(neck)


def randomize(module, seed=0):
    """Gives every parameter and running statistic a value that an error would show in."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.ndim > 1:  # keeps the size of what passes through
            value.normal_(0, value[0].numel() ** -0.5, generator=generator)
        elif value.is_floating_point():
            center = 1.0 if name.endswith(".weight") or name == "weight" else 0.0
            value.normal_(center, 0.1, generator=generator)
    return module


def arrays(module):
    """The state dict as numpy arrays."""
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def to_nchw(images):
    """A batch [n, h, w, c] as PyTorch wants it."""
    return torch.from_numpy(np.asarray(images).transpose(0, 3, 1, 2).copy())


def to_nhwc(maps):
    """A PyTorch map [n, c, h, w] as we have it."""
    return maps.detach().numpy().transpose(0, 2, 3, 1)
