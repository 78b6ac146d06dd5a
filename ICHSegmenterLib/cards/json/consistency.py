"""Checks that the parts of a foreign card fit each other, so that it fails when it is read and not in an exam."""

from __future__ import annotations

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.preprocessing.spec import (
    SeriesPreprocessing,
    SlabPreprocessing,
    SlicePreprocessing,
    SmartNetPreprocessing,
)

CHANNELS = 3
"""Windows that slice and sequence networks take."""
SLAB_CHANNELS = 7
"""Neighbors and windows that the network with context takes."""
CONTEXT_CLASSES, CONTEXT_GROUPS = 6, 8
"""Of the network with context: classes unless the card says otherwise, and what its widths are divided into."""
SUBTYPES = SUBTYPE_LABELS[:-1]
SWIN_SIZE, SWIN_WINDOW, SWIN_PATCH, SWIN_WIDTH, SWIN_HEADS = 384, 12, 4, 128, (4, 8, 16, 32)
"""Defaults unless the card says otherwise, in pixels, tokens, pixels, channels and heads of each stage."""
SEQUENCE_SIDE = 224
DEEPMEDIC_CLASSES = 5
SWIN_UNETR_DIVISOR = 32
_MAP_CLASSES = {"hgi-sam": (2,), "grad-cam": (2,), "swin-sam": (1, 2, len(SUBTYPE_LABELS))}


def check_consistent(card: ModelCard) -> None:
    """Check labels, classes, input size and windows of a card against its network.

    Raises:
        ValueError: Two of them contradict each other; names the keys.
    """
    _check_input(card)
    keys = tuple(label.key for label in card.labels)
    if card.predictor in ("unet", "slab_unet"):
        _check_unet(card, keys)
    elif card.predictor == "swin_map":
        _check_swin(card, keys)
    elif card.predictor == "blast_ct":
        classes = card.network_config.get("num_classes", DEEPMEDIC_CLASSES)
        _require(card.labelmap_rule == "argmax", "labelmap_rule of the predictor blast_ct must be argmax")
        _require(len(keys) == classes - 1, f"labels must be {classes - 1}, one less than num_classes, got {len(keys)}")
    elif card.predictor == "rsna_sequence":
        _check_heads(card)
        _require(not keys and card.knows_subtypes, "labels must be empty and knows_subtypes true: it only detects")
    else:
        most = 0 if card.predictor == "smart_net_cls" else 1
        _require(len(keys) == most, f"labels of the predictor {card.predictor} must be {most}, got {len(keys)}")
    if card.predictor != "blast_ct":
        _require(card.labelmap_rule != "argmax", "labelmap_rule argmax is for the predictor blast_ct")
    if card.predictor not in ("unet", "slab_unet", "swin_map", "rsna_sequence"):
        _require(not card.knows_subtypes, f"knows_subtypes must be false for the predictor {card.predictor}")
    _require(card.needs_weights or not card.weights, "weights must be empty for a method without network")


def _check_input(card: ModelCard) -> None:
    shown = card.preprocessing
    if isinstance(shown, SlicePreprocessing | SeriesPreprocessing):
        count = len(shown.windows)
        _require(count == CHANNELS, f"preprocessing.windows must be {CHANNELS}, one a channel, got {count}")
    if isinstance(shown, SlicePreprocessing):
        _require(shown.crop <= shown.resize, f"preprocessing.crop {shown.crop} is more than resize {shown.resize}")
    if isinstance(shown, SlabPreprocessing):
        count = len(shown.windows) + len(shown.neighbors_mm)
        fits = len(shown.windows) == CHANNELS and count == SLAB_CHANNELS
        _require(fits, f"preprocessing must have {CHANNELS} windows and {SLAB_CHANNELS - CHANNELS} neighbors_mm")
    if isinstance(shown, SeriesPreprocessing):
        _require(shown.side == SEQUENCE_SIDE, f"preprocessing.side must be {SEQUENCE_SIDE}, got {shown.side}")
    if isinstance(shown, SmartNetPreprocessing):
        _require(shown.size % 32 == 0, f"preprocessing.size must be a multiple of 32, got {shown.size}")


