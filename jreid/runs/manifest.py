"""The manifest of a folder: the SHA-256 of each of its files, in the format of `sha256sum`."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from jreid.files import sha256_of, write_text

MANIFEST = "SHA256SUMS"


def seal(folder: Path) -> None:
    """Writes the manifest of a folder; InputError as `write_text`."""
    write_text(folder / MANIFEST, _listed(folder))


def fault(folder: Path) -> str | None:
    """A sentence on a change since the folder was sealed; None if there is none.

    A damaged manifest is also reported.
    """
    if not (folder / MANIFEST).is_file():
        return f"it has no {MANIFEST}"
    sealed, found = (folder / MANIFEST).read_bytes(), _listed(folder).encode()
    if sealed == found:
        return None
    before, now = _by_name(sealed), _by_name(found)
    for name in sorted(before | now):
        if name not in now:
            return f"{name} is missing"
        if name not in before:
            return f"{name} is not in its {MANIFEST}"
        if before[name] != now[name]:
            return f"{name} has changed since it was written"
    return f"its {MANIFEST} has changed since it was written"


def fault_of_listed(folder: Path, needed: Iterable[str]) -> str | None:
    """As `fault`, but files that are not in the manifest do not count.

    Args:
        needed: names that the manifest must have.
    """
    try:
        sealed = _by_name((folder / MANIFEST).read_bytes())
    except OSError:
        return f"it has no {MANIFEST}"
    for name in needed:
        if name not in sealed:
            return f"{name} is not in its {MANIFEST}"
    for name, digest in sealed.items():
        if Path(name).name != name or not (folder / name).is_file():
            return f"{name} is missing"
        if sha256_of(folder / name) != digest:
            return f"{name} has changed since it was written"
    return None


def digest(folder: Path, prefixes: tuple[str, ...]) -> str:
    """SHA-256 of the manifest's lines of the files with a prefix: a hash of their content."""
    lines = (folder / MANIFEST).read_text().splitlines(keepends=True)
    chosen = [line for line in lines if line.partition("  ")[2].startswith(prefixes)]
    return hashlib.sha256("".join(chosen).encode()).hexdigest()


def _listed(folder: Path) -> str:
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    )
    return "".join(f"{sha256_of(folder / name)}  {name}\n" for name in files)


def _by_name(manifest: bytes) -> dict[str, str]:
    lines = manifest.decode(errors="replace").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
