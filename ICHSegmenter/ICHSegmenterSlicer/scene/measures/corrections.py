"""Lines that a person corrected, kept with the result that they belong to."""

from __future__ import annotations

import json

import slicer

from ICHSegmenterLib.measuring.abc2 import Abc2
from ICHSegmenterLib.measuring.midline import Midline

MIDLINE, DIAMETERS = "ICHSegmenter.midline", "ICHSegmenter.diameters"
"""Attributes of a result node: the corrected midline, and the three diameters by checksum of their piece."""


def midline(resultNode: slicer.vtkMRMLTextNode) -> Midline | None:
    """The corrected midline of a result, None if nobody touched it."""
    text = resultNode.GetAttribute(MIDLINE)
    return Midline.from_json(json.loads(text)) if text else None


def keepMidline(resultNode: slicer.vtkMRMLTextNode, corrected: Midline) -> None:
    """Keep a corrected midline."""
    resultNode.SetAttribute(MIDLINE, json.dumps(corrected.to_json()))


def diameters(resultNode: slicer.vtkMRMLTextNode, digest: str) -> Abc2 | None:
    """The corrected diameters of a piece; those of a piece that changed since are none of it."""
    plain = json.loads(resultNode.GetAttribute(DIAMETERS) or "{}").get(digest)
    return None if plain is None else Abc2.from_json(plain)


def keepDiameters(resultNode: slicer.vtkMRMLTextNode, digest: str, corrected: Abc2) -> None:
    """Keep the corrected diameters of a piece."""
    everything = json.loads(resultNode.GetAttribute(DIAMETERS) or "{}")
    resultNode.SetAttribute(DIAMETERS, json.dumps({**everything, digest: corrected.to_json()}))
