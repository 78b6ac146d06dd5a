"""Draws the pictures of the README: `python Testing/screenshots.py [--output Resources/Screenshots]`.

The panel runs in the stand-in for Slicer; the clicks and the results are real. With the shared data the CT is the
real tilted one, with a bleed put into its voxels, and the method BLAST-CT; without them a phantom made by formula.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ICHSEGMENTER_SHARED", REPOSITORY.parent / "shared"))
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing"), str(REPOSITORY / "ICHSegmenter")]

import numpy as np  # noqa: E402
import SlicerShell  # noqa: E402
import tutorial_pictures  # noqa: E402
from PIL import Image  # noqa: E402

PICTURES = ("method", "panel", "map", "compare")
RUN_S = 600.0
OUTLINER, DETECTOR = "hu-threshold", "compact-unet"
"""A pair of methods that work offline: one outlines, the other, if its weights are here, names."""
SIZE, TALL, TALLER = (1600, 900), (1600, 1000), (1600, 1240)
BLEED_HU, EDEMA_HU = 62.0, 18.0
BLEED_AT = (0.62, 0.45, 0.63)
"""Middle of the bleed as a part of (slices, rows, columns)."""
BLEED_RADII_MM = (17.0, 20.0, 15.0)


def main() -> None:
    """Run the panel and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "Resources" / "Screenshots")
    parser.add_argument("--only", choices=PICTURES, help="draw one picture instead of all")
    parser.add_argument("--weights", nargs="*", default=[], help="folders of trained methods to import first")
    options = parser.parse_args()
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["ICHSEGMENTER_WEIGHTS"] = tempfile.mkdtemp(prefix="weights-")
    shell = SlicerShell.boot()
    shell.loadModule(REPOSITORY / "ICHSegmenter" / "ICHSegmenter.py")
    panel = shell.openModule("ICHSegmenter")
    real = (SHARED / "data" / "ge_head_ct").is_dir()
    panel.ui.inputSelector.setCurrentNode(_realCt() if real else _phantom())
    if options.only in (None, "method"):
        _offerWeights(shell, panel, folder)
    published = [str(SHARED / "data" / "blast_ct_v1")] if real else []
    if published or options.weights:
        panel.methods.importFiles([*published, *options.weights])
        shell.waitUntil(lambda: not panel.methods.isTransferring, RUN_S, "the import of weights")
    _choose(panel, "blast-ct" if real else "hu-threshold")
    if options.only in (None, "panel"):
        _afterARun(shell, panel, folder)
    if options.only in (None, "map"):
        _withMap(shell, panel, folder)
    if real and options.only in (None, "compare"):
        _compared(shell, panel, folder, "blast-ct", "hu-threshold")
    for name in (options.only,) if options.only else PICTURES:
        path = folder / f"{name}.png"
        if path.is_file():
            tutorial_pictures.save(Image.open(path), path)
    shell.endProcess()


def _offerWeights(shell, panel, folder: Path) -> None:
    """What the panel says of a network whose weights are not here yet."""
    _choose(panel, "blast-ct")
    panel.ui.advancedButton.collapsed = False
    shell.process(0.2)
    shell.screenshot(folder / "method.png", panel.parent, size=SIZE)
    panel.ui.advancedButton.collapsed = True


def _afterARun(shell, panel, folder: Path) -> None:
    """The panel with its verdict, three slice views with the bleed, and the bleed in 3D; the first run is hidden."""
    for _ in range(2):  # the second run is a warm one
        shell.click(panel.ui.applyButton)
        shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    shell.click(panel.ui.show3DButton)
    shell.screenshot(folder / "panel.png", panel.parent, size=TALLER)  # the 3D view gets its camera when first drawn
    _lookClosely(panel.shown.segmentationNode)
    shell.process(0.5)
    print(panel.ui.verdictLabel.text)
    shell.screenshot(folder / "panel.png", panel.parent, size=TALLER)


def _withMap(shell, panel, folder: Path) -> None:
    """A method outlines, another one that is here names; the map of the outline lies over the CT."""
    from ICHSegmenterLib.cards.table import get_card
    from ICHSegmenterLib.weights import store

    method = panel.methods.method
    _choose(panel, OUTLINER)
    if store.is_ready(get_card(DETECTOR)):
        panel.ui.detectorComboBox.setCurrentIndex(panel.ui.detectorComboBox.findData(DETECTOR))
    panel.ui.advancedButton.collapsed = False
    panel.ui.mapsCheckBox.click()
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run with its map")
    panel.shown.segmentationNode.GetDisplayNode().SetVisibility2DFill(False)  # the outline stays
    shell.click(panel.ui.show3DButton)
    _lookClosely(panel.shown.segmentationNode)
    shell.process(0.5)
    print(panel.ui.verdictLabel.text)
    shell.screenshot(folder / "map.png", panel.parent, size=TALLER)
    panel.ui.mapsCheckBox.click()
    panel.ui.detectorComboBox.setCurrentIndex(0)
    panel.ui.advancedButton.collapsed = True
    _choose(panel, method)


