"""The names of parameters in a PyTorch implementation, relative to ours."""

from typing import NamedTuple


class Layout(NamedTuple):
    """The published state dict of a method, relative to our variables.

    Attributes:
        renames: (pattern, replacement) pairs. `re.sub` applies each in order to our path without
            its last part, as in "backbone/shared/layer1_0/conv1/". Then the remaining slashes
            become dots, and the leaf's PyTorch name (weight, bias, running_mean, running_var) is
            added.
        unused: patterns, matched from the start, of entries that the published file has but our
            network does not use. `num_batches_tracked` need not be named.
        optional: patterns, matched from the start of our path, of arrays that the published file
            may lack, such as heads that only training needs; they keep their initial values.
    """

    renames: tuple[tuple[str, str], ...]
    unused: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def resnet_renames(ours: str, theirs: str) -> tuple[tuple[str, str], ...]:
    """The renames of a ResNet's stages from our scope to torchvision's names under a prefix.

    Args:
        ours: a pattern of the stages' scope with its slash, such as "backbone/shared/".
        theirs: the prefix of the entries with its dot, such as "base_resnet.base.".
    """
    return (
        (rf"^{ours}layer(\d)_(\d+)/downsample_(\d)/", rf"{theirs}layer\1.\2.downsample.\3/"),
        (rf"^{ours}layer(\d)_(\d+)/", rf"{theirs}layer\1.\2/"),
        (rf"^{ours}", theirs),
    )
