"""Makes Testing/Data from the shared folder: golden numbers thinned to what proves equality, Slicer's names compact.

    python Testing/thin_golden.py [SHARED]

Needs torch and, in the shared folder, the trained weights of BLAST-CT: see `deepmedic`. A test compares the files with
what this script would write.
"""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Python")]

import shared_folder  # noqa: E402
from thinned import Thinned, digest  # noqa: E402

DATA = ROOT / "Testing" / "Data"
NAMES = "pythonqt_names.json.gz"
SMALL_BYTES = 10_000
"""Arrays up to this size are kept whole, unless the plan says otherwise."""
MAP_THRESHOLD = 0.05
"""Published outline of HGI-SAM's map."""
POOL = 16
"""Pixels of a side of the consistency loss' max-pooling."""
LOWEST_LOGIT = -20.0
DEEPMEDIC_TOLERANCE = 1e-3

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Plan:
    """What happens to the large arrays of a file; those not named are left out.

    Attributes:
        whole: Inputs of tests, and what is compared by other means than closeness.
        thinned: Outputs that are compared entry by entry within a tolerance.
        exact: Outputs that must be equal to the bit; a digest is kept.
        peaks: Logits of which only the highest of each POOL x POOL pixels counts.
        left_out: Small arrays that no test needs.
    """

    whole: tuple[str, ...] = ()
    thinned: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    peaks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ("versions",)


SEGMENTATION_CASES = ("A", "B_one_empty", "C_all_empty", "D_3d")
PLANS = {
    "hgi_sam/swin_b_384_n2": Plan(whole=("x", "brain"), thinned=("hgi_sam_map", "swin_sam_map", "grad_cam_map")),
    "hgi_sam/unet_final": Plan(whole=("argmax",), thinned=("logits",)),
    "hgi_sam/unet_release": Plan(whole=("argmax",), thinned=("logits",)),
    "rsna/golden_output": Plan(),
    "rsna/golden_train": Plan(whole=("grad_names",)),
    "rsna/data/golden_data": Plan(
        whole=("ID_ser_a__hu", "ID_ser_b__hu"),
        thinned=("ID_ser_a__val_data", "ID_ser_b__val_data"),
        exact=("ID_ser_a__cropped", "ID_ser_b__cropped"),
    ),
    "smart_net/activation_map": Plan(whole=("layer4_like",), thinned=("map_sample",)),
    "smart_net/down_smart_net_cls_a": Plan(whole=("x",), thinned=("slice_features",)),
    "smart_net/down_smart_net_seg_a": Plan(whole=("x",), thinned=("logit",)),
    "smart_net/losses": Plan(
        whole=(
            *(f"{case}_{part}" for case in SEGMENTATION_CASES for part in ("logit", "mask")),
            *("full_seg_f16", "full_rec_f16", "full_input_f16", "full_mask_u8"),
        ),
        thinned=tuple(f"{case}_grad" for case in SEGMENTATION_CASES),
        peaks=("E_seglogit_f16", "F_one_seglogit_f16", "G_big_seglogit_f16"),
    ),
    "smart_net/lr_schedule": Plan(),
    "smart_net/metrics": Plan(whole=("seg_prob", "seg_gt")),
    "smart_net/preprocess": Plan(
        whole=("hu_i16", "mask_u8", "resized_label_packed", "denoised_label_packed"),
        thinned=("resized_image_f16", "minmax_volume_sample", "minmax_slice_sample"),
        exact=("windowed", "ubyte", "clahe_u8"),
    ),
    "smart_net/up_smart_net_64x64": Plan(whole=("x",), thinned=("seg", "rec")),
    "smart_net/up_smart_net_train_step": Plan(whole=("x", "mask_u8", "param_names"), thinned=("seg", "rec")),
} | {
    f"smart_net/up_smart_net_{variant}_64x64": Plan(thinned=("seg", "rec"), left_out=("versions", "x"))
    for variant in ("dual_cls_rec", "dual_cls_seg", "dual_seg_rec", "single_cls", "single_rec", "single_seg")
}
COPIED = ("rsna/data/root/test_meta.csv", "rsna/data/csv")
PARAMETER_LISTS = ("blast_ct", "hgi_sam", "smart_net/keys")
STATE_LIST = "rsna/params.csv"


def main() -> None:
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else shared_folder.shared_folder()
    golden = DATA / "golden"
    if golden.exists():
        shutil.rmtree(golden)
    write_all(shared, DATA)
    size = sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file())
    print(f"{DATA}: {size / 1e6:.2f} MB")


