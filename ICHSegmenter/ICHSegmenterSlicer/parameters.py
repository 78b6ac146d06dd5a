"""What the panel remembers: in the parameter node, so that it is saved with the scene."""

from __future__ import annotations

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLTextNode
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper


@parameterNodeWrapper
class ICHSegmenterParameters:
    """Parameters of one analysis.

    Attributes:
        inputVolume: The head CT.
        method: Name of a model card, empty for the default of this computer.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        outputSegmentation: Add to this node; none makes a new one.
        replaceUnedited: Remove unedited segments of earlier runs from it first.
        useThreshold, threshold: Of the maps, instead of the method's own.
        opacity: Of the segments' filling in slice views.
        result: Text node with the shown result.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    method: str
    device: Annotated[str, Default("auto")]
    outputSegmentation: vtkMRMLSegmentationNode
    replaceUnedited: bool
    useThreshold: bool
    threshold: Annotated[float, WithinRange(0.01, 0.99), Default(0.5)]
    opacity: Annotated[float, WithinRange(0.0, 1.0), Default(0.5)]
    result: vtkMRMLTextNode
