"""A recipe: everything that decides a training, as frozen data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.datasets.layouts import labeled_layout
from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.config import build
from ICHSegmenterLib.preprocessing.spec import Preprocessing

ALL_PARAMETERS = "all"


@dataclass(frozen=True)
class NetworkRecipe:
    """The network to train.

    Attributes:
        name, config: For `models.create_model`.
        initial_weights: A weight file to start from, or timm:NAME for one that timm downloads; tensors that do not fit,
            such as another head, are left out.
        initial_parts: Beginnings of the names that are taken from it; all if none is given.
    """

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    initial_weights: str | None = None
    initial_parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataRecipe:
    """Selection and order of the slices.

    Attributes:
        layout: How the data set is distributed: a name of `datasets.layouts.LAYOUTS` whose labels are known.
        split_by: What is never in two parts of the split. Authors' quirks: "series" or "slice", which let one patient
            be both learned from and validated on, so that results look better than they are.
        folds, fold: Cross-validation, and which fold is held out for testing; 0 folds hold none out.
        folds_file: patient,fold as CSV or JSON, the authors' or one's own, in place of drawn folds; `fold` counts the
            names in their order, numbers by their value. With split_by "slice" the folds still are of patients, and
            only the validation part is of slices.
        given_split: Take the parts that the data set comes with, as SMART-Net's, in place of drawn ones.
        validation_share: Share of the remaining patients.
        sampler: "shuffle"; "balanced-with-replacement": as many draws as slices, inversely to class frequency;
            "balanced-without-replacement": twice as many slices as there are positive ones.
        batch_size: Slices (or series) of one step over all devices, so that results do not depend on their number.
        evaluation_batch_size: Slices of one validation step on each device.
        workers: Loading processes for each device, as far as there are cores.
        kept_inputs_gb: Slices and series as the network sees them, before random changes, are kept beside the shards
            for the time of a training, at most so much of each part for each device; 0 computes them at every epoch.
        header_window: Authors' quirk: the first window is the DICOM header's own where it has one.
    """

    layout: str
    split_by: Literal["patient", "series", "slice"] = "patient"
    folds: int = 0
    fold: int = 0
    folds_file: str = ""
    given_split: bool = False
    validation_share: float = 0.1
    sampler: Literal["shuffle", "balanced-with-replacement", "balanced-without-replacement"] = "shuffle"
    batch_size: int = 12
    evaluation_batch_size: int = 12
    workers: int = 4
    kept_inputs_gb: float = 8.0
    header_window: bool = False

    def __post_init__(self) -> None:
        try:
            labeled_layout(self.layout)
        except ValueError as error:
            raise RecipeError(f"data.layout: {error}") from error


@dataclass(frozen=True)
class AugmentationRecipe:
    """Chances and strengths. Every draw depends on the seed and the place in the epoch only.

    Attributes:
        flip, affine, noise: Probabilities of a horizontal flip, of rotation and scaling, and of Gaussian noise.
        rotation_deg, scale: Drawn evenly from minus to plus this; scale 0.1 is 0.9 to 1.1.
        noise_sd: Largest standard deviation, on the scale of the network's input (0 to 1).
        least_noise_sd: Smallest one.
        noise_even_in: Between the two, drawn evenly in the standard deviation ("sd") or in its square ("variance").
        blur: Probability of a Gaussian, motion or median blur over 3 pixels.
        vertical_flip: Probability.
        half_turn: Probability of both flips together.
        shift: Largest shift of the affine change, as a share of a side.
        intensity, brightness, contrast: Probability and largest strengths of a change of gray levels.
        gray_change: "both" brightness and contrast each time, or "one-or-both": both, brightness alone or contrast
            alone, as likely as each other.
        border: What the affine change brings in from outside: "zero", or "reflect", the mirror image.
        resampling: Interpolation of images by the affine change; masks take the nearest.
        beam_hardening, beam_hardening_hu: Probability, and the largest number of HU added to soft tissue near bone.
        crop_scale: (least, most) area of a random crop, then resized to the full side; (1, 1) for none.
        crop_rule: Of series: "even", a crop of the same shape; or, the sequence transformer's, "aspect": up to ten
            tries of an area of `crop_scale` (1.2 can never fit) and a ratio of sides from 3:4 to 4:3, resized bicubic.
        per_slice: Authors' quirk: the slices of one series draw separately.
    """

    flip: float = 0.5
    vertical_flip: float = 0.0
    affine: float = 0.5
    rotation_deg: float = 45.0
    scale: float = 0.1
    noise: float = 0.5
    noise_sd: float = 0.1
    least_noise_sd: float = 0.0
    noise_even_in: Literal["sd", "variance"] = "sd"
    blur: float = 0.0
    half_turn: float = 0.0
    shift: float = 0.0
    intensity: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gray_change: Literal["both", "one-or-both"] = "both"
    border: Literal["zero", "reflect"] = "zero"
    resampling: Literal["bilinear", "bicubic"] = "bilinear"
    beam_hardening: float = 0.0
    beam_hardening_hu: float = 15.0
    crop_scale: tuple[float, float] = (1.0, 1.0)
    crop_rule: Literal["even", "aspect"] = "even"
    per_slice: bool = False


@dataclass(frozen=True)
class LossRecipe:
    """Loss by name, with the weights of its terms.

    Attributes:
        name: "dice-cross-entropy", "cross-entropy", "focal", "sequence-log" or "smart-net".
        dice_of: One Dice for each of the "classes", or one of all "blood" together, so that only the cross-entropy
            tells subtypes apart.
        blood_weight: In the cross-entropy, where background has 1: one for all classes of blood, or one for each.
        gamma: Exponent of the focal loss.
        dice_over: One Dice for each "slice", or one for all of the "batch": most slices lack most subtypes.
        cell_weight: Weight of a Swin classifier's loss over the cells of a slice that bleed, by masks; 0 for none.
        consistency_weight: Weight of SMART-Net's agreement of classification and outline; it needs 256 x 256 pixels.
        softmax_before_cross_entropy: Authors' quirk: probabilities where cross-entropy expects logits.
    """

    name: Literal["dice-cross-entropy", "cross-entropy", "focal", "sequence-log", "smart-net"]
    dice_weight: float = 0.5
    cross_entropy_weight: float = 0.5
    dice_over: Literal["slice", "batch"] = "slice"
    dice_of: Literal["classes", "blood"] = "classes"
    blood_weight: tuple[float, ...] = (1.0,)
    gamma: float = 2.0
    cell_weight: float = 0.0
    consistency_weight: float = 0.5
    softmax_before_cross_entropy: bool = False


@dataclass(frozen=True)
class OptimizerRecipe:
    """Optimizer and schedule.

    Attributes:
        name: "adamw", "adam" or "sgd" (Nesterov).
        schedule: "constant"; "warmup-cosine" over `schedule_steps` with `warmup_steps` of linear rise;
            "smart-net-linear" over the epochs of all phases, never below `min_factor` of the peak; or
            "smart-net-cosine" with a new start every 100 epochs, from a peak of its own down to `learning_rate`.
        schedule_lags: Authors' quirk: SMART-Net's schedules one epoch late.
        accumulate: Batches summed for one step.
        clip_norm: Gradients are shortened to this norm; 0 for never.
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: Literal["constant", "warmup-cosine", "smart-net-linear", "smart-net-cosine"] = "constant"
    schedule_lags: bool = False
    min_factor: float = 0.0
    warmup_steps: int = 0
    schedule_steps: int = 0
    accumulate: int = 1
    clip_norm: float = 0.0


