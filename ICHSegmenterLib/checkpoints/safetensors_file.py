"""Reader of safetensors files with torch alone, so that the weights that ship need no package which Slicer lacks.

Format: https://github.com/huggingface/safetensors (Apache-2.0): the length of the header as 8 bytes, little-endian;
the header, JSON that gives each tensor's dtype, shape and place; the tensors' bytes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

LENGTH_BYTES = 8
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
METADATA = "__metadata__"


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor by its name.

    Raises:
        ValueError: The file is cut off or is no safetensors file.
        OSError: It cannot be read.
    """
    content = memoryview(path.read_bytes())
    start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    if len(content) < start:
        raise ValueError(f"its header should end at byte {start}")
    header = json.loads(bytes(content[LENGTH_BYTES:start]))
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    body = content[start:]
    return {name: _tensor(name, entry, body) for name, entry in header.items() if name != METADATA}


def _tensor(name: str, entry: Any, body: memoryview) -> torch.Tensor:
    try:
        dtype, shape, (begin, end) = DTYPES[entry["dtype"]], [int(n) for n in entry["shape"]], entry["data_offsets"]
        is_placed = 0 <= begin <= end <= len(body)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"its header describes {name} by {entry}") from error
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or not is_placed or end - begin != size:
        raise ValueError(f"{name} should lie in bytes {begin} to {end} of {len(body)} and have {size}")
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(body[begin:end]), dtype=dtype).reshape(shape)
