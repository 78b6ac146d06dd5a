"""Rows: what a method made of an exam, beside the truth; one JSON file each, so that a run can be continued."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import ICHSegmenterLib
from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.json.writer import card_facts
from ICHSegmenterLib.evaluation.segmentation_metrics import score_outline
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.synthesis.pathology.lesions import SUBTYPES
from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests
from Testing.accuracy.known_exam import KnownExam
from Testing.accuracy.recipe import ExamPlan
from Testing.accuracy.verdicts import Verdict, exam_value, is_contrast_warned, verdict_of

Mask = NDArray[np.bool_]
LIBRARY = Path(ICHSegmenterLib.__file__).parent
DECIDING_CODE = ("analysis", "methods", "preprocessing")
WORDS = ("title", "summary", "license", "paper", "doi", "limits", "trust", "release")
"""What a card says of a method, and what decides no answer: figures of a page stand there after the page was made."""


@dataclass(frozen=True)
class TrueLesion:
    """A connected piece of true blood: its main subtype, mL, outlined share of it, and its Dice."""

    subtype: str
    volume_ml: float
    share: float
    dice: float


@dataclass(frozen=True)
class Row:
    """One method on one exam.

    Attributes:
        exam, group, sets, scan: Of the plan.
        method: Name.
        weights: File name to SHA-256.
        facts: Of the exam: true mL of each subtype, parts, slice distance, tilt, noise.
        value: Of the exam, in [0, 1]; value_name: "probability" or "score".
        verdict: Of the exam.
        is_contrast_warned: Whether contrast medium was warned of.
        drawn_ml: All blood that is drawn; segments: in so many segments.
        dice: Of all blood together; None without true and outlined blood, or without an outline.
        false_ml: Outlined pieces that touch no blood.
        lesions: True pieces; empty for a method that outlines nothing.
        shares: Subtype to outlined share of all its true blood, where there is any.
        seconds: Of the analysis.
        has_outline: False for a method that detects only.
    """

    exam: str
    group: str
    sets: tuple[str, ...]
    scan: str
    method: str
    weights: Mapping[str, str]
    facts: Mapping[str, Any]
    value: float
    value_name: str
    verdict: Verdict
    is_contrast_warned: bool
    drawn_ml: float = 0.0
    segments: int = 0
    dice: float | None = None
    false_ml: float = 0.0
    lesions: tuple[TrueLesion, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    has_outline: bool = True

    @property
    def blood_ml(self) -> float:
        """True blood of all subtypes."""
        return float(sum(self.facts["blood_ml"].values()))

    @property
    def bleeds(self) -> bool:
        """True if there is blood."""
        return self.blood_ml > 0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        """The row that was written."""
        lesions = tuple(TrueLesion(**lesion) for lesion in data["lesions"])
        changed = {"lesions": lesions, "sets": tuple(data["sets"]), "verdict": Verdict(data["verdict"])}
        return cls(**{**data, **changed})


class RowFolder:
    """Rows of methods on exams in a folder, and the outlines that the pictures need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, judge: Judge, plan: ExamPlan) -> Row | None:
        """The row of a method on an exam, None if there is none or exam, weights, card or code have changed."""
        path = self._path(judge.method, plan.name)
        if not path.is_file():
            return None
        data = json.loads(path.read_text(encoding="utf-8"))
        return Row.from_json(data["row"]) if data.get("made_from") == [plan.digest, judge.digest] else None

    def write(self, row: Row, judge: Judge, plan: ExamPlan, outline: Mask | None) -> None:
        """Keep a row and its outline."""
        path = self._path(row.method, plan.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if outline is not None:
            with path.with_suffix(".npz").open("wb") as file:
                np.savez_compressed(file, bits=np.packbits(outline), shape=outline.shape)
        with replacing(path) as draft:
            kept = {"made_from": [plan.digest, judge.digest], "row": asdict(row)}
            draft.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

    def outline(self, row: Row) -> Mask | None:
        """bool (slices, rows, columns), None without one."""
        path = self._path(row.method, row.exam).with_suffix(".npz")
        if not path.is_file():
            return None
        with np.load(path) as arrays:
            shape = tuple(arrays["shape"])
            return np.unpackbits(arrays["bits"], count=int(np.prod(shape))).astype(bool).reshape(shape)

    def _path(self, method: str, exam: str) -> Path:
        return self.folder / method / f"{exam}.json"


class Judge:
    """A method with its weights, kept warm from exam to exam."""

    def __init__(self, method: str, weights: Sequence[Path] = ()) -> None:
        self.request = AnalysisRequest(method, weights=tuple(weights))
        self.weights = dict(named_digests(store.find(self.request.card, self.request.weights)))
        self._session = Session()

    @property
    def method(self) -> str:
        """Its name."""
        return self.request.method

    @cached_property
    def digest(self) -> str:
        """Of everything that decides its answers: card with calibration, weights, and the code that it runs through."""
        facts = {name: fact for name, fact in card_facts(self.request.card).items() if name not in WORDS}
        whole = hashlib.sha256(json.dumps([facts, self.weights], sort_keys=True).encode())
        for folder in DECIDING_CODE:
            for path in sorted((LIBRARY / folder).rglob("*.py")):
                whole.update(path.read_bytes())
        return whole.hexdigest()[:16]

    def row(self, plan: ExamPlan, exam: KnownExam) -> tuple[Row, Mask | None]:
        """What the method makes of an exam, and its outline."""
        start = time.perf_counter()
        result = analyze(exam.volume, self.request, session=self._session)
        seconds = time.perf_counter() - start
        value, value_name = exam_value(result)
        row: dict[str, Any] = {
            "exam": plan.name,
            "group": plan.group,
            "sets": plan.sets,
            "scan": plan.scan,
            "method": self.method,
            "weights": self.weights,
            "facts": exam.facts,
            "value": value,
            "value_name": value_name,
            "verdict": verdict_of(result),
            "is_contrast_warned": is_contrast_warned(result),
            "seconds": seconds,
        }
        if result.segmentation is None:
            return Row(**row, has_outline=False), None
        outline = result.segmentation.blood_mask
        segments = sum(item.is_blood for item in result.measurements)
        return Row(**row, **_scores(outline, exam), drawn_ml=result.blood_ml, segments=segments), outline


def _scores(outline: Mask, exam: KnownExam) -> dict[str, Any]:
    """Of an outline against the truth."""
    truth, geometry = exam.labelmap > 0, exam.volume.geometry
    scores = score_outline(outline, truth, geometry)
    pieces, _ = ndimage.label(truth, structure=CONNECTIVITY_26)  # numbered as those of the scores
    voxels = geometry.voxel_volumes_mm3
    lesions = [
        TrueLesion(
            _main_subtype(exam.labelmap[box][pieces[box] == number]), item.volume_ml, item.outlined_share, item.dice
        )
        for number, (box, item) in enumerate(zip(ndimage.find_objects(pieces), scores.lesions, strict=True), start=1)
    ]
    shares = {}
    for value, name in enumerate(SUBTYPES, start=1):
        blood = exam.labelmap == value
        if blood.any():
            shares[name] = float(((blood & outline).sum(axis=(1, 2)) @ voxels) / (blood.sum(axis=(1, 2)) @ voxels))
    return {"dice": scores.dice, "false_ml": scores.false_ml, "lesions": tuple(lesions), "shares": shares}


def _main_subtype(values: Iterable[int]) -> str:
    return SUBTYPES[int(np.bincount(np.asarray(values), minlength=len(SUBTYPES) + 1)[1:].argmax())]
