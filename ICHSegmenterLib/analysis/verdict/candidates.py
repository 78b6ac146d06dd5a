"""Candidates for blood: the connected components of an outline, each measured as a whole, and split by subtype.

Voxels belong to one piece where the map of all blood labels together reaches the low cut; a piece counts if it holds
voxels that the card's rule draws, and those are what is measured and drawn. So neither a faint bridge nor a border
between two labels breaks a bleed, and nothing is drawn that the method itself would not outline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.verdict.measures import Measures, measure_pieces
from ICHSegmenterLib.analysis.verdict.outline import OutlineVoxels
from ICHSegmenterLib.analysis.verdict.surroundings import Surroundings
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume

MIN_SPLIT_ML = 1.0
"""A piece is split between two subtypes if each is the likeliest of so much of it ..."""
MIN_SPLIT_SHARE = 0.25
"""... and of so large a share: a parenchymal bleed that broke into a ventricle, not a rim of another label."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pieces of an outline, numbered from 1.

    Attributes:
        voxels: The outline.
        piece_of: int (n,), the piece of each drawn voxel, 0 for all others.
        measures: Of the pieces.
        label: int (pieces,), position of the label of each among the card's; share: its share of the blood there.
        whole: int (pieces,), position of the component that each is a part of.
    """

    voxels: OutlineVoxels
    piece_of: NDArray[np.int32]
    measures: Measures
    label: NDArray[np.intp]
    share: NDArray[np.float64]
    whole: NDArray[np.intp]


def find_candidates(
    voxels: OutlineVoxels, exam: PreparedVolume, min_volume_ml: float, around: Surroundings | None = None
) -> Candidates:
    """The connected components of an outline, each whole, from `min_volume_ml` on.

    Args:
        voxels: The outline of the exam.
        exam: HU, grid and brain.
        min_volume_ml: Smaller ones are left out.
        around: Its surroundings, if they are known already.
    """
    component_of, count = voxels.components()
    component_of = np.where(voxels.is_drawn, component_of, 0).astype(np.int32)
    ml = exam.volume.geometry.voxel_volumes_mm3[voxels.slices] / 1000
    volumes = np.bincount(component_of, weights=ml, minlength=count + 1)
    is_kept = (volumes > 0) & (volumes >= min_volume_ml * (1 - 1e-9))
    is_kept[0] = False
    number = np.zeros(count + 1, dtype=np.int32)
    number[is_kept] = np.arange(1, np.count_nonzero(is_kept) + 1)
    piece_of = number[component_of]
    kept = int(number.max(initial=0))
    if around is None:
        around = Surroundings.of(exam.volume, exam.brain_mask)
    return _named(voxels, piece_of, measure_pieces(voxels, piece_of, kept, exam.volume, around), np.arange(kept))


def split_by_subtype(candidates: Candidates, exam: PreparedVolume, around: Surroundings) -> Candidates:
    """The same pieces, those cut in two or more that clearly hold several subtypes; each part has one.

    A voxel goes to the likeliest of the subtypes that are large in its piece.
    """
    voxels, measures = candidates.voxels, candidates.measures
    count, labels = len(measures), len(voxels.is_blood)
    within = candidates.piece_of > 0
    piece = candidates.piece_of[within] - 1
    ml = exam.volume.geometry.voxel_volumes_mm3[voxels.slices[within]] / 1000
    blood_maps = np.where(voxels.is_blood, voxels.label_maps[within], -1.0)
    likeliest = blood_maps.argmax(axis=1)
    region_ml = np.bincount(piece * labels + likeliest, weights=ml, minlength=count * labels).reshape(count, labels)
    is_large = (region_ml >= MIN_SPLIT_ML) & (region_ml >= MIN_SPLIT_SHARE * measures.volume_ml[:, None])
    is_split = is_large.sum(axis=1) > 1
    if not is_split.any():
        return candidates
    label = np.where(is_large[piece], blood_maps, -1.0).argmax(axis=1)
    part = np.where(is_split[piece], piece * (labels + 1) + 1 + label, piece * (labels + 1))
    different, number = np.unique(part, return_inverse=True)
    piece_of = np.zeros_like(candidates.piece_of)
    piece_of[within] = number.reshape(-1) + 1
    parts = measure_pieces(voxels, piece_of, len(different), exam.volume, around)
    named = _named(voxels, piece_of, parts, different // (labels + 1))
    of_split = different % (labels + 1) > 0
    return Candidates(
        voxels, piece_of, parts, np.where(of_split, different % (labels + 1) - 1, named.label), named.share, named.whole
    )


def _named(
    voxels: OutlineVoxels, piece_of: NDArray[np.int32], measures: Measures, whole: NDArray[np.intp]
) -> Candidates:
    """Each piece with the label that has most of its blood: a vote of its voxels, weighted by the maps."""
    blood_ml = np.where(voxels.is_blood, measures.label_ml, 0.0)
    label = blood_ml.argmax(axis=1) if len(measures) else np.zeros(0, dtype=np.intp)
    top = blood_ml.max(axis=1, initial=0.0)
    share = top / np.maximum(blood_ml.sum(axis=1), 1e-12)
    return Candidates(voxels, piece_of, measures, label, share, whole)
