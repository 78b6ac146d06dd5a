"""The recipe of the exams, read from `exams.toml`: which exams there are and which numbers judge them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import tomllib

RECIPE_FILE = Path(__file__).parent / "exams.toml"
KINDS = ("synthetic", "inserted", "scan", "phantom", "same-bleed")


@dataclass(frozen=True)
class ExamPlan:
    """Everything that decides one exam.

    Attributes:
        name: Of its own, also the name of its file.
        group: Name of its group.
        sets: Sets it belongs to.
        kind: One of `KINDS`.
        facts: What the kind needs: style, seed, scan, subtype, ...; plain data.
    """

    name: str
    group: str
    sets: tuple[str, ...]
    kind: str
    facts: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Of the facts, so that a kept exam of another recipe is noticed."""
        return hashlib.sha256(json.dumps([self.kind, dict(self.facts)], sort_keys=True).encode()).hexdigest()[:16]

    @property
    def scan(self) -> str:
        """Folder of the real scan it is made from, empty without one."""
        return str(self.facts.get("scan", ""))


@dataclass(frozen=True)
class Definitions:
    """Limits that the figures use; `exams.toml` explains each."""

    sensitivity_from_ml: float
    specificity: float
    lesion_dice_from_ml: float
    found_from_ml: float
    found_share: float
    drawn_ml: float
    calibration_bins: int
    same_volume: float


@dataclass(frozen=True)
class Recipe:
    """The exams, and what a training keeps away from.

    Attributes:
        exams: In the order of the file.
        definitions: Limits.
        seeds: `training_below`, `calibration_from`, `exams_from`.
        training: Style, parts that are left out, and scans that are only judged.
    """

    exams: tuple[ExamPlan, ...]
    definitions: Definitions
    seeds: Mapping[str, int]
    training: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path = RECIPE_FILE) -> Recipe:
        """Read and check.

        Raises:
            ValueError: A made-up exam has a seed of a training or a calibration, or two exams share a name.
        """
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        exams = tuple(exam for group in data["groups"] for exam in _exams(group))
        names = [exam.name for exam in exams]
        if len(set(names)) < len(names):
            raise ValueError(f"{path.name}: two groups make exams of the same names; give each group a name of its own")
        seeds = data["seeds"]
        for exam in exams:
            seed = exam.facts.get("seed", seeds["exams_from"])
            if exam.kind in ("synthetic", "same-bleed") and seed < seeds["exams_from"]:
                raise ValueError(
                    f"{path.name}: {exam.name} has seed {seed}; below {seeds['exams_from']} lie those of trainings and "
                    "calibrations"
                )
        return cls(exams, Definitions(**data["definitions"]), seeds, data["training"])

    def of_sets(
        self, sets: Iterable[str] = (), share: float = 1.0, among: Collection[str] | None = None
    ) -> tuple[ExamPlan, ...]:
        """Exams of these sets, of all without any; with a share below 1 evenly spaced ones of each group.

        A group that puts each subtype into a scan gives as large a share of each subtype.

        Args:
            sets: Names.
            share: Of the exams of each group and subtype, above 0 and up to 1; at least one is taken.
            among: Names of exams to choose from; None for all.
        """
        names = set(sets) or self.sets
        if unknown := names - self.sets:
            raise ValueError(f"no set {', '.join(sorted(unknown))}; the recipe has {', '.join(sorted(self.sets))}")
        groups: dict[tuple[str, str], list[ExamPlan]] = {}
        for exam in self.exams:
            if names & set(exam.sets) and (among is None or exam.name in among):
                groups.setdefault((exam.group, exam.facts.get("subtype", "")), []).append(exam)
        return tuple(exam for group in groups.values() for exam in _evenly(group, share))

    def of_group(self, name: str) -> tuple[ExamPlan, ...]:
        """All exams of a group."""
        return tuple(exam for exam in self.exams if exam.group == name)

    @property
    def sets(self) -> set[str]:
        """Names of all sets."""
        return {name for exam in self.exams for name in exam.sets}


def _exams(group: Mapping[str, Any]) -> Iterator[ExamPlan]:
    """The exams of one group."""
    kind, name = group["kind"], group["name"]
    if kind not in KINDS:
        raise ValueError(f"group {name} has kind {kind!r}; the kinds are {', '.join(KINDS)}")
    exam = partial(ExamPlan, group=name, sets=tuple(group["sets"]), kind=kind)
    own = ("name", "sets", "kind", "first_seed", "count", "subtypes", "slice_mm", "tilt_deg", "kernels")
    shared = {key: value for key, value in group.items() if key not in own}
    if kind in ("scan", "phantom"):
        yield exam(name, facts=shared)
    elif kind == "same-bleed":
        for slice_mm, kernel, tilt in product(group["slice_mm"], group["kernels"], group["tilt_deg"]):
            facts = shared | {"slice_mm": slice_mm, "tilt_deg": tilt, "kernel": kernel}
            yield exam(f"{name}-{slice_mm:g}mm-{kernel['name']}-{'tilted' if tilt else 'straight'}", facts=facts)
    else:
        seeds = range(group["first_seed"], group["first_seed"] + group["count"])
        for seed, subtype in product(seeds, group.get("subtypes", ("",))):
            facts = shared | {"seed": seed} | ({"subtype": subtype} if subtype else {})
            yield exam("-".join(filter(None, (name, subtype, str(seed)))), facts=facts)


def _evenly(exams: Sequence[ExamPlan], share: float) -> list[ExamPlan]:
    """So many of the exams, as far apart as they can be; at least one."""
    if not 0 < share <= 1:
        raise ValueError(f"a share lies above 0 and up to 1, got {share}")
    count = max(1, math.floor(share * len(exams) + 0.5))
    return [exams[(2 * number + 1) * len(exams) // (2 * count)] for number in range(count)]
