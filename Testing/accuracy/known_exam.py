"""Exams with their truth: made from a plan of the recipe, kept on disk, found again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.synthesis.acquisition.kernels import Kernel
from ICHSegmenterLib.synthesis.acquisition.scanner import Protocol
from ICHSegmenterLib.synthesis.exam import SyntheticExam, make_exam
from ICHSegmenterLib.synthesis.insertion import insert_lesions
from ICHSegmenterLib.synthesis.parts import Part
from ICHSegmenterLib.synthesis.pathology.lesions import SUBTYPES, LesionPlan
from ICHSegmenterLib.synthesis.styles import COVERAGE_MM, style_named
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume, VolumeSource
from Testing.accuracy.recipe import ExamPlan
from Testing.demo import demo_phantom

MATRIX = 256
"""Rows and columns of a made-up exam, if its group does not say otherwise."""
REFERENCE_MM, MOST_NOISE_HU = 5.0, 40.0
"""Slice thickness at which the recipe gives the noise, and the greatest SD it grows to in thinner slices."""
SMOOTHING_MM, RIM_MM = 3.0, 6.0
"""Noise is what differs from this smoothing, so far from the edge of the brain."""
MAD_TO_SD = 1.4826


class ScanMissingError(Exception):
    """A real scan of the recipe is not at hand."""


@dataclass(frozen=True, eq=False)
class KnownExam:
    """An exam in memory.

    Attributes:
        volume: HU on the acquired grid.
        labelmap: uint8 (slices, rows, columns), 1 + index of the subtype in `SUBTYPES`, 0 without blood.
        facts: Plain data: true mL of each subtype, parts, median slice distance and tilt, SD of the noise.
    """

    volume: Volume
    labelmap: NDArray[np.uint8]
    facts: dict[str, Any]

    @classmethod
    def obtain(cls, plan: ExamPlan, folder: Path, scans: Path) -> KnownExam:
        """The exam of a plan, from the folder if it is there, else made and kept.

        Args:
            plan: From the recipe.
            folder: Of kept exams; made if absent.
            scans: Folder of the real scans.

        Raises:
            ScanMissingError: The scan that it is made from is not there.
        """
        path = folder / f"{plan.name}.npz"
        if path.is_file() and (kept := cls._load(path, plan)) is not None:
            return kept
        exam = make(plan, scans)
        exam._save(path, plan)
        return exam

    @classmethod
    def _load(cls, path: Path, plan: ExamPlan) -> KnownExam | None:
        """None if it was made by another recipe."""
        with np.load(path) as arrays:
            facts = json.loads(str(arrays["facts"]))
            if facts.pop("digest") != plan.digest:
                return None
            hu = arrays["hu"].astype(np.float32)
            geometry = VolumeGeometry(hu.shape, arrays["column_step"], arrays["row_step"], arrays["slice_origins"])
            return cls(Volume(hu, geometry, VolumeSource("array")), arrays["labelmap"], facts)

    def _save(self, path: Path, plan: ExamPlan) -> None:
        geometry = self.volume.geometry
        with replacing(path) as draft, draft.open("wb") as file:
            np.savez_compressed(
                file,
                hu=np.rint(self.volume.hu).astype(np.int16),
                labelmap=self.labelmap,
                column_step=geometry.column_step,
                row_step=geometry.row_step,
                slice_origins=geometry.slice_origins,
                facts=json.dumps(self.facts | {"digest": plan.digest}),
            )


def make(plan: ExamPlan, scans: Path) -> KnownExam:
    """Make the exam of a plan; equal plans make equal exams.

    Raises:
        ScanMissingError: The scan that it is made from is not there.
    """
    facts = plan.facts
    if plan.kind == "synthetic":
        matrix = facts.get("matrix", MATRIX)
        return _known(make_exam(facts["seed"], style=facts["style"], matrix=matrix, positive_share=facts["positive"]))
    if plan.kind == "same-bleed":
        lesion = LesionPlan(facts["subtype"], facts["volume_ml"], facts["hu"])
        style = style_named(facts["style"]).with_parts(without=[Part(name) for name in facts["without_parts"]])
        return _known(make_exam(facts["seed"], style=style, plans=[lesion], protocol=_protocol(plan)))
    if plan.kind == "phantom":
        phantom = demo_phantom(has_bleed=facts["bleed"])
        hu = np.rint(phantom.volume.hu)  # as its DICOM files hold it
        volume = Volume(hu, phantom.volume.geometry)
        labelmap = np.where(phantom.labelmap > 0, 1 + SUBTYPES.index("IPH"), 0).astype(np.uint8)
        return KnownExam(volume, labelmap, _facts(volume, labelmap, phantom.brain_mask))
    volume = read_scan(plan.scan, scans)
    if plan.kind == "inserted":
        lesion = LesionPlan(facts["subtype"], facts["volume_ml"])
        return _known(insert_lesions(volume, [lesion], seed=facts["seed"]))
    labelmap = np.zeros(volume.hu.shape, dtype=np.uint8)
    return KnownExam(volume, labelmap, _facts(volume, labelmap, brain_mask(volume)))


def read_scan(name: str, scans: Path) -> Volume:
    """A real scan from the folder of the real scans.

    Raises:
        ScanMissingError: It is not there.
    """
    path = next((scans / name).glob("*.nii.gz"), scans / name)
    if not path.exists():
        raise ScanMissingError(f"the scan {name} is not at hand")
    return read_volume(path)


def _protocol(plan: ExamPlan) -> Protocol:
    """A usual acquisition but for thickness, tilt, kernel and noise."""
    facts, kernel = plan.facts, plan.facts["kernel"]
    step = facts["slice_mm"]
    return Protocol(
        matrix=facts.get("matrix", MATRIX),
        steps_mm=(step,) * round(COVERAGE_MM / step),
        tilt_deg=facts["tilt_deg"],
        noise_hu=float(min(MOST_NOISE_HU, kernel["noise_hu"] * np.sqrt(REFERENCE_MM / step))),
        kernel=Kernel(kernel["cutoff"], kernel["boost"]),
        streak_hu=0.0,
        hardening=1.0,
    )


def _known(exam: SyntheticExam) -> KnownExam:
    parts = sorted(part.value for part in exam.parts)
    return KnownExam(exam.volume, exam.labelmap, _facts(exam.volume, exam.labelmap, exam.brain_mask, parts))


def _facts(
    volume: Volume, labelmap: NDArray[np.uint8], brain: NDArray[np.bool_], parts: list[str] | None = None
) -> dict[str, Any]:
    voxels = volume.geometry.voxel_volumes_mm3 / 1000
    blood_ml = {
        name: float((labelmap == value).sum(axis=(1, 2)) @ voxels) for value, name in enumerate(SUBTYPES, start=1)
    }
    return {
        "parts": parts or [],
        "blood_ml": blood_ml,
        "slices": volume.geometry.shape[0],
        "slice_mm": volume.geometry.slice_step_mm,
        "tilt_deg": volume.geometry.tilt_deg,
        "noise_hu": noise_hu(volume, brain),
    }


def noise_hu(volume: Volume, brain: NDArray[np.bool_]) -> float:
    """SD of the noise inside the brain, from the median distance to a smoothed picture, which edges hardly change."""
    pixel = volume.geometry.pixel_spacing_mm[0]
    rests = []
    for hu, mask in zip(volume.hu, brain, strict=True):
        inner = ndimage.distance_transform_edt(mask) * pixel > RIM_MM
        if inner.any():
            soft = np.clip(hu, -100, 200)
            rests.append((soft - ndimage.gaussian_filter(soft, SMOOTHING_MM / pixel))[inner])
    return float(MAD_TO_SD * np.median(np.abs(np.concatenate(rests)))) if rests else 0.0
