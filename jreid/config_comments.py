"""The comments of a config's fields, from the code that sets them."""

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path


def comments_of(files: Iterable[Path]) -> dict[str, str]:
    """The comments of the keys of all dictionaries in files: beside a key, or above it.

    Nested keys are joined by dots. If several files have a key, the first file counts.
    """
    found: dict[str, str] = {}
    for file in files:
        with tokenize.open(file) as source:  # in the encoding that it names, as Python reads it
            text = source.read()
        beside, above = _comments(text)
        for path, key, value in _keys(ast.parse(text)):
            end = value.lineno if isinstance(value, ast.Dict) else value.end_lineno or 0
            comment = beside.get(key.lineno) or beside.get(end) or _above(above, key.lineno)
            if comment:
                found.setdefault(path, comment.rstrip("."))
    return found


def comment_of(field: str, comments: Mapping[str, str]) -> str:
    """The comment of a field such as `pfinet.response.attention`; empty where there is none.

    A method's own block is written without its name, so the ends of the path are tried, too.
    """
    parts = field.split(".")
    paths = (".".join(parts[start:]) for start in range(len(parts)))
    return next((comments[path] for path in paths if path in comments), "")


def _comments(text: str) -> tuple[dict[int, str], dict[int, str]]:
    """The comments by line: those beside code, and those alone on their line."""
    beside, alone = {}, {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            has_code = token.line[: token.start[1]].strip()
            (beside if has_code else alone)[token.start[0]] = token.string.lstrip("# ")
    return beside, alone


def _above(alone: Mapping[int, str], line: int) -> str:
    lines: list[str] = []
    while (line := line - 1) in alone:
        lines.insert(0, alone[line])
    return " ".join(lines)


def _keys(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.Constant, ast.expr]]:
    """Every text key of every dictionary, with its full path and its value."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield prefix + key.value, key, value
                yield from _keys(value, f"{prefix}{key.value}.")
        return
    for child in ast.iter_child_nodes(node):
        yield from _keys(child, prefix)
