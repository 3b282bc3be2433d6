"""ImageNet's ResNet, torchvision's first weights, as initial values of any method's backbone."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jreid.errors import InputError
from jreid.nn.torch_layout import Layout, resnet_renames
from jreid.paths import require_file
from jreid.weights.checkpoint_file import read_checkpoint
from jreid.weights.torch import Leaf, expected_leaves, fill, refuse_misfits

HUB_REPOSITORY = "timm/resnet50.tv_in1k"
HUB_REVISION = "99108565f2fd2a9d8a1b640156f564d7f4ad7188"
HUB_FILE = "model.safetensors"
HUB_TIMEOUT = 5.0  # seconds

# The same entries fill every modality's copy of a stage.
LAYOUT = Layout(resnet_renames(r"backbone/\w+/", ""), unused=(r"fc\.",))
# The parameters of a torchvision ResNet, and the batch norm of IBN-a.
IN_IMAGENET = re.compile(
    r"(conv1|bn1|layer\d\.\d+\.(conv\d|bn\d(\.BN)?|downsample\.\d))\.(weight|bias|running_\w+)"
)
REMEDIES = (
    "give a file by --config.weights=PATH/to/resnet50.safetensors, "
    "or train from scratch by --config.weights=none"
)


def load_imagenet(variables: Mapping[str, Any], source: str) -> tuple[dict[str, Any], list[str]]:
    """Fills the trunk in `backbone` of `params` and `batch_stats`.

    If the network has IBN-a and the file does not, the half that stays batch norm takes the
    second half of the file's batch norm.

    Args:
        variables: of any method; only its `backbone` scopes are filled.
        source: "imagenet", which is downloaded with huggingface_hub, or the path of a file with
            torchvision's entries; its `fc` is ignored.

    Returns:
        The variables, and the paths of the trunk arrays that keep their initial values because
        ImageNet's network lacks them, such as non-local blocks and the instance-norm half of IBN-a.

    Raises:
        InputError: no file, no network, or a file of another depth or width.
    """
    path = locate(source)
    trunk = {name: {"backbone": variables[name]["backbone"]} for name in ("params", "batch_stats")}
    leaves = list(expected_leaves(trunk, LAYOUT))
    entries = _halve_for_ibn(read_checkpoint(path), leaves)
    kept = [leaf for leaf in leaves if _is_kept(leaf, entries)]
    filled = [leaf for leaf in leaves if leaf not in kept]
    what = f"{path} does not fit the backbone of this config, {REMEDIES}"
    refuse_misfits(what, entries, filled, LAYOUT)
    return fill(entries, variables, filled), [f"{leaf.collection}/{leaf.path}" for leaf in kept]


def locate(source: str) -> str:
    """The path of the weights that `config.weights` names; downloads "imagenet" if need be.

    Raises:
        InputError: no file, no network, or no huggingface_hub.
    """
    if source == "imagenet":
        return _fetch()
    require_file(Path(source), REMEDIES)
    return source


def _is_kept(leaf: Leaf, entries: Mapping[str, np.ndarray]) -> bool:
    return leaf.entry not in entries and not IN_IMAGENET.fullmatch(leaf.entry)


def _halve_for_ibn(entries: dict[str, np.ndarray], leaves: list[Leaf]) -> Mapping[str, np.ndarray]:
    """Replaces whole batch norms by the halves that IBN-a needs, where the file lacks them."""
    halved = dict(entries)
    for leaf in leaves:
        whole = leaf.entry.replace(".bn1.BN.", ".bn1.")
        if leaf.entry not in entries and whole in entries:
            halved[leaf.entry] = entries[whole][len(entries[whole]) // 2 :]
            halved.pop(whole, None)
    return halved


def _fetch() -> str:
    """The path of the weights in huggingface_hub's cache, downloaded if need be."""
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise InputError(
            "config.weights=imagenet needs huggingface_hub: `pip install huggingface_hub`; "
            f"or {REMEDIES}"
        ) from error
    where: dict[str, Any] = {
        "repo_id": HUB_REPOSITORY,
        "filename": HUB_FILE,
        "revision": HUB_REVISION,
    }
    cached = hub.try_to_load_from_cache(**where)
    if isinstance(cached, str):
        return cached
    try:
        # One short request first: without a network, the download itself would retry for minutes.
        hub.get_hf_file_metadata(hub.hf_hub_url(**where), timeout=HUB_TIMEOUT)
        return hub.hf_hub_download(**where)
    except Exception as error:  # the HTTP library may raise anything
        raise InputError(
            f"config.weights=imagenet: {HUB_REPOSITORY} cannot be fetched "
            f"({type(error).__name__}); {REMEDIES}"
        ) from error