def write_all(shared: Path, data: Path) -> None:
    """Write every file of Testing/Data but README.md.

    Args:
        shared: The shared folder, with `golden` and `data`.
        data: Where to write; made if absent.
    """
    golden = data / "golden"
    for name, plan in PLANS.items():
        with np.load(shared / "golden" / f"{name}.npz") as arrays:
            _save(golden / f"{name}.npz", thin(dict(arrays), plan))
    slices = np.load(shared / "golden" / "rsna" / "golden_input.npy")
    _save(golden / "rsna" / "golden_input.npz", {"x": np.rint(slices * 255).astype(np.uint8)})
    _save(golden / "blast_ct" / "golden_rule.npz", deepmedic(shared))
    for name in COPIED:
        _copy(shared / "golden" / name, golden / name)
    for name in PARAMETER_LISTS:
        for path in sorted((shared / "golden" / name).glob("*[!e].csv")):  # all but freeze_schedule.csv
            _write_columns(path, golden / path.relative_to(shared / "golden"), {"key": "key", "shape": "shape"})
    state = {"name": "key", "shape_in_golden_state": "shape", "kind": "kind"}
    _write_columns(shared / "golden" / STATE_LIST, golden / "rsna" / "state.csv", state)
    names = json.loads((shared / "data" / "pythonqt_api.json").read_text(encoding="utf-8"))
    (data / NAMES).write_bytes(compact_names(names))


def thin(arrays: Mapping[str, NDArray[Any]], plan: Plan) -> Arrays:
    """The entries of a thinned file."""
    kept: Arrays = {}
    for key, array in arrays.items():
        if key in plan.left_out:
            continue
        if key in plan.exact:
            kept[f"{key}@digest"] = np.array(digest(array))
        elif key in plan.thinned:
            kept |= Thinned.of(array).entries(key)
        elif key in plan.peaks:
            kept[key] = peaks_only(array)
        elif key in plan.whole or array.nbytes <= SMALL_BYTES:
            kept[key] = array
        if key.endswith("hgi_sam_map"):
            kept["hgi_sam_outline"] = np.packbits(array >= MAP_THRESHOLD)
    return kept


def peaks_only(logits: NDArray[Any]) -> NDArray[Any]:
    """Logits (B, 1, H, W) whose max-pooling, and its gradient, are those of the original: all but the peaks are low."""
    batch, _, rows, columns = logits.shape
    blocks = logits.reshape(batch, rows // POOL, POOL, columns // POOL, POOL)
    highest = blocks.max(axis=(2, 4), keepdims=True)
    return np.where(blocks == highest, blocks, np.array(LOWEST_LOGIT, blocks.dtype)).reshape(logits.shape)


def deepmedic(shared: Path) -> Arrays:
    """BLAST-CT's network with weights by rule: its own numbers, taken after it equaled the authors' with theirs.

    Raises:
        ValueError: It does not; then its numbers are worth nothing.
    """
    import torch

    import rule_deepmedic
    from ICHSegmenterLib.models import create_model, load_checkpoint

    network = create_model("deepmedic")
    with np.load(shared / "golden" / "blast_ct" / "golden_v1.npz") as golden, torch.inference_mode():
        tile = torch.from_numpy(golden["x"].astype(np.float32) / 255 * 2 - 1)[None, None]
        for number in (1, 7):
            load_checkpoint(network, shared / "data" / "blast_ct_v1" / f"model_{number}.pt")
            difference = np.abs(network(tile)[0].numpy() - golden[f"logits_model_{number}"]).max()
            if difference > DEEPMEDIC_TOLERANCE:
                raise ValueError(f"deepmedic differs by {difference:.1e} from the authors' logits of model {number}")
    logits = rule_deepmedic.logits_of_tile(rule_deepmedic.rule_network())
    probabilities = torch.softmax(torch.from_numpy(logits), dim=0).numpy()
    return Thinned.of(logits).entries("logits") | Thinned.of(probabilities).entries("probabilities")


def compact_names(names: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Slicer's names without what the stand-in does not read, as compressed JSON."""
    used = ("base", "enums", "invokable", "props", "signals", "slots")
    text = json.dumps({name: {key: entry[key] for key in used} for name, entry in names.items()}, separators=(",", ":"))
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def _save(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def _write_columns(source: Path, target: Path, columns: Mapping[str, str]) -> None:
    """Some columns of a list of parameters under new names; rows without a value in one of them are left out."""
    rows = [[row[column] for column in columns] for row in _rows(source)]
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns.values())
        writer.writerows(row for row in rows if all(row))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        if lines.readline().strip() == "key,shape":  # here names with commas are not quoted
            return [dict(zip(("key", "shape"), line.strip().rsplit(",", 1), strict=True)) for line in lines]
        lines.seek(0)
        return list(csv.DictReader(lines))


if __name__ == "__main__":
    main()
