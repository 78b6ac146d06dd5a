"""A tiny encoder of JPEG Lossless (process 14, first-order prediction), in which most archived CT is stored.

No Python package writes it. ITU-T T.81, annex H; all 17 difference categories get 5-bit Huffman codes.
"""

from __future__ import annotations

import struct

import numpy as np

CODE_BITS = 5
CATEGORIES = 17


def encode_jpeg_lossless(stored: np.ndarray) -> bytes:
    """uint16 (rows, columns) as one JPEG Lossless frame of 16 bits."""
    rows, columns = stored.shape
    frame = struct.pack(">BHHBBBB", 16, rows, columns, 1, 1, 0x11, 0)
    counts = [CATEGORIES if bits == CODE_BITS else 0 for bits in range(1, 17)]
    table = bytes([0, *counts, *range(CATEGORIES)])
    scan = bytes([1, 1, 0, 1, 0, 0])
    segments = b"".join(_segment(marker, body) for marker, body in ((0xC3, frame), (0xC4, table), (0xDA, scan)))
    return b"\xff\xd8" + segments + _entropy(stored) + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _entropy(stored: np.ndarray) -> bytes:
    bits = []
    for row, line in enumerate(stored.astype(int)):
        above = 1 << 15 if row == 0 else int(stored[row - 1, 0])
        for value, predicted in zip(line, [above, *line[:-1]], strict=True):
            difference = (int(value) - int(predicted) + 0x8000) % 0x10000 - 0x8000
            category = abs(difference).bit_length()
            bits.append(format(category, f"0{CODE_BITS}b"))
            if 0 < category < 16:
                positive = difference if difference > 0 else difference + (1 << category) - 1
                bits.append(format(positive, f"0{category}b"))
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    packed = int(text, 2).to_bytes(len(text) // 8, "big")
    return packed.replace(b"\xff", b"\xff\x00")