@dataclass(frozen=True)
class PhaseRecipe:
    """One part of a training.

    Attributes:
        trains: "all", or the beginnings of the parameter names that learn; the rest is frozen, statistics included.
        learning_rate: Peak.
        max_epochs, max_steps: Whichever comes first; 0 steps are no limit.
        patience: Epochs without lower validation loss before it stops; 0 for never.
        starts_from: The "best" or the "last" weights of the phase before.
        keeps_optimizer: The moments of the phase before go on; what starts to learn only now has none yet.
        update_frozen_batchnorm: Authors' quirk: batch norms of frozen layers still follow the batches.
    """

    learning_rate: float
    trains: str | tuple[str, ...] = ALL_PARAMETERS
    max_epochs: int = 100
    max_steps: int = 0
    patience: int = 3
    starts_from: Literal["best", "last"] = "best"
    keeps_optimizer: bool = False
    update_frozen_batchnorm: bool = False


@dataclass(frozen=True)
class Recipe:
    """A whole training.

    Attributes:
        name: Name of the recipe and of the weight file.
        summary: One sentence.
        title, license: Of the weights, in lists and results; without them the recipe's name, and a license unknown.
        method: Whose model card is filled.
        task: What is learned, see `fit.TASKS`.
        preprocessing: Differences from the method's card.
        seed: Seed of weights, splits, order and augmentation.
        precision: "auto" is bfloat16-mixed on a GPU, float32 on a CPU.
        checkpoint_every_steps: Steps between two writings of `last.ckpt`.
        keeps: The weight file holds the "best" weights, by validation loss, or the "last".
        saved_as: Numbers of the weight file; "float16" halves it.
    """

    name: str
    method: str
    task: Literal["segmentation", "classification", "series", "smart-net-slices", "smart-net-volumes"]
    network: NetworkRecipe
    data: DataRecipe
    loss: LossRecipe
    phases: tuple[PhaseRecipe, ...]
    summary: str = ""
    title: str = ""
    license: str = ""
    preprocessing: dict[str, Any] = field(default_factory=dict)
    augmentation: AugmentationRecipe = AugmentationRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    seed: int = 0
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    checkpoint_every_steps: int = 500
    keeps: Literal["best", "last"] = "best"
    saved_as: Literal["float32", "float16"] = "float32"

    def __post_init__(self) -> None:
        if not self.phases:
            raise RecipeError(f"recipe {self.name}: it has no phases, so nothing would be trained.")
        if self.data.folds and not self.data.folds_file and not 0 <= self.data.fold < self.data.folds:
            raise RecipeError(
                f"recipe {self.name}: data.fold is {self.data.fold}, it must be 0 to {self.data.folds - 1}."
            )
        if self.data.split_by == "slice" and self.task not in ("segmentation", "classification"):
            raise RecipeError(
                f"recipe {self.name}: it learns from whole series, which data.split_by=slice would take apart; "
                "set data.split_by patient."
            )

    def preprocessing_spec(self) -> Preprocessing:
        """Preprocessing of the card, with this recipe's differences."""
        base = get_card(self.method).preprocessing
        values = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
        return build(type(base), {**values, **self.preprocessing}, "preprocessing")
