"""Where published weights of a ResNet come from, and what is known of their files."""

import hashlib
import logging
import re
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from jreid.errors import InputError
from jreid.files import write_whole
from jreid.optional_parts import require_part
from jreid.paths import require_file
from jreid.progress import explained

log = logging.getLogger(__name__)
TIMEOUT = 5.0  # seconds without an answer
REMEDIES = (
    "give a file by --config.weights=PATH/to/resnet50.safetensors, "
    "or train from scratch by --config.weights=none"
)


class HubFile(NamedTuple):
    """A safetensors file of a hub's repository."""

    repository: str
    revision: str

    @property
    def where(self) -> dict[str, Any]:
        """As huggingface_hub's functions take it."""
        names = {"repo_id": self.repository, "filename": "model.safetensors"}
        return {**names, "revision": self.revision}


HUB = {
    "imagenet": HubFile("timm/resnet50.tv_in1k", "99108565f2fd2a9d8a1b640156f564d7f4ad7188"),
    "imagenet_v2": HubFile("timm/resnet50.tv2_in1k", "main"),
}
IBN_A = "ibn_a"
IBN_A_FILE = "resnet50_ibn_a-d9d0bb7b.pth"
IBN_A_URL = f"https://github.com/XingangPan/IBN-Net/releases/download/v1.0/{IBN_A_FILE}"
SYNTHETIC, SYNTHETIC_FILE = "synthetic", "data/synthetic_weights.safetensors"
NAMES = (*HUB, IBN_A, SYNTHETIC)


class Known(NamedTuple):
    """A published file: its name, and the license of its weights."""

    name: str
    license: str


V1, V2, BSD = "IMAGENET1K_V1", "IMAGENET1K_V2", "BSD-3-Clause"
# By the first digits of the SHA-256, which torchvision and IBN-Net have in the names of files.
KNOWN = {
    "0676ba61": Known(f"torchvision's ResNet-50 {V1}", BSD),
    "19c8e357": Known(f"torchvision's ResNet-50 {V1}", BSD),  # an earlier file
    "11ad3fa6": Known(f"torchvision's ResNet-50 {V2}", BSD),
    "b627a593": Known(f"torchvision's ResNet-34 {V1}", BSD),
    "333f7ec4": Known(f"torchvision's ResNet-34 {V1}", BSD),
    "f37072fd": Known(f"torchvision's ResNet-18 {V1}", BSD),
    "5c106cde": Known(f"torchvision's ResNet-18 {V1}", BSD),
    "d9d0bb7b": Known("IBN-Net's ResNet-50-IBN-a", "MIT"),
    "94bc1577": Known("IBN-Net's ResNet-34-IBN-a", "MIT"),
    "2f571257": Known("IBN-Net's ResNet-18-IBN-a", "MIT"),
}
OF_SOURCES = {
    "imagenet": KNOWN["0676ba61"],
    "imagenet_v2": KNOWN["11ad3fa6"],
    IBN_A: KNOWN["d9d0bb7b"],
    SYNTHETIC: Known("people rendered by jreid", "as jreid's"),
}


def locate(source: str) -> str:
    """The path of the weights that `config.weights` names, downloaded if need be.

    Args:
        source: one of `NAMES`, or the path of a file.

    Raises:
        InputError: no file, no network, or a package that the download needs is missing.
    """
    if source in HUB:
        return _from_hub(source, HUB[source])
    if source == IBN_A:
        return str(_ibn_a_file())
    if source == SYNTHETIC:
        make = "make it by `python -m experiments.pretrain` in a clone of jreid"
        require_file(Path(SYNTHETIC_FILE), make)
        return SYNTHETIC_FILE
    require_file(Path(source), f"give one of {', '.join(NAMES)}, or {REMEDIES}")
    return source


def describe(source: str, path: str, sha256: str) -> dict[str, str]:
    """What `run.json` says of a file of weights beside its hash; logs it, too.

    Args:
        source: as `locate`; any other text for a file of another use.
        path: of the file.
        sha256: of its content, as hexadecimal digits.

    Returns:
        `name`, if the file is known; `revision`, if a hub says it.

    Raises:
        InputError: the file's name has other digits of a hash than its content, and the content is
            none that is known.
    """
    # IBN-a's file has the digits, so that a damaged one is not taken for it.
    of_source = OF_SOURCES.get(source) if source != IBN_A else None
    known = of_source or KNOWN.get(sha256[:8])
    _check_digits(Path(path), sha256, known)
    if known is None:
        return {}
    log.info("%s: %s, license %s", path, known.name, known.license)
    if V2 in known.name and source not in HUB:
        log.warning(
            "%s is %s; the published results of jreid's methods started from %s, so compare with "
            "them only runs from the latter.",
            path,
            known.name,
            OF_SOURCES["imagenet"].name,
        )
    snapshot = re.search(r"/snapshots/([0-9a-f]{40})/", path)
    return {"name": known.name} | ({"revision": snapshot[1]} if snapshot else {})


def _check_digits(path: Path, sha256: str, known: Known | None) -> None:
    """Compares the digits of a hash in a file's name, if there are any, with its content's."""
    named = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    if named is None or sha256.startswith(named[1]):
        return
    if known is None:
        raise InputError(
            f"{path} is damaged or another file: the SHA-256 of its content begins with "
            f"{sha256[:8]}, its name says {named[1]}; download it again, or rename it if it is "
            "what you want"
        )
    meant = KNOWN[named[1]].name if named[1] in KNOWN else "another file"
    log.warning(
        "%s has the name of %s, and is %s by its SHA-256, %s.",
        path,
        meant,
        known.name,
        sha256[:8],
    )


def _from_hub(source: str, file: HubFile) -> str:
    """The path of the weights in huggingface_hub's cache, downloaded if need be."""
    require_part("hub", f"config.weights={source}", REMEDIES)
    import huggingface_hub as hub

    cached = hub.try_to_load_from_cache(**file.where)
    if isinstance(cached, str):
        return cached
    try:
        # One short request first: without a network, the download itself would retry for minutes.
        hub.get_hf_file_metadata(hub.hf_hub_url(**file.where), timeout=TIMEOUT)
        return hub.hf_hub_download(**file.where)
    except Exception as error:  # the HTTP library may raise anything
        raise InputError(
            f"config.weights={source}: {file.repository} cannot be fetched "
            f"({type(error).__name__}); {REMEDIES}"
        ) from error


def _ibn_a_file() -> Path:
    """The path of IBN-Net's file in PyTorch's cache of weights, downloaded if need be."""
    require_part("torch", f"config.weights={IBN_A}, a file of PyTorch,", REMEDIES)
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / IBN_A_FILE
    if path.is_file():
        return path
    try:
        with (
            explained(f"fetching {IBN_A_URL}, 100 MB"),
            urllib.request.urlopen(IBN_A_URL, timeout=TIMEOUT) as answer,
        ):
            content = answer.read()
    except Exception as error:  # what is between here and there may answer anything
        raise InputError(
            f"config.weights={IBN_A}: {IBN_A_URL} cannot be fetched ({type(error).__name__}); "
            f"{REMEDIES}"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith("d9d0bb7b"):
        raise InputError(
            f"config.weights={IBN_A}: what {IBN_A_URL} sent is not the published file (SHA-256 "
            f"{digest[:8]}); try again, or {REMEDIES}"
        )
    write_whole(path, lambda file: file.write(content))
    return path
