"""Damage done to bytes, to lines of text, and to JSON."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from copy import deepcopy
from typing import Any

EDGES = (0, 1, -1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, -0x80000000, 0xFFFFFFFF, 0x100000000, 1 << 62)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 1.5, -0.0, 1e-320, 1e-40, 1e40, 1e308, 10**9, 2**31, 2**63, 10**400),
    *(
        "",
        " ",
        "x",
        "../../../outside",
        "/dev/zero",
        "/etc/passwd",
        "a/b",
        "..",
        ".",
        "\x00",
        "\x1b[2J",
        "\n",
        "\u202e",
    ),
    *("\ud800", "é" * 300, "A" * 70_000, "CON", "%s%n", "${HOME}", "<script>", "'; DROP TABLE records;--"),
    *([], {}, [[]], [None] * 3, {"": None}, [0.5] * 64, {"falling": 1e308}),
)
"""That no field expects."""
RAW = (
    *(
        "",
        "{",
        "[]",
        "null",
        "NaN",
        "-Infinity",
        '{"a": 1e999}',
        "[" * 100_000,
        '{"a":' * 50_000,
        "1" * 5000,
        '"\\ud800"',
    ),
    *("\ufeff{}", "{}{}", '{"a": 1, "a": 2}', "\x00", '"' + "x" * 200_000 + '"'),
)
"""Whole files of JSON that nobody writes."""


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes with one to eight wounds."""
    wounded = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(_WOUNDS)(rng, wounded)
    return bytes(wounded)


def damaged_text(rng: random.Random, text: str, values: tuple[str, ...]) -> str:
    """Lines lost, doubled, exchanged, or with another value behind their `=`."""
    lines = text.split("\n")
    for _ in range(rng.choice((1, 1, 2, 5))):
        k = rng.randrange(len(lines))
        what = rng.randrange(6)
        if what == 0:
            del lines[k]
        elif what == 1:
            lines.insert(k, lines[rng.randrange(len(lines))])
        elif what == 2:
            other = rng.randrange(len(lines))
            lines[k], lines[other] = lines[other], lines[k]
        elif what == 3 and lines[k]:
            at = rng.randrange(len(lines[k]))
            lines[k] = (
                lines[k][:at]
                + rng.choice(("\x00", '"', "'''", "[", "]", "=", "#", ".", "\\u", "é", "{"))
                + lines[k][at:]
            )
        else:
            name = lines[k].lstrip("# ").partition("=")[0].strip() or "x"
            lines[k] = f"{name} = {rng.choice(values)}"
        lines = lines or [""]
    return "\n".join(lines)


def damaged_json(rng: random.Random, document: Any, values: tuple[Any, ...] = VALUES) -> bytes:
    """JSON in which some values are others, or gone."""
    kind = rng.random()
    if kind < 0.08:
        return rng.choice(RAW).encode("utf-8", "surrogatepass")
    if kind < 0.2:
        return damaged(rng, json.dumps(document).encode())
    document = json.loads(json.dumps(document))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        document = _changed(rng, document, values)
    return json.dumps(document).encode()


def _changed(rng: random.Random, document: Any, values: tuple[Any, ...]) -> Any:
    parents = [node for node in _nodes(document) if isinstance(node, dict | list) and node]
    if not parents:
        return deepcopy(rng.choice(values))
    node = rng.choice(parents)
    key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
    what = rng.random()
    if what < 0.12:
        del node[key]
    elif what < 0.2 and isinstance(node, dict):
        node[rng.choice(("extra", "", "__class__", "../x", key.upper()))] = node.pop(key)
    elif what < 0.35 and isinstance(node[key], int | float) and not isinstance(node[key], bool):
        node[key] = rng.choice((-node[key], node[key] * 10**6, node[key] + 1, 1e-6, int(node[key]) * 10**12))
    else:
        node[key] = deepcopy(rng.choice(values))
    return document


def _nodes(document: Any) -> list[Any]:
    found, todo = [], [document]
    while todo:
        node = todo.pop()
        found.append(node)
        todo += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return found


def _flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 4, 32))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _flip_early(rng: random.Random, data: bytearray) -> None:
    """Headers decide how much is read, and how."""
    if data:
        data[rng.randrange(min(len(data), 200))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _take_out(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.choice((1, 4, 100, 5000))]


def _put_in(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data) + 1)
    data[start:start] = rng.choice((rng.randbytes(rng.randrange(200)), bytes(rng.randrange(5000)), b"\xff" * 16))


def _repeat(rng: random.Random, data: bytearray) -> None:
    start, size = rng.randrange(len(data) + 1), rng.choice((1, 8, 64, 2000))
    data[start:start] = data[start : start + size] * rng.choice((1, 1, 20))


def _number(rng: random.Random, data: bytearray) -> None:
    """A field of four bytes gets a value at the edge."""
    if len(data) >= 4:
        start = rng.randrange(len(data) - 3)
        data[start : start + 4] = struct.pack(rng.choice(("<I", ">I")), rng.choice(EDGES) & 0xFFFFFFFF)


def _zeros(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data) + 1)
    size = min(rng.choice((16, 512, 4096)), len(data) - start)
    data[start : start + size] = bytes(size)


_WOUNDS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    *(_flip, _flip, _flip_early, _flip_early, _cut, _take_out, _put_in, _repeat, _number, _zeros),
)
