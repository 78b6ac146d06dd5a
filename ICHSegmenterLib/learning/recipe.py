"""A recipe: everything that decides a training, as one YAML file read into frozen data. Unknown keys are errors."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.preprocessing.spec import Preprocessing, Window

METHODS_FOLDER = Path(__file__).parents[1] / "methods"
"""Each method's room holds its recipes."""
ALL_PARAMETERS = "all"
RENAMED_KEYS = {
    "bone_glow": "beam_hardening",
    "bone_glow_hu": "beam_hardening_hu",
    "each_slice_alone": "per_slice",
    "frozen_norms_drift": "update_frozen_batchnorm",
}
"""Keys of recipes that runs of version 0.1 saved, and what they are called now."""

Config = TypeVar("Config")


@dataclass(frozen=True)
class NetworkRecipe:
    """The network to train.

    Attributes:
        name, config: For `models.create_model`.
        initial_weights: A weight file to start from; tensors that do not fit, such as another head, are left out.
        initial_parts: Beginnings of the names that are taken from it; all if none is given.
    """

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    initial_weights: str | None = None
    initial_parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataRecipe:
    """Which slices are seen, and how often.

    Attributes:
        layout: How the data set is distributed.
        split_by: What is never in two parts of the split. Authors' quirks: "series" or "slice", which let one patient
            be both learned from and validated on, so that results look better than they are.
        folds, fold: Cross-validation, and which fold is held out for testing; 0 folds hold none out.
        validation_share: Of the remaining patients.
        sampler: "shuffle"; "balanced-with-replacement": as many draws as slices, inversely to class frequency;
            "balanced-without-replacement": twice as many slices as there are positive ones.
        batch_size: Slices (or series) of one step over all devices, so that results do not depend on their number.
        evaluation_batch_size: Slices of one validation step on each device.
        workers: Loading processes for each device.
        header_window: Authors' quirk: the first window is the DICOM header's own where it has one.
    """

    layout: Literal["rsna", "physionet", "nifti"]
    split_by: Literal["patient", "series", "slice"] = "patient"
    folds: int = 0
    fold: int = 0
    validation_share: float = 0.1
    sampler: Literal["shuffle", "balanced-with-replacement", "balanced-without-replacement"] = "shuffle"
    batch_size: int = 12
    evaluation_batch_size: int = 12
    workers: int = 4
    header_window: bool = False


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
        shift: Of the affine change, share of a side.
        intensity, brightness, contrast: Probability and largest strengths of a change of gray levels.
        gray_change: "both" brightness and contrast each time, or "one-or-both": both, brightness alone or contrast
            alone, as likely as each other.
        border: What the affine change brings in from outside: "zero", or "reflect", the mirror image.
        resampling: Of images, by the affine change; masks take the nearest.
        beam_hardening, beam_hardening_hu: Probability, and the largest number of HU added to soft tissue near bone.
        crop_scale: (least, most) area of a random crop, then resized to the full side; (1, 1) for none.
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
    per_slice: bool = False


@dataclass(frozen=True)
class LossRecipe:
    """Loss by name, with the weights of its terms.

    Attributes:
        name: "dice-cross-entropy", "cross-entropy", "focal", "sequence-log" or "smart-net".
        dice_of: One Dice for each of the "classes", or one of all "blood" together, so that only the cross-entropy
            tells subtypes apart.
        blood_weight: In the cross-entropy, where background has 1: one for all classes of blood, or one for each.
        gamma: Of the focal loss.
        dice_over: One Dice for each "slice", or one for all of the "batch": most slices lack most subtypes.
        cell_weight: For a Swin classifier: of also telling which cells of a slice bleed, by masks; 0 for never.
        consistency_weight: Of SMART-Net's agreement between classification and outline; it needs 256 x 256 pixels.
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
    """How weights move.

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
        name: Of the recipe; the weight file is called so.
        summary: One sentence.
        method: Whose model card is filled.
        task: What is learned, see `fit.TASKS`.
        preprocessing: Differences from the method's card.
        seed: Of weights, splits, order and augmentation.
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
        if self.data.folds and not 0 <= self.data.fold < self.data.folds:
            raise RecipeError(
                f"recipe {self.name}: data.fold is {self.data.fold}, it must be 0 to {self.data.folds - 1}."
            )
        if self.data.split_by == "slice" and self.task not in ("segmentation", "classification"):
            raise RecipeError(
                f"recipe {self.name}: it learns from whole series, which data.split_by=slice would take apart; "
                "set data.split_by patient."
            )

    def preprocessing_spec(self) -> Preprocessing:
        """What the network sees: the card's, with this recipe's differences."""
        base = get_card(self.method).preprocessing
        values = {one.name: getattr(base, one.name) for one in dataclasses.fields(base)}
        return _build(type(base), {**values, **self.preprocessing}, "preprocessing")


