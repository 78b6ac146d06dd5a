"""Parameters of the panel: in the parameter node, so that they are saved with the scene."""

from __future__ import annotations

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLTextNode
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper

from ICHSegmenterLib.verdict import MIN_PIECE_VOLUME_ML


@parameterNodeWrapper
class ICHSegmenterParameters:
    """Parameters of one analysis.

    Attributes:
        inputVolume: The head CT.
        method: Name of a model card, empty for the default of this computer.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        outputSegmentation: Add to this node; none makes a new one.
        replaceUnedited: Remove unedited segments of earlier runs from it first.
        operatingPoint: Which pieces of blood are drawn, "screening" or "confirming".
        useThreshold, threshold: For the maps, instead of the method's own.
        detector: Name of the method that detects and names segments, empty for `method` itself.
        averageMirror: Average with the prediction of the mirror image.
        saveMaps: Show soft map and uncertainty as volumes.
        comparedMethods: Names of the methods to compare, with spaces between.
        minVolumeMl: Smaller pieces are neither listed nor drawn.
        opacity: Filling of the segments in slice views, 0 to 1.
        mapOpacity: Of the map over the CT, 0 to 1.
        result: Text node with the shown result.
        comparison: Text node with the shown agreement of several methods, the result of their vote.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    method: str
    device: Annotated[str, Default("auto")]
    outputSegmentation: vtkMRMLSegmentationNode
    replaceUnedited: bool
    operatingPoint: Annotated[str, Default("screening")]
    useThreshold: bool
    threshold: Annotated[float, WithinRange(0.01, 0.99), Default(0.5)]
    minVolumeMl: Annotated[float, WithinRange(0.0, 5.0), Default(MIN_PIECE_VOLUME_ML)]
    opacity: Annotated[float, WithinRange(0.0, 1.0), Default(0.5)]
    mapOpacity: Annotated[float, WithinRange(0.0, 1.0), Default(0.6)]
    detector: str
    averageMirror: bool
    saveMaps: bool
    comparedMethods: str
    result: vtkMRMLTextNode
    comparison: vtkMRMLTextNode
