"""What of the head is in view, whether it is a child's, and whether parts have no measurement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.preprocessing.blocks import dilate_in_plane
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
from ICHSegmenterLib.volume.volume import Volume

END_CM2, END_CM2_PER_MM = 15.0, 4.7
"""Brain on the last slice: a vault of 75 mm radius has 4.7 cm2 more for each mm below its top."""
AIR_HU, MIN_AIR_ML = -500.0, 0.5
CHILD_ML, CHILD_SKULL_MM, SMALL_ML = 1300.0, 5.0, 1050.0
"""A head with less than the first inside a vault thinner than the second is a child's; less than the third always."""
BONE_HU, BONE_REACH_MM = 250.0, 12.0
VAULT = (0.55, 0.85)
"""Share of the brain's height at which the vault is measured."""

Mask = NDArray[np.bool_]


def check_extent(volume: Volume, mask: Mask) -> tuple[InputFinding, ...]:
    """Whether vertex, skull base and sides are in view."""
    geometry = volume.geometry
    pixel_cm2 = float(np.prod(geometry.pixel_spacing_mm)) / 100
    areas = mask.sum(axis=(1, 2)) * pixel_cm2
    heights = geometry.slice_origins[:, 2]
    top, bottom = (-1, 0) if heights[-1] > heights[0] else (0, -1)
    findings = []
    for end, code in ((top, InputCode.NO_VERTEX), (bottom, InputCode.NO_SKULL_BASE)):
        limit = END_CM2 + END_CM2_PER_MM * float(geometry.slice_extents_mm[end])
        if areas[end] > limit:
            findings.append(InputFinding(code, {"area_cm2": float(areas[end])}))
    border = mask[:, [0, -1]].any(axis=(1, 2)) | mask[:, :, [0, -1]].any(axis=(1, 2))
    if border.any():
        findings.append(InputFinding(InputCode.CUT_OFF, {"slices": int(border.sum())}))
    return tuple(findings)


def check_air(volume: Volume, mask: Mask) -> InputFinding | None:
    """Air, or voxels without measurement, inside the skull."""
    voxels = volume.geometry.voxel_volumes_mm3 / 1000
    volume_ml = float((mask & (volume.hu < AIR_HU)).sum(axis=(1, 2)) @ voxels)
    return InputFinding(InputCode.AIR_INSIDE, {"volume_ml": volume_ml}) if volume_ml > MIN_AIR_ML else None


def check_child(volume: Volume, mask: Mask) -> InputFinding | None:
    """A small head with a thin vault, unless the scan leaves a part of it out."""
    codes = {finding.code for finding in check_extent(volume, mask)}
    if codes & {InputCode.NO_VERTEX, InputCode.NO_SKULL_BASE, InputCode.CUT_OFF}:
        return None
    volume_ml = float(mask.sum(axis=(1, 2)) @ volume.geometry.voxel_volumes_mm3) / 1000
    if volume_ml > CHILD_ML:
        return None
    skull_mm = vault_mm(volume, mask)
    if volume_ml > SMALL_ML and skull_mm > CHILD_SKULL_MM:
        return None
    return InputFinding(InputCode.CHILD, {"volume_ml": volume_ml, "skull_mm": skull_mm})


def vault_mm(volume: Volume, mask: Mask) -> float:
    """Mean thickness of the skull around the upper brain: the area of its bone by the length of its middle line."""
    positions = volume.geometry.slice_positions_mm * np.sign(volume.geometry.normal[2])
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    share = (positions - positions[used].min()) / max(np.ptp(positions[used]), 1e-6)
    level = used[(share[used] >= VAULT[0]) & (share[used] <= VAULT[1])]
    if not len(level):
        return float("nan")
    pixel = volume.geometry.pixel_spacing_mm[0]
    around = dilate_in_plane(mask[level], max(1, round(BONE_REACH_MM / pixel)))
    bone = (around & (volume.hu[level] > BONE_HU)).sum(axis=(1, 2)) * pixel**2
    inside = mask[level].sum(axis=(1, 2)) * pixel**2
    # A ring of area A around an area B is sqrt((A + B) / pi) - sqrt(B / pi) wide.
    return float(np.median(np.sqrt((bone + inside) / np.pi) - np.sqrt(inside / np.pi)))