def _compared(shell, panel, folder: Path, *methods: str) -> None:
    """Two methods on the same exam: outlines in the color of each, their vote filled, the table of agreement."""
    panel.ui.compareSection.collapsed = False
    panel.comparison.choose(methods)
    panel._onOptionsChanged()
    shell.click(panel.ui.compareButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the comparison")
    shell.click(panel.ui.show3DButton)
    _lookClosely(panel.shown.segmentationNode)
    _zoom(panel.shown.segmentationNode)
    shell.process(0.5)
    shell.screenshot(folder / "compare.png", panel.parent, size=TALL)


def _zoom(segmentationNode, times: float = 2.0) -> None:
    """Magnify the slice views around the segments."""
    import slicer

    bounds = np.zeros(6)
    segmentationNode.GetRASBounds(bounds)
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.SetFieldOfView(*(size / times for size in node.GetFieldOfView()[:2]), node.GetFieldOfView()[2])
        node.JumpSliceByCentering(*((bounds[::2] + bounds[1::2]) / 2))


def _choose(panel, method: str) -> None:
    panel.ui.methodComboBox.setCurrentIndex(panel.ui.methodComboBox.findData(method))


def _lookClosely(segmentationNode) -> None:
    """Turn the 3D view to the segments, from the patient's left front."""
    import slicer

    bounds = np.zeros(6)
    segmentationNode.GetRASBounds(bounds)
    center, size = (bounds[::2] + bounds[1::2]) / 2, np.ptp(bounds.reshape(3, 2), axis=1).max()
    camera = slicer.util.getNodesByClass("vtkMRMLCameraNode")[0]
    camera.SetFocalPoint(*center)
    camera.SetPosition(*(center + np.array([-1.0, 1.6, 0.6]) * size * 1.5))
    camera.SetViewUp(0, 0, 1)
    camera.ResetClippingRange()


def _phantom():
    from ICHSegmenterSlicer.scene.sample import addPhantom

    return addPhantom("Head CT", pixels=256, slices=32).volumeNode


def _realCt():
    """The real series as Slicer's DICOM reader would place it, with a lobed bleed and its edema put in."""
    import slicer

    from ICHSegmenterLib.volume.io import read_volume
    from ICHSegmenterSlicer.scene import sample

    sys.path.append(str(REPOSITORY / "Testing" / "Python"))
    import scene_volumes

    volume = read_volume(SHARED / "data" / "ge_head_ct")
    hu = _withBleed(volume.hu, volume.geometry)
    node = scene_volumes.addAsFromDicom(np.rint(hu).astype(np.int16), volume.geometry, "Head CT")
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(sample.WINDOW_WIDTH, sample.WINDOW_LEVEL)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def _withBleed(hu: np.ndarray, geometry) -> np.ndarray:
    """Mix blood and edema into the voxels; their own noise stays."""
    middle = geometry.ijk_to_lps([part * size for part, size in zip(BLEED_AT, geometry.shape, strict=True)][::-1])
    index = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")[::-1], axis=-1)
    offset = ((geometry.ijk_to_lps(index) - middle) / BLEED_RADII_MM).astype(np.float32)
    x, y, z = np.moveaxis(offset, -1, 0)
    around, upwards = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))
    radius = np.sqrt(x**2 + y**2 + z**2)
    radius *= 1 + 0.14 * np.sin(3 * around + 1) + 0.10 * np.cos(5 * around) + 0.10 * np.sin(4 * upwards)
    blood, edema = _inside(radius, 1.0, 14.0), 0.35 * _inside(radius, 1.35, 10.0) * (hu > 0)
    noise = 0.5 * (hu - hu[blood > 0.5].mean())
    mixed = hu * (1 - edema) + EDEMA_HU * edema
    return mixed * (1 - blood) + (BLEED_HU + noise) * blood


def _inside(radius: np.ndarray, edge: float, steepness: float) -> np.ndarray:
    """1 inside, 0 outside, soft at the edge."""
    return 1 / (1 + np.exp(np.clip((radius - edge) * steepness, -50, 50)))


if __name__ == "__main__":
    main()
