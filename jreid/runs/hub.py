"""Bundles from a model hub: `hf:owner/name@revision`, by huggingface_hub."""

import re
from pathlib import Path

from jreid.errors import InputError
from jreid.optional_parts import require_part
from jreid.runs.bundle import FILES, NEEDED
from jreid.runs.manifest import MANIFEST

PREFIX = "hf:"
ADDRESS = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)")
TIMEOUT = 5.0  # seconds to wait for the hub


def fetch(address: str) -> Path:
    """The folder of a bundle in huggingface_hub's cache, downloaded if need be.

    Args:
        address: `hf:owner/name@revision`; the revision is a commit, a tag or a branch.

    Raises:
        InputError: another form, no huggingface_hub, no network, or no such bundle.
    """
    found = ADDRESS.fullmatch(address)
    if not found:
        raise InputError(
            f"{address} is not the address of a bundle; give hf:owner/name@revision, where the "
            "revision is a commit or a tag, so that the model stays the same."
        )
    require_part("hub", address, "download the folder and give its path")
    import huggingface_hub as hub

    try:
        folder = Path(
            hub.snapshot_download(
                found["repository"],
                revision=found["revision"],
                allow_patterns=[*FILES],
                etag_timeout=TIMEOUT,
            )
        )
    except Exception as error:  # the HTTP library may raise anything
        raise InputError(
            f"{address} cannot be fetched ({_cause(error)}); check its name and its revision and "
            "the network, or give the path of a copy."
        ) from error
    missing = [name for name in (*NEEDED, MANIFEST) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{address} is not a bundle of `jreid publish`: it has no {', '.join(missing)}; check "
            "its name and its revision."
        )
    return folder


def _cause(error: Exception) -> str:
    return {
        "RepositoryNotFoundError": "there is no such repository, or it is private",
        "RevisionNotFoundError": "there is no such revision",
        "LocalEntryNotFoundError": "the hub cannot be reached, and there is no copy in the cache",
    }.get(type(error).__name__, type(error).__name__)
