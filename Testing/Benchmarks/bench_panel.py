"""How long the window is held on a thin scan of 300 slices: `python Testing/Benchmarks/bench_panel.py`.

The worker's answer is made here, because what is measured is Slicer's own process: every step of reading a volume and
of bringing a result into the scene, and every click on it. CPU time counts: wall time says what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(folder) for folder in (REPOSITORY, REPOSITORY / "Testing", REPOSITORY / "ICHSegmenter")]

import numpy as np  # noqa: E402
import SlicerShell  # noqa: E402

LIMIT_MS = 100.0
WORK_S, QUIET_S = 0.001, 2.0
"""CPU time of a turn of the event loop that worked, and wall time after the last one of these until all is done."""


class Times:
    """The longest CPU and wall time of each piece of work, in ms."""

    def __init__(self) -> None:
        self.longest: dict[str, tuple[float, float, int]] = {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        cpu, wall = time.thread_time(), time.perf_counter()
        yield
        spent = ((time.thread_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000)
        before = self.longest.get(name, (0.0, 0.0, 0))
        self.longest[name] = (max(before[0], spent[0]), max(before[1], spent[1]), before[2] + 1)

    def drain(self, name: str, steps: Any) -> Any:
        """Take every step of a generator; returns its result."""
        while True:
            with self.measure(name):
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value

    def table(self) -> str:
        rows = [f"{'work':44s}{'steps':>7s}{'CPU ms':>9s}{'wall ms':>9s}"]
        for name, (cpu, wall, count) in self.longest.items():
            rows.append(f"{name:44s}{count:7d}{cpu:9.0f}{wall:9.0f}{'  too long' if cpu > LIMIT_MS else ''}")
        return "\n".join(rows)


def main() -> None:
    """Measure and print the table; exit code 1 if a piece of work is too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--pixels", type=int, default=512)
    options = parser.parse_args()
    os.environ["ICHSEGMENTER_WEIGHTS"] = tempfile.mkdtemp(prefix="weights-")
    shell = SlicerShell.boot()
    shell.loadModule(REPOSITORY / "ICHSegmenter" / "ICHSegmenter.py")
    panel = shell.openModule("ICHSegmenter")
    times = Times()
    _measureThreshold(shell, times, options.pixels)
    _measure(shell, panel, times, options.slices, options.pixels)
    print(times.table())
    sys.stdout.flush()
    os._exit(int(any(cpu > LIMIT_MS for cpu, _wall, _count in times.longest.values())))


