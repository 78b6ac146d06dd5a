"""A head CT to try the panel on, made by formula: no patient, a bleed of known place and volume."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk

from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterSlicer.paths import resourcePath

BLEED = Bleed.sphere(20.0, (30.0, 5.0, 32.0))
"""20 mL in the left hemisphere."""
WINDOW_WIDTH, WINDOW_LEVEL = 80, 40
SAMPLE_NAME = "PhantomHeadCT"
SAMPLE_FILE = "SampleData/PhantomHeadCT.nrrd"
"""Among our resources: what `addPhantom(pixels=256)` computes, which takes seconds."""
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Sample:
    """A volume node and its answer."""

    volumeNode: slicer.vtkMRMLScalarVolumeNode
    bleedMl: float
    bleedCenterLps: tuple[float, float, float]


def addPhantom(name: str = SAMPLE_NAME, *, pixels: int = 128, slices: int = 26, bleeds: bool = True) -> Sample:
    """Add a phantom to the scene and show it in a brain window."""
    geometry = head_geometry((slices, pixels, pixels), pixel_mm=(230 / pixels,) * 2, slice_step_mm=130 / slices)
    phantom = make_phantom(geometry, HeadModel((BLEED,) if bleeds else ()), subsamples=(2, 1, 1))
    node = addVolume(np.rint(phantom.volume.hu).astype(np.int16), geometry, name)
    return Sample(node, phantom.blood_ml, tuple(BLEED.center))


def register() -> None:
    """Offer the phantom in Slicer's Sample Data module, and to `SampleData.downloadSample`; its file ships with us."""
    if not hasattr(slicer.modules, "sampledata"):
        return  # a custom application without it
    import SampleData  # a Slicer module; it may be loaded after this one

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Intracranial Hemorrhage",
        sampleName=SAMPLE_NAME,
        uris=resourcePath(SAMPLE_FILE).as_uri(),
        fileNames=Path(SAMPLE_FILE).name,
        nodeNames=SAMPLE_NAME,
        thumbnailFileName=str(resourcePath("Icons/ICHSegmenter.png")),
        customDownloader=lambda _source: [loadSample()],  # a click in the module; Python reads the file by itself
    )


def loadSample() -> slicer.vtkMRMLScalarVolumeNode:
    """Load the phantom that ships with us and show it in a brain window."""
    node = slicer.util.loadVolume(str(resourcePath(SAMPLE_FILE)), {"name": SAMPLE_NAME})
    showInBrainWindow(node)
    return node


def addVolume(voxels: np.ndarray, geometry: VolumeGeometry, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """Add voxels (slices, rows, columns) on a regular grid to the scene and show them in a brain window."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    ijkToRas = vtk.vtkMatrix4x4()
    slicer.util.updateVTKMatrixFromArray(ijkToRas, RAS_TO_LPS @ geometry.affine)
    node.SetIJKToRASMatrix(ijkToRas)
    slicer.util.updateVolumeFromArray(node, voxels)
    node.CreateDefaultDisplayNodes()
    showInBrainWindow(node)
    return node


def showInBrainWindow(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Put a head CT behind all slice views, in the window for brain and blood."""
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(WINDOW_WIDTH, WINDOW_LEVEL)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
