"""Figures of the papers and where they stand; what could not be read is None and says so."""

from __future__ import annotations

from dataclasses import dataclass

MELBA = "MELBA 2023:012, abstract (arXiv 2304.04902 v2)"
MLCN = "MLCN 2022, abstract (10.1007/978-3-031-17899-3_7)"
SHANG = "arXiv 2205.07556, README of the authors' code"
SHANG_FILE = "names of files in the authors' code"
KYUNG = "Med Image Anal 2022 (S1361841522001360), graphical abstract, Internal 1"
UNREAD = "the paper's full table could not be read"


@dataclass(frozen=True)
class PublishedFigure:
    """One figure of a paper.

    Attributes:
        key: Name of ours that stands beside it.
        title: For people.
        value, sd: As printed; None where it could not be read.
        source: Where it stands, or why it is missing.
    """

    key: str
    title: str
    value: float | None
    source: str
    sd: float | None = None


def _slice_figures(dice: PublishedFigure, auc: float | None, source: str) -> tuple[PublishedFigure, ...]:
    """The figures of HGI-SAM's protocol."""
    return (
        dice,
        PublishedFigure("iou", "IoU of bleeding slices", None, UNREAD),
        PublishedFigure("auc", "AUC of slices", auc, source if auc else UNREAD),
        PublishedFigure("hard_label_auc", "AUC of slices, of decisions", None, UNREAD),
        *(
            PublishedFigure(key, f"{title} of slices", None, UNREAD)
            for key, title in (
                ("accuracy", "Accuracy"),
                ("precision", "Precision"),
                ("sensitivity", "Recall"),
                ("f1", "F1"),
                ("specificity", "Specificity"),
            )
        ),
    )


_DICE = "Dice of bleeding slices"
_SIMILAR = f"{MELBA}: similar to HGI-SAM's 0.44; the figure itself could not be read"

FIGURES: dict[str, tuple[PublishedFigure, ...]] = {
    "hgi-sam": _slice_figures(PublishedFigure("dice", _DICE, 0.44, MELBA), None, ""),
    "swin-sam": _slice_figures(PublishedFigure("dice", _DICE, 0.407, MLCN, sd=0.225), 0.974, MLCN),
    "unet": _slice_figures(PublishedFigure("dice", _DICE, None, _SIMILAR), None, ""),
    "swin-unetr": _slice_figures(PublishedFigure("dice", _DICE, None, _SIMILAR), None, ""),
    "rsna-sequence": (
        PublishedFigure("log_loss", "Weighted log loss, one network", 0.04368, f"{SHANG}; leaderboard, not held-out"),
        PublishedFigure("ensemble", "Weighted log loss, three networks", 0.04345, f"{SHANG_FILE}; leaderboard"),
    ),
    "smart-net": (
        PublishedFigure("cls.auc", "AUC of exams", 0.988, KYUNG),
        PublishedFigure("cls.f1", "F1 of exams", 0.933, KYUNG),
        PublishedFigure("cls.sensitivity", "Sensitivity of exams", 0.966, KYUNG),
        PublishedFigure("cls.specificity", "Specificity of exams", 0.970, KYUNG),
        PublishedFigure("cls.accuracy", "Accuracy of exams", None, UNREAD),
        PublishedFigure("seg.dice", "Dice of exams, 256 pixels", 0.642, KYUNG),
        PublishedFigure("seg.false_positive_voxels_an_exam", "False positive voxels an exam", 4.9, f"{KYUNG}; no unit"),
        PublishedFigure("up.slice-wise.auc", "AUC of one slice an exam", None, UNREAD),
        PublishedFigure("up.slice-wise.dice", "Dice of one slice an exam", None, UNREAD),
        PublishedFigure("up.stacked.auc", "AUC of all slices", None, UNREAD),
        PublishedFigure("up.stacked.dice", "Dice of stacked slices", None, UNREAD),
        PublishedFigure("up.slice-wise.error", "Error of the reconstruction", None, UNREAD),
    ),
}
"""Table to its row."""