def _measure(shell: Any, panel: Any, times: Times, slices: int, pixels: int) -> None:
    from ICHSegmenterSlicer.client.answer import Answer
    from ICHSegmenterSlicer.scene import maps, segments, volumes
    from ICHSegmenterSlicer.scene.results import exam, measured

    volumeNode, labelmap = _thinScan(slices, pixels)
    with times.measure("choose the volume"):
        panel.ui.inputSelector.setCurrentNode(volumeNode)
    shell.process(1.0)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    exported = times.drain("read the volume", volumes.exportVolume(volumeNode, folder))
    state = times.drain("checksum of the voxels", exam.stateOf(volumeNode))
    answer = Answer.fromMessage(_message(folder, labelmap, exported.geometry), folder, exported.geometry)
    nodes = times.drain("make the map", maps.importMaps(answer, volumeNode))
    imported = times.drain("make segments", segments.importResult(answer, volumeNode))
    maps.attach(imported.resultNode, nodes)
    exam.mark(imported.resultNode, state)
    times.drain("measure segments", measured.measure(imported.segmentationNode, imported.result, volumeNode))
    with times.measure("show the result"):
        panel.results.finish(imported.resultNode)
    shell.process(1.0)
    _click(shell, times, "click a slice", lambda: panel.ui.sliceTable.setCurrentCell(slices // 3, 0))
    _click(shell, times, "check Show map", panel.ui.mapsCheckBox.click)
    _turns(shell, times, "Show 3D", panel.ui.show3DButton.click)
    _paint(imported, volumeNode)  # not ours: what follows from it is
    _turns(shell, times, "after a stroke", lambda: None)
    other, _ = _thinScan(slices // 4, pixels)
    _measureEdits(shell, panel, times, volumeNode, imported)
    _spread(imported, volumeNode)
    _turns(shell, times, "after blood was spread over the whole head", lambda: None)
    panel.ui.findingsTable.setCurrentCell(1, 0)
    _turns(shell, times, "reject a finding, with blood everywhere", panel.ui.rejectButton.click)
    _turns(shell, times, "undo that", panel.ui.undoButton.click)
    _turns(shell, times, "choose another volume", lambda: panel.ui.inputSelector.setCurrentNode(other))
    _turns(shell, times, "choose the first one again", lambda: panel.ui.inputSelector.setCurrentNode(volumeNode))


def _measureEdits(shell: Any, panel: Any, times: Times, volumeNode: Any, imported: Any) -> None:
    """Work on findings: reject, undo, a click that grows a bleed, its extent, adding it."""
    clicks, findings = panel.shown._findings.clicks, panel.shown._findings
    _turns(shell, times, "choose a finding", lambda: panel.ui.findingsTable.setCurrentCell(0, 0))
    piece = findings.current
    _turns(shell, times, "reject a finding", panel.ui.rejectButton.click)
    shell.waitUntil(lambda: all(other.digest != piece.digest for other in findings._findings), 120)
    point = piece.pointRas
    with times.measure("click: grow a bleed and outline it"):
        clicks._onPoint(point)
    with times.measure("another extent of it"):
        panel.ui.extentSlider.value = 0.5
    _turns(shell, times, "add it", panel.ui.addButton.click)
    _turns(shell, times, "undo", panel.ui.undoButton.click)


def _measureThreshold(shell: Any, times: Times, pixels: int, slices: int = 40) -> None:
    """The outline of a map that is noisy everywhere in the head, at a threshold that is moved."""
    import slicer

    from ICHSegmenterSlicer.scene.results.live_cut import LiveCut

    volumeNode, labelmap = _thinScan(slices, pixels)
    noise = np.random.default_rng(1).random(labelmap.shape, dtype=np.float32)
    inHead = slicer.util.arrayFromVolume(volumeNode) > 0
    slicer.util.updateVolumeFromArray(volumeNode, np.where(inHead, 0.6 * noise + 0.4 * labelmap, 0).astype(np.float32))
    cut = LiveCut()
    for threshold in (0.9, 0.7, 0.5, 0.58, 0.3, 0.02):
        with times.measure(f"threshold moved, {slices} slices: {threshold}"):
            cut.show(volumeNode, threshold, 0.1, None, ())
            shell.process()
    cut.clear()
    slicer.mrmlScene.RemoveNode(volumeNode)


def _click(shell: Any, times: Times, name: str, act: Callable[[], None]) -> None:
    with times.measure(name):
        act()
    shell.process()


def _turns(shell: Any, times: Times, name: str, act: Callable[[], None]) -> None:
    """Measure an action and every turn of the event loop after it, until nothing has worked for a while."""
    _click(shell, times, name, act)
    end = time.monotonic() + QUIET_S
    while time.monotonic() < end:
        before = time.thread_time()
        with times.measure(f"{name}: turns of the event loop"):
            shell.app.processEvents()
        if time.thread_time() - before > WORK_S:
            end = time.monotonic() + QUIET_S


def _paint(imported: Any, volumeNode: Any) -> None:
    import slicer

    segmentId = imported.segmentIds[0]
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(imported.segmentationNode, segmentId, volumeNode)
    mask[5, 5:9, 5:9] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, imported.segmentationNode, segmentId, volumeNode)


def _spread(imported: Any, volumeNode: Any) -> None:
    """Specks from vertex to base in two segments: their boxes hold the whole head, and nothing can be cut off."""
    import slicer

    segmentation = imported.segmentationNode.GetSegmentation()
    head = np.argwhere(slicer.util.arrayFromVolume(volumeNode)[10:-10:10, 10:-10:10, 10:-10:10] > 0) * 10 + 10
    mask = np.zeros(volumeNode.GetImageData().GetDimensions()[::-1], np.uint8)
    for corner in (head.min(axis=0), head.max(axis=0)):
        mask[tuple(slice(at - 8, at + 8) for at in corner)] = 1
    for name in ("SAH", "SDH"):
        segmentation.AddEmptySegment(name, name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, imported.segmentationNode, name, volumeNode)


def _thinScan(slices: int, pixels: int) -> tuple[Any, np.ndarray]:
    """A small phantom with all voxels repeated, and the mask of its bleed: uint8 (slices, rows, columns)."""
    import slicer

    from ICHSegmenterSlicer.scene import sample

    small = slicer.util.arrayFromVolume(sample.addPhantom("small", pixels=128).volumeNode).copy()
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("small"))
    rows = np.arange(pixels) * 128 // pixels
    voxels = small[np.arange(slices) * len(small) // slices][:, rows][:, :, rows]
    from ICHSegmenterLib.synthesis.phantom import head_geometry

    geometry = head_geometry(voxels.shape, pixel_mm=(230 / pixels,) * 2, slice_step_mm=130 / slices)
    center, radius = np.array(sample.BLEED.center), 17.0
    k, j, i = np.meshgrid(*(np.arange(size) for size in voxels.shape), indexing="ij", sparse=True)
    steps = (geometry.column_step[0], geometry.row_step[1], geometry.slice_origins[1, 2] - geometry.slice_origins[0, 2])
    origin = geometry.slice_origins[0]
    distance = sum(
        ((origin[axis] + index * step - center[axis]) / radius) ** 2
        for axis, (index, step) in enumerate(zip((i, j, k), steps, strict=True))
    )
    return sample.addVolume(voxels, geometry, f"Thin scan of {slices}"), (distance < 1).astype(np.uint8)


def _message(folder: Path, labelmap: np.ndarray, geometry: Any) -> dict[str, Any]:
    """A worker's answer for this labelmap."""
    from ICHSegmenterLib.labels import ICH
    from ICHSegmenterLib.results import (
        AnalysisResult,
        DetectionResult,
        Provenance,
        SegmentationResult,
        SegmentMeasurement,
        SliceDetection,
    )

    np.save(folder / "labelmap.npy", labelmap)
    np.save(folder / "maps.npy", labelmap[None].astype(np.float32) * np.float32(0.9))
    present = labelmap.any(axis=(1, 2))
    detected = tuple(
        SliceDetection(n, float(position), {"any": 0.9 if there else 0.1}, bool(there), 0.1 * there)
        for n, (position, there) in enumerate(zip(geometry.slice_positions_mm, present, strict=True))
    )
    indices = np.flatnonzero(present)
    measurement = SegmentMeasurement(ICH.key, ICH.name, True, 20.0, 60.0, int(indices[0]), int(indices[-1]), 1)
    result = AnalysisResult(
        geometry,
        DetectionResult(detected, {"any": 0.9}, 0.5, int(indices[0])),
        SegmentationResult(labelmap, geometry, (ICH,)),
        (measurement,),
        Provenance("hu-threshold", "HU threshold", "0.1.0", "cpu", "float32"),
    )
    return {"result": result.to_json(), "labelmap": "labelmap.npy", "maps": "maps.npy"}


if __name__ == "__main__":
    main()
