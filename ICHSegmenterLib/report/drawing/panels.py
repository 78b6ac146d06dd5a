"""A slice with its outlines in a part of a picture."""

from __future__ import annotations

from typing import NamedTuple

from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.spec import BRAIN_WINDOW
from ICHSegmenterLib.report.drawing.canvas import Canvas
from ICHSegmenterLib.report.drawing.slices import display_slice, head_box
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.volume import Volume

Room = tuple[int, int, int, int]
"""Left, top, width, height."""


class Panels(NamedTuple):
    """What all slices of a picture share."""

    result: AnalysisResult
    volume: Volume
    view: AxialView
    head: tuple[slice, slice]
    mm: tuple[float, float]

    @classmethod
    def of(cls, result: AnalysisResult, volume: Volume, shown: list[int]) -> Panels:
        """The panels of a picture that shows these slices, indices of the detection: all cut to the head on them."""
        view = AxialView.of(volume.geometry)
        head = head_box([display_slice(volume.hu, view, index) for index in shown])
        return cls(result, volume, view, head, view.geometry(volume.geometry).pixel_spacing_mm)


def slice_size(shape: tuple[int, ...], mm: tuple[float, float], room: tuple[int, int]) -> tuple[int, int]:
    """Width and height in which pixels (rows, columns) of this size fill the room without being distorted."""
    height_mm, width_mm = shape[0] * mm[0], shape[1] * mm[1]
    scale = min(room[0] / width_mm, room[1] / height_mm)
    return max(1, round(width_mm * scale)), max(1, round(height_mm * scale))


def draw_pixels(canvas: Canvas, room: Room, panels: Panels, index: int) -> Room:
    """A slice with its outlines, as large as the room allows and in its middle; returns what it fills."""
    result, view, head = panels.result, panels.view, panels.head
    hu = display_slice(panels.volume.hu, view, index)[head]
    size = slice_size(hu.shape, panels.mm, room[2:])
    corner = room[0] + (room[2] - size[0]) // 2, room[1] + (room[3] - size[1]) // 2
    canvas.slice(corner, size, hu, BRAIN_WINDOW)
    if result.segmentation is not None:
        labels = display_slice(result.segmentation.labelmap, view, index)[head]
        for value, label in enumerate(result.segmentation.labels, start=1):
            canvas.outline(corner, size, labels == value, label.color)
    return (*corner, *size)
