"""A ResNet with several copies of its last stages, side by side on one trunk."""

from collections.abc import Mapping

import flax.linen as nn
from jaxtyping import Array, Float

from jreid.errors import InputError
from jreid.nn.resnet import STAGES, ResNet


class BranchedResNet(ResNet):
    """A ResNet that forks: each branch has its own copy of the last stages.

    The trunk's parameters have the same paths as in a ResNet; each branch's are in the scope of its
    name. Below that, the names are torchvision's, so that each copy takes the same published
    weights.

    Attributes:
        branches: names of the copies.
        branch_stages: number of last stages that are copied: 2 means layer3 and layer4.
    """

    branches: tuple[str, ...] = ("shared_branch", "specific_branch")
    branch_stages: int = 2

    @nn.compact
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, images: Mapping[str, Float[Array, "n h w 3"]], train: bool
    ) -> dict[str, tuple[Float[Array, "m _h _w _c"], ...]]:
        """The maps of layer1 to layer4 by branch, as a ResNet returns them.

        The trunk's maps are the same in all branches. Arguments and errors are those of a ResNet.

        Raises:
            InputError: stages of the branches are split by modality.
        """
        fork = STAGES - self.branch_stages
        if self.split_stages > fork:
            raise InputError(
                f"config.backbone.split_stages={self.split_stages} reaches into the branches, "
                f"which begin after {fork} stages; set it to {fork} at most."
            )
        trunk = self._leading(images, train, fork)
        last = range(fork, STAGES)
        return {
            name: (*trunk[1:], *self._stages(last, name)(trunk[-1], train))
            for name in self.branches
        }
