"""An exam compared with a prior one of the same patient: growth, and the prior outline on the current grid.

Expansion is more than a third or more than 6 mL: Dowlatshahi et al., Neurology 2011;76:1238-1244.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.labels import SegmentLabel
from ICHSegmenterLib.measuring.criteria import Criterion, Flag
from ICHSegmenterLib.measuring.registration import RigidTransform, register
from ICHSegmenterLib.volume.components import CONNECTIVITY_26, component_volumes
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

GROWTH_ML, GROWTH_SHARE = 6.0, 0.33
MIN_PIECE_ML = 0.1
"""Smaller pieces count in the total and are not listed."""

Labelmap = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class OutlinedExam:
    """An exam with its outline.

    Attributes:
        volume: HU on the acquired grid.
        labelmap: uint8 (slices, rows, columns) on it; value n is labels[n - 1].
        labels: Of the labelmap.
    """

    volume: Volume
    labelmap: Labelmap
    labels: tuple[SegmentLabel, ...]

    @property
    def blood(self) -> NDArray[np.bool_]:
        """bool (slices, rows, columns), all that is blood."""
        values = [value for value, label in enumerate(self.labels, start=1) if label.is_blood]
        return np.isin(self.labelmap, values)

    def label_ml(self) -> dict[str, float]:
        """Label key to mL, of all blood labels with voxels."""
        voxels_ml = self.volume.geometry.voxel_volumes_mm3 / 1000
        volumes = {
            label.key: float((self.labelmap == value).sum(axis=(1, 2)) @ voxels_ml)
            for value, label in enumerate(self.labels, start=1)
            if label.is_blood
        }
        return {key: volume for key, volume in volumes.items() if volume > 0}


@dataclass(frozen=True)
class Change:
    """Blood then and now.

    Attributes:
        name: Key of the label; "total" of all.
        prior_ml, current_ml: Each measured on its own grid.
    """

    name: str
    prior_ml: float
    current_ml: float

    @property
    def change_ml(self) -> float:
        """Positive where it grew."""
        return self.current_ml - self.prior_ml

    @property
    def change_share(self) -> float | None:
        """The change relative to the prior volume, None if there was none."""
        return self.change_ml / self.prior_ml if self.prior_ml > 0 else None

    @property
    def is_growth(self) -> bool:
        """More than a third or more than 6 mL; of new blood, any."""
        return self.change_ml > min(GROWTH_ML, GROWTH_SHARE * self.prior_ml)

    @property
    def flag(self) -> Flag | None:
        """The criterion of growth, if it is met."""
        return Flag(Criterion.GROWTH, self.change_ml) if self.is_growth else None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "change_ml": self.change_ml, "change_share": self.change_share}


@dataclass(frozen=True)
class FollowUp:
    """The comparison.

    Attributes:
        total: Of all blood.
        labels: Of each label that one of both exams has.
        pieces: Of each piece of blood now, with what of the prior blood lies on it or nearest to it.
        gone: Pieces of the prior exam where there is no blood now.
        residual_mm, overlap: How well the skulls fit.
        current_to_prior_lps: 4x4 rows, mm.
    """

    total: Change
    labels: tuple[Change, ...]
    pieces: tuple[Change, ...]
    gone: tuple[Change, ...]
    residual_mm: float
    overlap: float
    current_to_prior_lps: tuple[tuple[float, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        lists = {name: [one.to_json() for one in getattr(self, name)] for name in ("labels", "pieces", "gone")}
        return {
            "total": self.total.to_json(),
            "flags": [] if self.total.flag is None else [self.total.flag.to_json()],
            **lists,
            "residual_mm": self.residual_mm,
            "overlap": self.overlap,
            "current_to_prior_lps": [list(row) for row in self.current_to_prior_lps],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> FollowUp:
        """What `to_json` wrote."""

        def change(one: Mapping[str, Any]) -> Change:
            return Change(str(one["name"]), float(one["prior_ml"]), float(one["current_ml"]))

        labels, pieces, gone = (tuple(map(change, plain[name])) for name in ("labels", "pieces", "gone"))
        matrix = tuple(tuple(map(float, row)) for row in plain["current_to_prior_lps"])
        quality = float(plain["residual_mm"]), float(plain["overlap"])
        return cls(change(plain["total"]), labels, pieces, gone, *quality, matrix)

    @property
    def text(self) -> str:
        """One sentence for people."""
        total, share = self.total, self.total.change_share
        relative = "" if share is None else f", {share:+.0%}"
        growth = f"{'' if total.is_growth else 'no '}growth by more than a third or 6 mL"
        change = f"{total.change_ml:+.1f} mL{relative}"
        return f"{total.prior_ml:.1f} mL then, {total.current_ml:.1f} mL now ({change}): {growth}."


def follow_up(current: OutlinedExam, prior: OutlinedExam) -> tuple[FollowUp, Labelmap]:
    """Compare two exams of a patient.

    Returns:
        The comparison, and uint8 (slices, rows, columns): the prior labelmap on the current grid, by the prior labels.

    Raises:
        RegistrationError: The skulls do not fit; see `register`.
    """
    transform = register(current.volume, prior.volume)
    then = on_current_grid(prior, transform, current.volume.geometry)
    before, now = prior.label_ml(), current.label_ml()
    labels = tuple(Change(key, before.get(key, 0.0), now.get(key, 0.0)) for key in dict.fromkeys((*now, *before)))
    pieces, gone = _pieces(current, prior, transform)
    matrix = transform.to_json()["current_to_prior_lps"]
    result = FollowUp(
        Change("total", sum(before.values()), sum(now.values())),
        labels,
        pieces,
        gone,
        transform.residual_mm,
        transform.overlap,
        tuple(tuple(row) for row in matrix),
    )
    return result, then


def on_current_grid(prior: OutlinedExam, transform: RigidTransform, geometry: VolumeGeometry) -> Labelmap:
    """The prior labelmap at the voxels of the current exam, nearest in the slice and between slices.

    Args:
        prior: The prior exam.
        transform: From the current exam to it.
        geometry: Of the current exam.

    Returns:
        uint8 `geometry.shape`.
    """
    out = np.zeros(geometry.shape, dtype=np.uint8)
    index = np.argwhere(prior.labelmap > 0)
    if not len(index):
        return out
    corners = np.array([index.min(axis=0) - 0.5, index.max(axis=0) + 0.5])
    ends = np.stack(np.meshgrid(*corners.T, indexing="ij"), axis=-1).reshape(-1, 3)
    there = geometry.lps_to_ijk(transform.to_current(prior.volume.geometry.ijk_to_lps(ends[:, ::-1])))[:, ::-1]
    # One voxel more: between slices of unequal distances the box is no box.
    low = np.clip(np.floor(there.min(axis=0)).astype(int) - 1, 0, geometry.shape)
    high = np.clip(np.ceil(there.max(axis=0)).astype(int) + 2, 0, geometry.shape)
    rows, columns = (np.arange(low[axis], high[axis]) for axis in (1, 2))
    shape = np.array(prior.labelmap.shape)
    for k in range(low[0], high[0]):
        grid = np.stack(np.broadcast_arrays(columns[None, :], rows[:, None], k), axis=-1)
        at = prior.volume.geometry.lps_to_ijk(transform.to_prior(geometry.ijk_to_lps(grid)))[..., ::-1]
        nearest = np.floor(at + 0.5).astype(int)
        inside = np.logical_and(nearest >= 0, nearest < shape).all(axis=-1)
        values = prior.labelmap[tuple(np.where(np.expand_dims(inside, -1), nearest, 0).T)].T
        out[k, low[1] : high[1], low[2] : high[2]] = np.where(inside, values, 0)
    return out


def _pieces(
    current: OutlinedExam, prior: OutlinedExam, transform: RigidTransform
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """Each piece now with the prior blood whose nearest blood of now it is, where they meet; and what is gone."""
    now, then = _listed(current), _listed(prior)
    if not now:
        return (), tuple(Change(key, volume, 0.0) for key, volume, _ in then)
    numbers = np.zeros(current.labelmap.shape, dtype=np.int32)
    for n, (_, _, where) in enumerate(now, start=1):
        numbers[where] = n
    before, gone = np.zeros(len(now) + 1), []
    shape: NDArray[np.intp] = np.array(numbers.shape)
    for key, volume, where in then:
        points = prior.volume.geometry.ijk_to_lps(np.stack(where, axis=1)[:, ::-1])
        index = np.floor(current.volume.geometry.lps_to_ijk(transform.to_current(points)) + 0.5).astype(int)[:, ::-1]
        inside = np.logical_and(index >= 0, index < shape).all(axis=1)
        met = np.bincount(numbers[tuple(index[inside].T)], minlength=len(now) + 1)
        met[0] = 0
        if met.any():
            before[int(met.argmax())] += volume
        else:
            gone.append(Change(key, volume, 0.0))
    pieces = tuple(Change(key, float(before[n]), volume) for n, (key, volume, _) in enumerate(now, start=1))
    return pieces, tuple(gone)


def _listed(exam: OutlinedExam) -> list[tuple[str, float, tuple[NDArray[np.intp], ...]]]:
    """(label, mL, voxels) of each piece of blood of a label, the largest first."""
    listed = []
    for value, label in enumerate(exam.labels, start=1):
        if not label.is_blood:
            continue
        parts, count = ndimage.label(exam.labelmap == value, CONNECTIVITY_26)
        volumes = component_volumes(parts, count, exam.volume.geometry.voxel_volumes_mm3 / 1000)
        for n, box in enumerate(ndimage.find_objects(parts), start=1):
            if volumes[n - 1] >= MIN_PIECE_ML:
                where = np.nonzero(parts[box] == n)
                voxels = tuple(axis + part.start for axis, part in zip(where, box, strict=True))
                listed.append((label.key, float(volumes[n - 1]), voxels))
    return sorted(listed, key=lambda entry: -entry[1])