def _check_unet(card: ModelCard, keys: tuple[str, ...]) -> None:
    classes = card.network_config.get("num_classes", CONTEXT_CLASSES if card.network == "context_unet" else 2)
    if card.knows_subtypes:
        _require(
            classes == len(SUBTYPE_LABELS) and keys == SUBTYPES,
            f"knows_subtypes needs num_classes {len(SUBTYPE_LABELS)} and the labels {', '.join(SUBTYPES)}, got "
            f"{classes} and {', '.join(keys) or 'none'}",
        )
    else:
        _require(classes == 2 and len(keys) == 1, f"labels must be 1 and num_classes 2, got {len(keys)} and {classes}")
    divisor = SWIN_UNETR_DIVISOR
    levels = len(card.network_config.get("widths", (0,) * 4))
    if card.network == "unet":
        divisor = 2 ** (levels - 1)
    elif card.network == "context_unet":
        divisor = 2**levels
        for n, width in enumerate(card.network_config.get("widths", ())):
            fits = width % CONTEXT_GROUPS == 0
            _require(fits, f"network_config.widths.{n} must be a multiple of {CONTEXT_GROUPS}, got {width}")
    shown = card.preprocessing
    side, name = (shown.side, "side") if isinstance(shown, SlabPreprocessing) else (getattr(shown, "crop", 0), "crop")
    _require(side % divisor == 0, f"preprocessing.{name} must be a multiple of {divisor}, got {side}")


def _check_swin(card: ModelCard, keys: tuple[str, ...]) -> None:
    classes, kind = card.network_config.get("num_classes", 2), card.wiring["map_kind"]
    allowed = _MAP_CLASSES[kind]
    _require(classes in allowed, f"num_classes must be {' or '.join(map(str, allowed))} for {kind}, got {classes}")
    _require(
        card.knows_subtypes == (classes == len(SUBTYPE_LABELS)),
        f"knows_subtypes must be true for {len(SUBTYPE_LABELS)} classes only, got {card.knows_subtypes} for {classes}",
    )
    _require(len(keys) == 1, f"labels of the predictor swin_map must be 1, got {len(keys)}")
    size = card.network_config.get("image_size", SWIN_SIZE)
    stages = _stages(card)
    divisor = SWIN_PATCH * 2 ** (stages - 1)
    _require(size % divisor == 0, f"network_config.image_size must be a multiple of {divisor}, got {size}")
    window = card.network_config.get("window_size", SWIN_WINDOW)
    for tokens in (size // SWIN_PATCH // 2**stage for stage in range(stages)):
        fits = tokens % min(window, tokens) == 0
        _require(fits, f"network_config.window_size must divide {tokens}, got {window}")
    _check_heads(card)
    crop = card.preprocessing.crop if isinstance(card.preprocessing, SlicePreprocessing) else 0
    _require(crop == size, f"preprocessing.crop must be network_config.image_size {size}, got {crop}")


def _stages(card: ModelCard) -> int:
    """The number of stages of a Swin, of which depths and heads speak alike."""
    depths = len(card.network_config.get("depths", SWIN_HEADS))
    heads = len(card.network_config.get("num_heads", SWIN_HEADS))
    _require(depths == heads, f"network_config.num_heads must have one number a stage, got {heads} for {depths} stages")
    return depths


def _check_heads(card: ModelCard) -> None:
    """Each stage of a Swin, twice as wide as the one before, is shared out among its heads."""
    width = card.network_config.get("embed_dim", SWIN_WIDTH)
    for stage, heads in enumerate(card.network_config.get("num_heads", SWIN_HEADS)):
        channels = width * 2**stage
        _require(channels % heads == 0, f"network_config.num_heads.{stage} must divide {channels}, got {heads}")


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise ValueError(text)
