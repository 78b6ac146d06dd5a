"""The page of the published tables: a row for each script, option, loss and metric of the three systems.

The names are those of the authors' repositories, as stated in the versions that the page names.
"""

from __future__ import annotations

import re

import pytest

from Testing import metadata

PAGE = metadata.ROOT / "docs" / "reproduce.md"
VERDICTS = ("equal", "switch", "differs", "better")
SYSTEMS = {
    "HGI-SAM, Swin-SAM, U-Net and SwinUNETR": (
        "train_rsna.py train_physionet.py refine_rsna.py inference.py main.py brain_extraction.py "  # scripts
        "img_size in_ch num_classes embed_dims model_name epochs batch_size num_workers lr do_augmentation do_sampling "
        "do_finetune validation_ratio data_path extra_path csv_seg_results_path save_visualizations "
        "save_visualizations_dir folds_division rsna_division brainmask_ero "  # options and files
        "cross-entropy focal Dice AdamW Grad-CAM "  # losses, maps
        "Dice IoU mean SD SEM accuracy precision recall F1 specificity AUC threshold"  # metrics
    ),
    "The slice-and-sequence transformer": (
        "train_meta.csv val_meta.csv test_meta.csv DICOM training prediction submission ensemble .pdparams "
        "configuration semi-supervised SGD Nesterov warm-up cosine crop flips rotation split "
        "log loss positives 0.85 0.998 timestamp sigmoid"
    ),
    "SMART-Net": (
        "train.py test.py inference.py activation_map.py t_sne.py --data-folder-dir --imbalance-dataset --model-name "
        "--training-stream --batch-size --num-workers --pin-mem --optimizer --lr-scheduler --epochs --lr --min-lr "
        "--warmup-epochs --start-epoch --resume --gradual-unfreeze --from-pretrained --load-weight-type "
        "--multi-gpu-mode --device --print-freq --output-dir --test-dataset-name --slice-wise-manner --uncert "
        "--end2end cross-entropy Dice L1 MSE consistency pooling AUC F1 accuracy sensitivity specificity "
        "reconstruction positive voxels"
    ),
}


def rows_of(section: str) -> list[list[str]]:
    """The cells of the tables in a section of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|") and set(line) - set("|-")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if row[0] != "theirs"]


@pytest.mark.parametrize("section", SYSTEMS)
def test_every_row_says_whether_it_is_equal(section: str) -> None:
    rows = rows_of(section)
    assert len(rows) > 30
    for row in rows:
        assert len(row) == 3 and row[0] and row[1], row
        assert row[2].startswith(VERDICTS), row
        if row[2].startswith("differs"):
            assert row[2].removeprefix("differs").strip(" :"), f"no reason: {row}"


@pytest.mark.parametrize("section", SYSTEMS)
def test_no_script_option_loss_or_metric_is_missing(section: str) -> None:
    theirs = " ".join(row[0] for row in rows_of(section))
    names = SYSTEMS[section].split()
    assert [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", theirs, re.I)] == []
