"""Differences from the authors' code, table by table, and which of them `--as-authors` switches off."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deviation:
    """One difference.

    Attributes:
        topic: What it is about.
        authors: What their code does.
        ours: What is done here.
        switched: `--as-authors` does it their way.
        of_training: There is none where weights are given.
    """

    topic: str
    authors: str
    ours: str
    switched: bool = False
    of_training: bool = False


MASK_RULE = Deviation(
    "resizing of masks",
    "the pixel at the upper left corner (torch's nearest)",
    "the pixel with the nearest center; of a round bleed of 2 028 pixels 83 differ, Dice 0.979",
    switched=True,
)
PRECISION = Deviation("numbers", "float32", "bfloat16 where the processor has it", switched=True)
BRAIN = Deviation(
    "brain masks", "the folder brainmask_ero, made by an unpublished step", "found from HU", switched=True
)
TIES = Deviation("constant maps", "divide by zero", "are zero, so that such a slice has Dice 0 in place of none")
STARTING_WEIGHTS = "starting weights"
RANDOM = "random; network.initial_weights names a file to start from"
STARTING = Deviation(STARTING_WEIGHTS, "the Swin-SAM binary network", RANDOM, of_training=True)
FOLDS = Deviation(
    "folds", "five, in fold files of their repository", "drawn by patient from the seed; --folds names theirs"
)
THRESHOLDS = Deviation(
    "search of the threshold",
    "0.03 to 0.14 in steps of 0.01, up to the first that is no better",
    "the best of 0.01 to 0.99 in steps of 0.01",
    switched=True,
)
CHOICE = Deviation(
    "slices that are scored",
    "those with blood by label, whose mask is not empty",
    "those whose mask is not empty",
    switched=True,
)
OUTSIDE = Deviation("outlines outside the brain mask", "are kept", "are taken away", switched=True)
VALIDATION = Deviation(
    "validation part",
    "a tenth of the slices outside the fold, so that patients leak",
    "a tenth of the patients",
    switched=True,
    of_training=True,
)
HELD_OUT = Deviation(
    "held-out part of RSNA",
    "10 % of the images, so that patients leak",
    "10 % of the patients",
    switched=True,
    of_training=True,
)
WINDOWS = Deviation(
    "windows in training",
    "RSNA's, the first one from the DICOM header",
    "those of inference",
    switched=True,
    of_training=True,
)
SEMI = Deviation(
    "semi-supervised step",
    "named in the paper, absent from the code",
    "not done; train has --pseudo-labels",
    of_training=True,
)

DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    "hgi-sam": (
        MASK_RULE,
        PRECISION,
        BRAIN,
        TIES,
        STARTING,
        FOLDS,
        HELD_OUT,
        WINDOWS,
        Deviation("softmax before cross-entropy", "yes", "no", switched=True, of_training=True),
        THRESHOLDS,
        CHOICE,
    ),
    "swin-sam": (
        MASK_RULE,
        PRECISION,
        BRAIN,
        TIES,
        Deviation(STARTING_WEIGHTS, "ImageNet-22k", RANDOM, of_training=True),
        FOLDS,
        HELD_OUT,
        WINDOWS,
        THRESHOLDS,
        CHOICE,
        Deviation(
            "learning rate",
            "1e-4 with Adam and batches of 16 in one script of 2022",
            "as HGI-SAM: 1e-5, AdamW",
            of_training=True,
        ),
    ),
    "unet": (MASK_RULE, PRECISION, OUTSIDE, FOLDS, CHOICE, VALIDATION),
    "swin-unetr": (MASK_RULE, PRECISION, OUTSIDE, FOLDS, CHOICE, VALIDATION),
    "rsna-sequence": (
        PRECISION,
        SEMI,
        Deviation("test set", "the hidden labels of the competition", "the held-out tenth of the training images"),
        Deviation(
            STARTING_WEIGHTS, "not published; their command goes on from the final ones", RANDOM, of_training=True
        ),
        Deviation("split", "by series (scikit-learn, seed 42), so that patients leak", "by patient", switched=True),
        Deviation(
            "augmentation", "each slice of a series draws its own", "one draw a series", switched=True, of_training=True
        ),
        Deviation(
            "random crop",
            "area 0.8 to 1.2, ratio 3:4 to 4:3, bicubic",
            "area 0.8 to 1.0, same shape",
            switched=True,
            of_training=True,
        ),
        Deviation("order of slices", "by x, then y, then z", "by z", switched=True),
    ),
    "smart-net": (
        MASK_RULE,
        Deviation(
            "numbers in training",
            "float32",
            "bfloat16 on a graphics card that has it; the tests are in float32",
            switched=True,
            of_training=True,
        ),
        Deviation(
            "schedule",
            "one epoch late: the first two epochs learn nothing",
            "in time",
            switched=True,
            of_training=True,
        ),
        Deviation(
            "frozen encoder",
            "its batch norms follow the batches",
            "its batch norms stay",
            switched=True,
            of_training=True,
        ),
        Deviation(
            "batch norms of the last two networks",
            "see one slice of each exam at a time",
            "see all slices of a batch",
            switched=True,
            of_training=True,
        ),
        Deviation("slice-wise test and validation", "another slice at every run", "the same slice, by the seed"),
        Deviation("connected pieces below 3 voxels", "depend on the version of scikit-image", "removed, 3 are kept"),
        Deviation("pairs of image and mask", "by their order", "by their names"),
    ),
}
"""Table to its differences."""


def remaining(table: str, *, as_authors: bool, has_trained: bool = True) -> list[Deviation]:
    """The differences that stand; without a training those of a training do not."""
    return [
        each
        for each in DEVIATIONS[table]
        if not (as_authors and each.switched) and (has_trained or not each.of_training)
    ]
