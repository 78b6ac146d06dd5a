"""Damaged forms of a valid input: its bytes, and the parts that its kind has (numbers, keys, members, elements).

All is drawn from the generator that is given, so that a seed and a number bring an input back.
"""

import contextlib
import gzip
import io
import json
import random
import re
import struct
import zipfile

import pydicom
from pydicom.dataelem import RawDataElement

HARMFUL_BYTES = (
    b"\x00",
    b"\xff\xfe",
    b'"',
    b",",
    b"\n",
    b"[" * 3000,
    b"9" * 400,
    b"-",
    b"{",
    b": &a *a",
    b"1e999",
    b"../../",
    b"\xed\xa0\x80",
)
INTEGERS = (0, 1, -1, 2, 127, 128, 255, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, 10**30)
WORDS = (
    *map(str, INTEGERS),
    "1e999",
    "-1e999",
    "nan",
    "inf",
    "1e-320",
    "0x41",
    "1_0",
    "true",
    "null",
    "[]",
    "{}",
    '""',
    "../../../etc/passwd",
    "=1+1",
    "\u202e",
    "A" * 5000,
)
VALUES = (
    None,
    True,
    False,
    *INTEGERS,
    1e308,
    float("nan"),
    float("inf"),
    1e-320,
    "",
    "x" * 5000,
    "../..",
    [],
    {},
    [[]],
)
_WORD = re.compile(rb"[-+]?[\w.]+")
_LENGTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}
DEEP = 5000


def mutated(content: bytes, draw: random.Random, kind: str = "binary") -> bytes:
    """A damaged form of an input.

    Args:
        content: A valid input.
        draw: All chances.
        kind: "binary", "text", "json", "zip", "gzip" or "dicom": half of all damage keeps that form whole and harms
            what is in it.
    """
    if draw.random() < 0.01:
        return b""
    if draw.random() < 0.5 and kind in _INSIDE:
        with contextlib.suppress(Exception):  # what is damaged already has no parts
            return _INSIDE[kind](content, draw)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        content = _bytes(content, draw)
    return content


def _bytes(content: bytes, draw: random.Random) -> bytes:
    damaged, kind = bytearray(content), draw.randrange(8)
    at = draw.randrange(len(damaged) + 1) if draw.random() < 0.6 else draw.randrange(min(len(damaged), 512) + 1)
    if kind == 0:
        del damaged[at : at + draw.randint(1, 40)]
    elif kind == 1:
        damaged[at:at] = draw.choice(HARMFUL_BYTES)
    elif kind == 2:
        damaged[at : at + 1] = bytes([draw.randrange(256)])
    elif kind == 3:
        damaged[at:at] = damaged[: draw.randint(1, 60)]
    elif kind == 4 and at < len(damaged):
        damaged[at] ^= 1 << draw.randrange(8)
    elif kind == 5:
        width = draw.choice((1, 2, 4, 8))
        number = draw.choice(INTEGERS) % (1 << 8 * width)
        damaged[at : at + width] = struct.pack(draw.choice("<>") + _LENGTHS[width], number)
    elif kind == 6:
        del damaged[at:]
    else:
        end = at + draw.randint(1, 64)
        other = draw.randrange(len(damaged) + 1)
        damaged[other:other] = damaged[at:end]
    return bytes(damaged)


def _text(content: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.7:
        words = list(_WORD.finditer(content))
        for word in sorted(draw.sample(words, min(len(words), draw.choice((1, 1, 2)))), key=lambda m: -m.start()):
            value = draw.choice(WORDS).encode("utf-8")
            content = content[: word.start()] + value + content[word.end() :]
        return content
    lines = content.splitlines(keepends=True)
    at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    if draw.random() < 0.4:
        del lines[at]
    elif draw.random() < 0.5:
        lines.insert(other, lines[at])
    else:
        lines[at], lines[other] = lines[other], lines[at]
    return b"".join(lines)


def _json(content: bytes, draw: random.Random) -> bytes:
    prefix = b""
    plain = json.loads(content)
    holders = list(_holders(plain))
    for _ in range(draw.choice((1, 1, 2))):
        holder = draw.choice(holders)
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key, action = draw.choice(keys), draw.randrange(6)
        if action == 0:
            del holder[key]
        elif action == 1 and isinstance(holder, dict):
            holder[draw.choice(WORDS)] = holder[key]
        elif action == 2:
            holder[key] = draw.choice([draw.choice(holders[:1]), [holder[key]], {"x": holder[key]}])
            if holder[key] is holders[0]:  # no loops
                holder[key] = str(holder[key])[:50]
        elif action == 3 and draw.random() < 0.1:
            text = json.dumps(plain).encode()
            return prefix + b'{"a":' * DEEP + text + b"}" * DEEP
        else:
            holder[key] = draw.choice(VALUES)
    return prefix + json.dumps(plain).encode()


def _holders(plain: object):
    """Every object and list that has something in it."""
    if isinstance(plain, dict | list) and plain:
        yield plain
        for inner in plain.values() if isinstance(plain, dict) else plain:
            yield from _holders(inner)


def _zip(content: bytes, draw: random.Random) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(stream, "w") as copy:
        names = archive.namelist()
        victim = draw.choice(names)
        for name in names:
            member = archive.read(name)
            if name == victim:
                member = _bytes(member, draw)
                name = draw.choice((name,) * 8 + ("../../x", name + "\x00y"))
            copy.writestr(name, member)
    return stream.getvalue()


def _gzip(content: bytes, draw: random.Random) -> bytes:
    return gzip.compress(_bytes(gzip.decompress(content), draw), compresslevel=1, mtime=0)


def _dicom(content: bytes, draw: random.Random) -> bytes:
    """Another value of an element, another length of it, or no such element; also below a sequence."""
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    holder = dataset if draw.random() < 0.85 else dataset.file_meta
    while (sequences := [e for e in holder if e.VR == "SQ" and len(e.value)]) and draw.random() < 0.5:
        holder = draw.choice(draw.choice(sequences).value)
    tag = draw.choice(list(holder.keys()))
    if draw.random() < 0.2:
        del holder[tag]
    else:
        element = holder[tag]
        value = draw.choice(
            (*(word.encode("utf-8") for word in WORDS), b"", bytes(draw.randrange(256) for _ in range(8)))
        )
        value += b" " * (len(value) % 2)
        representation = draw.choice((element.VR, element.VR, "US", "DS", "UL", "OB", "FD", "UI", "PN"))
        holder._dict[tag] = RawDataElement(tag, representation, len(value), value, 0, False, True)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=False)
    return stream.getvalue()


_INSIDE = {"text": _text, "json": _json, "zip": _zip, "gzip": _gzip, "dicom": _dicom}
