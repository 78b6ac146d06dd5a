"""DICOM slices as one stack: ordered along the normal, repeated slices resolved, gaps found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.volume.dicom.files import base_names
from ICHSegmenterLib.volume.dicom.passes import interleaved_passes
from ICHSegmenterLib.volume.dicom.pixels import read_stored_values, to_hu
from ICHSegmenterLib.volume.dicom.slices import ORIENTATION_TOLERANCE, SAME_POSITION_MM, DicomSlice
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode, ReaderWarning

SPACING_TOLERANCE_MM = 1e-4
"""PixelSpacing is written with few digits; 1e-4 mm adds up to 0.05 mm over 512 columns."""

MAX_REPEATED_FRACTION = 0.5
"""A technologist repeats a few moved slices; more than half is a second scan (contrast, time point, kernel)."""

MISSING_TOLERANCE = 0.15
"""A gap of missing slices is a whole multiple of its neighbors' step, within this fraction of a step."""

UNEQUAL_STEP_MM = 0.05
"""Steps that differ by less are rounding."""


def stack(slices: Sequence[DicomSlice]) -> tuple[list[DicomSlice], tuple[ReaderWarning, ...]]:
    """Slices in ascending position along the normal, one a position, whatever the files are called; and warnings.

    Copies are dropped. Of a few repeated slices with other pixels the latest is kept, with a warning.

    Raises:
        VolumeError: Orientations, sizes or pixel spacings differ, or there are two scans.
    """
    _check_one_grid(slices)
    normal = slices[len(slices) // 2].normal
    ascending = sorted(slices, key=lambda item: float(item.position @ normal))
    unique, repeated_warning = _without_repeats(ascending, normal)
    passes_warning = interleaved_passes(ascending)
    positions = np.array([float(item.position @ normal) for item in unique])
    thickness = np.array([item.thickness_mm for item in unique])
    spacing_warning = missing_slices(positions, thickness) or unequal_steps(positions)
    return unique, tuple(one for one in (repeated_warning, passes_warning, spacing_warning) if one is not None)


def geometry_of(slices: Sequence[DicomSlice]) -> VolumeGeometry:
    """The grid of a stack; direction cosines are taken as written, so positions equal DICOM's formula."""
    middle = slices[len(slices) // 2]
    between_rows, between_columns = middle.spacing_mm
    return VolumeGeometry(
        (len(slices), *middle.shape),
        middle.orientation[:3] * between_columns,
        middle.orientation[3:] * between_rows,
        np.stack([item.position for item in slices]),
    )


def missing_slices(positions_mm: NDArray[np.float64], thickness_mm: NDArray[np.float64]) -> ReaderWarning | None:
    """A warning that names where slices are missing; None if none are.

    A gap is a step twice or more both neighbors' (a change of step as between 4 mm and 7 mm is none), and wider
    than the slices there are thick.
    """
    steps = np.diff(positions_mm)
    gaps = []
    for index, step in enumerate(steps):
        before, after = steps[max(0, index - 3) : index], steps[index + 1 : index + 4]
        if len(before) + len(after) < 2:
            continue
        usual = max(float(np.median(side)) for side in (before, after) if len(side))
        ratio = float(step) / usual
        thickest = float(thickness_mm[index : index + 2].max())
        if round(ratio) >= 2 and abs(ratio - round(ratio)) <= MISSING_TOLERANCE and step > 1.5 * thickest:
            gaps.append((round(ratio) - 1, positions_mm[index], positions_mm[index + 1]))
    if not gaps:
        return None
    count, where = sum(gap[0] for gap in gaps), [[float(low), float(high)] for _, low, high in gaps]
    if count == 1:
        return ReaderWarning(ReaderCode.MISSING_SLICE, {"gaps": where})
    return ReaderWarning(ReaderCode.MISSING_SLICES, {"count": count, "gaps": where})


def unequal_steps(positions_mm: NDArray[np.float64]) -> ReaderWarning | None:
    """A warning that says how unequal the steps are; None if they are equal."""
    steps = np.diff(positions_mm)
    if len(steps) < 2 or float(np.ptp(steps)) <= UNEQUAL_STEP_MM:
        return None
    return ReaderWarning(ReaderCode.UNEQUAL_STEPS, {"least": float(steps.min()), "most": float(steps.max())})


def _without_repeats(
    ascending: Sequence[DicomSlice], normal: NDArray[np.float64]
) -> tuple[list[DicomSlice], ReaderWarning | None]:
    groups: list[list[DicomSlice]] = []
    for item in ascending:
        if groups and float((item.position - groups[-1][0].position) @ normal) <= SAME_POSITION_MM:
            groups[-1].append(item)
        else:
            groups.append([item])
    replaced = [group[0] for group in groups if len(group) > 1 and not _are_copies(group)]
    if len(replaced) > MAX_REPEATED_FRACTION * len(groups):
        raise VolumeError(
            f"The series holds more than one scan: {len(ascending)} images at {len(groups)} positions, with "
            "different pixels (contrast phase, time point or kernel). Export one of them as its own series.",
            Cause.SEVERAL_SCANS,
        )
    unique = [max(group, key=lambda item: item.recency) for group in groups]
    if not replaced:
        return unique, None
    positions = [float(item.position @ normal) for item in replaced]
    return unique, ReaderWarning(ReaderCode.REPEATED_SLICES, {"positions": positions})


def _are_copies(group: Sequence[DicomSlice]) -> bool:
    """True if all slices at one position have equal Hounsfield units."""
    first = group[0]
    apart = max(float(np.linalg.norm(item.position - first.position)) for item in group)
    if apart > 2 * SAME_POSITION_MM:
        raise VolumeError(
            f"The series holds two stacks side by side: {first.path.name} and {group[-1].path.name} lie in one plane, "
            f"{apart:.1f} mm apart. Export one of them as its own series.",
            Cause.SEVERAL_SCANS,
        )
    hu = to_hu(read_stored_values(first.path)[first.frame], first)
    others = (to_hu(read_stored_values(item.path)[item.frame], item) for item in group[1:])
    return all(np.array_equal(hu, other) for other in others)


def _check_one_grid(slices: Sequence[DicomSlice]) -> None:
    reference = _most_common(slices)
    others = [s for s in slices if np.abs(s.orientation - reference.orientation).max() > ORIENTATION_TOLERANCE]
    if others:
        raise VolumeError(
            f"The series mixes orientations: {len(others)} of {len(slices)} slices are not parallel to the rest "
            f"({base_names(s.path for s in others)}). Remove localizer or reformatted images.",
            Cause.MIXED_SLICES,
        )
    others = [s for s in slices if s.shape != reference.shape]
    if others:
        raise VolumeError(
            f"The series mixes image sizes: {others[0].path.name} has {_size(others[0])} pixels, "
            f"{reference.path.name} {_size(reference)}. Export slices of one size.",
            Cause.MIXED_SLICES,
        )
    others = [s for s in slices if np.abs(np.subtract(s.spacing_mm, reference.spacing_mm)).max() > SPACING_TOLERANCE_MM]
    if others:
        raise VolumeError(
            f"The series mixes pixel spacings: {others[0].path.name} has {others[0].spacing_mm[0]:g} mm, "
            f"{reference.path.name} {reference.spacing_mm[0]:g} mm. Export slices of one reconstruction.",
            Cause.MIXED_SLICES,
        )


def _most_common(slices: Sequence[DicomSlice]) -> DicomSlice:
    """The first slice of the orientation, size and spacing that most slices have."""
    grids = [(*np.round(item.orientation, 2), *item.shape, *np.round(item.spacing_mm, 3)) for item in slices]
    _, first, counts = np.unique(grids, axis=0, return_index=True, return_counts=True)
    return slices[int(first[int(np.argmax(counts))])]


def _size(item: DicomSlice) -> str:
    return f"{item.shape[1]} x {item.shape[0]}"
