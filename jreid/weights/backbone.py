"""Weights of a torchvision ResNet as initial values of any method's backbone."""

import logging
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict

from jreid.errors import InputError
from jreid.nn.torch_layout import Layout, resnet_renames
from jreid.weights.checkpoint_file import read_checkpoint
from jreid.weights.sources import REMEDIES
from jreid.weights.torch import (
    Leaf,
    expected_leaves,
    fill,
    other_method,
    refuse_misfits,
    torch_order,
)

log = logging.getLogger(__name__)

# The same entries fill every modality's copy of a stage.
LAYOUT = Layout(resnet_renames(r"backbone/\w+/", ""), unused=(r"fc\.",))
# The parameters of a torchvision ResNet, and the batch norm of IBN-a.
IN_RESNET = re.compile(
    r"(conv1|bn1|layer\d\.\d+\.(conv\d|bn\d(\.BN)?|downsample\.\d))\.(weight|bias|running_\w+)"
)
FIRST = "conv1.weight"  # an entry that every ResNet has
PREFIXES = ("encoder_q.", "backbone.", "base.", "encoder.")  # of a ResNet in a larger network
# Licenses of weights that a file may be; other projects save theirs with the same names.
LUPERSON = (
    "names as MoCo's, which LUPerson's weights have too; LUPerson's are for research only, without "
    "commercial use"
)
CION = (
    "names as in CION's ReIDZoo; its weights are given to those who sign a license, and must not "
    "be passed on"
)
IBN_A, IBN_B = re.compile(r"layer\d\.\d+\.bn1\.IN\."), re.compile(r"layer\d\.\d+\.IN\.")


class Trunk(NamedTuple):
    """The entries of a ResNet in a checkpoint.

    Attributes:
        entries: by torchvision's names.
        prefix: of their names in the checkpoint; may be empty.
    """

    entries: dict[str, np.ndarray]
    prefix: str


def load_backbone(variables: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[str]]:
    """Fills the trunk in `backbone` of `params` and `batch_stats`.

    If the network has IBN-a and the file does not, the half that stays batch norm takes the
    second half of the file's batch norm.

    Args:
        variables: of any method; only its `backbone` scopes are filled.
        path: of a checkpoint with torchvision's entries, which may have a prefix of `PREFIXES`;
            its `fc` is ignored, and so is what lacks the prefix.

    Returns:
        The variables, and the paths of the trunk arrays that keep their initial values because
        the file's network lacks them, such as non-local blocks and the instance-norm half of IBN-a.

    Raises:
        InputError: the file cannot be read, holds no ResNet, or one of another kind or size; or the
            network has no backbone.
    """
    trunk = find_trunk(path, read_checkpoint(path))
    scopes = _scopes(variables)
    if not scopes:
        raise InputError(
            f"{path} has the weights of a backbone, and the network of this config has no scope "
            "`backbone`; give --config.weights=none."
        )
    leaves = list(expected_leaves(scopes, LAYOUT))
    _check_ibn(path, trunk.entries, any(IBN_A.match(leaf.entry) for leaf in leaves))
    entries = _halve_for_ibn(trunk.entries, leaves)
    kept = [leaf for leaf in leaves if _is_kept(leaf, entries)]
    filled = [leaf for leaf in leaves if leaf not in kept]
    below = f" below {trunk.prefix!r}" if trunk.prefix else ""
    what = f"{path} does not fit the backbone of this config{below}, {REMEDIES}"
    refuse_misfits(what, entries, filled, LAYOUT)
    return fill(entries, variables, filled), [f"{leaf.collection}/{leaf.path}" for leaf in kept]


def torchvision_entries(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The trunk in `backbone` of variables by torchvision's names, which `load_backbone` reads."""
    scopes = _scopes(variables)
    arrays = {name: flatten_dict(scope, sep="/") for name, scope in scopes.items()}
    return {
        leaf.entry: torch_order(np.asarray(arrays[leaf.collection][leaf.path]))
        for leaf in expected_leaves(scopes, LAYOUT)
    }


def _scopes(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The backbone's part of each collection that has one."""
    return {
        name: {"backbone": variables[name]["backbone"]}
        for name in ("params", "batch_stats")
        if "backbone" in variables.get(name, {})
    }


def find_trunk(path: str, entries: Mapping[str, np.ndarray]) -> Trunk:
    """The ResNet in a checkpoint; logs what was left out, and a known license.

    Raises:
        InputError: there is none; the error names what there is.
    """
    prefix = next((one for one in ("", *PREFIXES) if one + FIRST in entries), None)
    if prefix is None:
        if method := other_method(entries):
            raise InputError(f"{path} is a checkpoint of {method}, not of a ResNet: {REMEDIES}")
        raise InputError(
            f"{path} holds no ResNet with torchvision's names: it has no {FIRST}, and its names "
            f"begin with {_beginnings(entries)}; {REMEDIES}, or give a method's published "
            "checkpoint to `jreid import`"
        )
    if not prefix:
        return Trunk(dict(entries), prefix)
    taken = {n.removeprefix(prefix): array for n, array in entries.items() if n.startswith(prefix)}
    others = [name for name in entries if not name.startswith(prefix)]
    log.info(
        "%s: the %d entries below %r are taken%s",
        path,
        len(taken),
        prefix,
        f", and {len(others)} others are not ({_beginnings(others)})" if others else "",
    )
    if "queue" in others:
        log.info("%s: %s", path, LUPERSON)
    if prefix == "backbone." and any(name.startswith("head.") for name in others):
        log.info("%s: %s", path, CION)
    return Trunk(taken, prefix)


def _beginnings(names: Any) -> str:
    """The first parts of names, as in `encoder_k., queue`; at most five."""
    found = [*dict.fromkeys(re.sub(r"\..*", ".", name) for name in names)]
    return ", ".join([*found[:5], *(["..."] if found[5:] else [])]) or "nothing"


def _check_ibn(path: str, entries: Mapping[str, np.ndarray], wants_ibn: bool) -> None:
    """Raises InputError where the file has a kind of IBN that the network lacks; logs a lack."""
    if any(IBN_B.match(name) for name in entries):
        raise InputError(
            f"{path} is of a ResNet-IBN-b, which jreid lacks: give the file of an IBN-a with "
            "--config.backbone.ibn=True, or of a plain ResNet"
        )
    has_ibn = any(IBN_A.match(name) for name in entries)
    if has_ibn and not wants_ibn:
        raise InputError(
            f"{path} is of a ResNet-IBN-a, and this config's backbone has no instance norm: add "
            "--config.backbone.ibn=True, or give the file of a plain ResNet"
        )
    if wants_ibn and not has_ibn:
        log.info(
            "%s: a plain ResNet for a backbone with IBN-a: half of each of its first batch norms "
            "is taken, and the instance norms keep their initial values; --config.weights=ibn_a "
            "has both",
            path,
        )


def _is_kept(leaf: Leaf, entries: Mapping[str, np.ndarray]) -> bool:
    return leaf.entry not in entries and not IN_RESNET.fullmatch(leaf.entry)


def _halve_for_ibn(entries: dict[str, np.ndarray], leaves: list[Leaf]) -> Mapping[str, np.ndarray]:
    """Replaces whole batch norms by the halves that IBN-a needs, where the file lacks them."""
    halved = dict(entries)
    for leaf in leaves:
        whole = leaf.entry.replace(".bn1.BN.", ".bn1.")
        if leaf.entry not in entries and whole in entries:
            halved[leaf.entry] = entries[whole][len(entries[whole]) // 2 :]
            halved.pop(whole, None)
    return halved
