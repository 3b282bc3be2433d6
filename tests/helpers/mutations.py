"""Valid files, changed: what the fuzz tests have readers read."""

import json
from typing import Any

from hypothesis import strategies as st

ODD = [
    b"\x00",
    b"\xff" * 4,
    b"\xff" * 8,
    b"\x7f\xff\xff\xff",
    b"\xef\xbb\xbf",
    b"\n",
    b"\r",
    b",",
    b"-1",
]
LARGE = [2**31, 2**63, 2**64, 10**30, -(2**63), 1e308, 1e-320]

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(LARGE),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "../x", "/", "\x1b[31m", "[red]", "nan", "0", "\ud800"]),
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with up to four bytes flipped, parts cut, doubled, moved or replaced."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(changed)))
        length = draw(st.one_of(st.integers(1, 16), st.integers(1, max(1, len(changed)))))
        kind = draw(st.sampled_from(["flip", "cut", "double", "odd", "truncate", "random"]))
        if kind == "flip" and place < len(changed):
            changed[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del changed[place : place + length]
        elif kind == "double":
            changed[place:place] = changed[place : place + length]
        elif kind == "odd":
            odd = draw(st.sampled_from(ODD))
            changed[place : place + draw(st.sampled_from([0, len(odd)]))] = odd
        elif kind == "random":
            some = draw(st.binary(max_size=16))
            changed[place : place + len(some)] = some
        else:
            del changed[place:]
    return bytes(changed)


@st.composite
def changed_json(draw: st.DrawFn, value: Any) -> Any:
    """The value with one to three of its parts replaced, removed, repeated or added."""
    changed = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(_places(changed)))
        if place is None:
            return draw(values)
        holder, key = place
        kind = draw(st.sampled_from(["replace", "remove", "add", "nest"]))
        if kind == "replace":
            holder[key] = draw(values)
        elif kind == "remove":
            del holder[key]
        elif kind == "nest":
            holder[key] = draw(st.sampled_from([[holder[key]], {"": holder[key]}]))
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=4))] = draw(values)
        else:
            holder.insert(key, draw(values))
    return changed


def _places(value: Any) -> list[tuple[Any, Any] | None]:
    """Every (container, key) in a value; None stands for the value itself."""
    found: list[tuple[Any, Any] | None] = [None]
    todo = [value]
    while todo:
        holder = todo.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, item in items:
            found.append((holder, key))
            if isinstance(item, dict | list) and item:
                todo.append(item)
    return found


@st.composite
def changed_text(draw: st.DrawFn, value: Any) -> bytes:
    """A JSON file's bytes, of a changed value or changed themselves."""
    if draw(st.booleans()):
        # Surrogates stay escapes, and NaN and infinity are what Python writes for them.
        return json.dumps(draw(changed_json(value)), indent=1).encode()
    return draw(changed_bytes(json.dumps(value, indent=1).encode()))
