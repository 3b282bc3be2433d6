"""The manifest of a folder: the SHA-256 of every file in it, as `sha256sum --check` reads it."""

import hashlib
from pathlib import Path

from jreid.files import write_text

MANIFEST = "SHA256SUMS"


def seal(folder: Path) -> None:
    """Writes the manifest of what is in the folder; InputError as `write_text`."""
    write_text(folder / MANIFEST, _listed(folder))


def fault(folder: Path) -> str | None:
    """What is not as it was when the folder was sealed, in words; None where all is.

    A manifest that is damaged itself names a file too, so that nothing passes unseen.
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
            return f"{name} is not as it was written"
    return f"its {MANIFEST} is not as it was written"


def digest(folder: Path, prefixes: tuple[str, ...]) -> str:
    """SHA-256 of the manifest's lines of files whose names start so: what these files hold."""
    lines = (folder / MANIFEST).read_text().splitlines(keepends=True)
    chosen = [line for line in lines if line.partition("  ")[2].startswith(prefixes)]
    return hashlib.sha256("".join(chosen).encode()).hexdigest()


def _listed(folder: Path) -> str:
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    )
    return "".join(f"{_sum(folder / name)}  {name}\n" for name in files)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _by_name(manifest: bytes) -> dict[str, str]:
    lines = manifest.decode(errors="replace").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