def recipe_names() -> list[str]:
    """The recipes that come with the library."""
    return sorted(_recipe_files())


def load_recipe(name_or_file: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """A recipe by name or YAML file.

    Args:
        name_or_file: One of `recipe_names()`, or a file.
        changes: "key=value" with dots, such as "data.fold=2" or "phases.0.max_epochs=5"; values as YAML.

    Raises:
        RecipeError: Nothing of that name, no YAML, an unknown key, or a value of the wrong kind.
    """
    path = Path(name_or_file)
    if path.suffix not in (".yaml", ".yml"):
        path = _recipe_files().get(str(name_or_file), path)
    if not path.is_file():
        raise RecipeError(f"There is no recipe {name_or_file}; choose {', '.join(recipe_names())}, or a .yaml file.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path.name}: no valid YAML ({str(error).splitlines()[0]}).") from error
    for change in changes:
        _change(content, change)
    return recipe_from(content)


def _recipe_files() -> dict[str, Path]:
    """Recipe name to its file."""
    return {path.stem: path for path in METHODS_FOLDER.glob("*/*.yaml")}


def recipe_from(content: Any) -> Recipe:
    """A recipe from what YAML says.

    Raises:
        RecipeError: An unknown key, a missing one, or a value of the wrong kind.
    """
    return _build(Recipe, content, "")


def recipe_text(recipe: Recipe) -> str:
    """The resolved recipe as YAML; reading it gives an equal recipe."""
    return str(yaml.safe_dump(_plain(dataclasses.asdict(recipe)), sort_keys=False, allow_unicode=True, width=110))


def differences(one: Recipe, other: Recipe) -> list[str]:
    """Dotted keys in which two recipes differ."""
    first, second = (_flat(_plain(dataclasses.asdict(recipe))) for recipe in (one, other))
    return sorted(key for key in {*first, *second} if first.get(key) != second.get(key))


def _change(content: Any, change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator:
        raise RecipeError(f"A change must look like data.fold=2, got {change!r}.")
    *parents, last = key.split(".")
    place = content
    for part in parents:
        if isinstance(place, list) and part.isdigit() and int(part) < len(place):
            place = place[int(part)]
        elif isinstance(place, dict):
            place = place.setdefault(part, {})
        else:
            raise RecipeError(f"{key}: there is nothing called {part} to change.")
    value = yaml.safe_load(text)
    if isinstance(place, list) and last.isdigit() and int(last) < len(place):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise RecipeError(f"{key}: there is nothing called {last} to change.")


def _build(kind: type[Config], content: Any, where: str) -> Config:
    """A dataclass from a mapping, checked key by key."""
    title = where or "the recipe"
    if isinstance(content, kind):
        return content
    if not isinstance(content, Mapping):
        raise RecipeError(f"{title}: expected keys and values, found {content!r}.")
    fields = {one.name: one for one in dataclasses.fields(kind)}  # type: ignore[arg-type]
    content = {RENAMED_KEYS.get(key, key): value for key, value in content.items()}
    for key in content:
        if key not in fields:
            raise RecipeError(f"{title}: unknown key {key!r}; known are {', '.join(fields)}.")
    hints = typing.get_type_hints(kind)
    values = {key: _value(hints[key], value, f"{where}.{key}".lstrip(".")) for key, value in content.items()}
    absent = [
        name
        for name, one in fields.items()
        if name not in values and one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    if absent:
        raise RecipeError(f"{title}: {', '.join(absent)} must be given.")
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    """A value of the type that the field asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Window and isinstance(value, (list, tuple)) and len(value) == 2:
        return Window(int(value[0]), int(value[1]))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, where)
    if origin is Literal:
        if value not in arguments:
            raise RecipeError(f"{where}: {value!r} is none of {', '.join(map(str, arguments))}.")
        return value
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, value, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(inner) == len(value):
            return tuple(
                _value(one, item, f"{where}.{n}") for n, (one, item) in enumerate(zip(inner, value, strict=True))
            )
    if origin is dict and isinstance(value, Mapping):
        return dict(value)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    expected = getattr(hint, "__name__", str(hint))
    hint_for_yaml = " (YAML reads 1e-3 as text; write 1.0e-3)" if hint is float and isinstance(value, str) else ""
    raise RecipeError(f"{where}: expected {expected}, found {value!r}{hint_for_yaml}.")


def _union(arguments: Sequence[Any], value: Any, where: str) -> Any:
    for one in arguments:
        if one is type(None) and value is None:
            return None
        try:
            return _value(one, value, where)
        except RecipeError:
            continue
    raise RecipeError(f"{where}: {value!r} is none of {', '.join(str(one) for one in arguments)}.")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _flat(content: Any, where: str = "") -> dict[str, Any]:
    if isinstance(content, (dict, list)) and content:
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        return {key: one for name, inner in pairs for key, one in _flat(inner, f"{where}.{name}".lstrip(".")).items()}
    return {where: content}
