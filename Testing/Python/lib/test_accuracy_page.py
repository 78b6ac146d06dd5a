"""The accuracy page: a recipe that keeps away from trainings, figures that follow from rows, one command."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
for package in ("sklearn", "monai", "matplotlib"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.cards.json.writer import card_facts
from ICHSegmenterLib.synthesis.parts import CLINICAL, Part
from ICHSegmenterLib.synthesis.pathology.lesions import SUBTYPES
from ICHSegmenterLib.synthesis.styles import STYLES
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume
from Testing.accuracy import bars, figures, measure, pictures
from Testing.accuracy import rows as rows_module
from Testing.accuracy.known_exam import KnownExam, noise_hu
from Testing.accuracy.page import MARKS, write_page
from Testing.accuracy.recipe import RECIPE_FILE, Recipe
from Testing.accuracy.rows import Judge, Row, RowFolder, TrueLesion
from Testing.accuracy.verdicts import Verdict

PAGE = Path(measure.ROOT) / "docs" / "accuracy.md"
NO_BLOOD = dict.fromkeys(("EDH", "IPH", "IVH", "SAH", "SDH"), 0.0)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.read()


def row(exam: str, group: str, sets: tuple[str, ...], *, blood_ml: dict[str, float] | None = None, **changes) -> Row:
    facts = {
        "blood_ml": NO_BLOOD | (blood_ml or {}),
        "parts": [],
        "slices": 28,
        "slice_mm": 5.0,
        "tilt_deg": 0.0,
        "noise_hu": 4.0,
    }
    usual = Row(exam, group, sets, "", "tested", {}, facts, 0.0, "probability", Verdict.NONE, False)
    return replace(usual, **changes)


def unlike(recipe: Recipe, *, values: tuple[float, float], dice: float) -> list[Row]:
    """Ten bleeding and ten clean exams of these values."""
    lesion = TrueLesion("IPH", 5.0, dice, dice)
    bleeding = [
        row(
            f"unlike-blood-{910_000 + number}",
            "unlike-blood",
            ("unlike",),
            blood_ml={"IPH": 5.0},
            value=values[0],
            verdict=Verdict.SUSPECTED,
            dice=dice,
            lesions=(lesion,),
            shares={"IPH": dice},
            drawn_ml=5.0,
        )
        for number in range(10)
    ]
    clean = [
        row(f"unlike-clean-{910_500 + number}", "unlike-clean", ("unlike", "clean"), value=values[1])
        for number in range(10)
    ]
    return bleeding + clean


# ---- the recipe ------------------------------------------------------------------------------------------------------


def test_no_made_up_exam_has_a_seed_of_trainings_or_calibrations(recipe):
    seeds = [exam.facts["seed"] for exam in recipe.exams if exam.kind in ("synthetic", "same-bleed")]
    assert min(seeds) >= recipe.seeds["exams_from"] > recipe.seeds["calibration_from"] > recipe.seeds["training_below"]
    assert all(exam.facts["style"] != recipe.training["style"] for exam in recipe.exams if exam.kind == "synthetic")


def test_a_recipe_with_a_seed_of_trainings_is_refused(tmp_path):
    text = RECIPE_FILE.read_text(encoding="utf-8").replace("first_seed = 930_000", "first_seed = 99_990")
    (tmp_path / "exams.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="contrast-99990 has seed 99990"):
        Recipe.read(tmp_path / "exams.toml")


def test_the_parts_that_no_training_sees_are_in_the_unlike_exams(recipe):
    styles = {exam.facts["style"] for exam in recipe.of_sets(["unlike"])}
    for name in recipe.training["without_parts"]:
        assert all(STYLES[style].parts[Part(name)] > 0 for style in styles)
        assert CLINICAL[Part(name)] > 0  # else leaving it out of a training would change nothing


def test_the_sets_are_as_large_as_the_page_says(recipe):
    counts = {name: len(recipe.of_sets([name])) for name in recipe.sets}
    assert counts == {"unlike": 200, "clean": 200, "contrast": 40, "inserted": 100, "heads": 4, "same-bleed": 40}


def test_a_share_takes_evenly_spaced_exams_of_every_group(recipe):
    quarter = recipe.of_sets(["unlike"], share=0.25)
    seeds = [exam.facts["seed"] for exam in quarter if exam.group == "unlike-blood"]
    assert len(seeds) == 25 and set(np.diff(seeds)) == {4}
    assert {exam.group for exam in recipe.of_sets(share=0.001)} == {exam.group for exam in recipe.exams}
    made = {"unlike-blood-910003", "unlike-blood-910050", "ge"}
    assert {exam.name for exam in recipe.of_sets(among=made)} == made
    assert len(recipe.of_sets(["unlike"], share=0.5, among=made)) == 1
    with pytest.raises(ValueError, match="no set other"):
        recipe.of_sets(["other"])


def test_a_share_of_the_inserted_exams_holds_every_subtype_alike(recipe):
    for share, of_each in ((0.1, 2), (0.3, 6), (0.5, 10)):
        inserted = [exam.facts["subtype"] for exam in recipe.of_sets(["inserted"], share=share)]
        assert {subtype: inserted.count(subtype) for subtype in SUBTYPES} == dict.fromkeys(SUBTYPES, of_each)


# ---- figures from rows -----------------------------------------------------------------------------------------------


def test_the_sensitivity_is_read_at_a_cut_that_leaves_enough_clean_exams(recipe):
    clean = [row(f"c{n}", "unlike-clean", ("unlike",), value=n / 20) for n in range(20)]
    bleeding = [
        row(f"b{n}", "unlike-blood", ("unlike",), blood_ml={"IPH": 5.0}, value=v) for n, v in enumerate((0.2, 0.91))
    ]
    small = [row("s", "unlike-blood", ("unlike",), blood_ml={"IPH": 0.5}, value=0.0)]  # too small to count
    # 19 of 20 clean exams have at most 0.9, so that the cut lies there.
    assert figures.sensitivity_at(clean + bleeding + small, recipe.definitions).value == 0.5


def test_equal_values_of_bleeding_and_clean_exams_are_no_sensitivity(recipe):
    rows = unlike(recipe, values=(1.0, 1.0), dice=0.9)
    assert figures.sensitivity_at(rows, recipe.definitions).value == 0.0
    assert figures.exam_auc(rows).value == 0.5


def test_a_bar_says_by_how_much_it_is_missed(recipe):
    by_name = {bar.name: bar for bar in bars.bars(unlike(recipe, values=(0.9, 0.1), dice=0.75), recipe)}
    assert by_name["unlike exams: AUC"].verdict == "1.000: **met**, on 20 of 200 exams"
    dice = by_name["unlike exams: lesion Dice, median, from 1 mL"]
    assert dice.goal == "at least 0.80" and dice.verdict == "0.75: missed by 0.05, on 20 of 200 exams"
    assert by_name["unlike exams: calibration error"].verdict.startswith("0.100: missed by 0.050")
    assert by_name["10 mL in the GE head: suspected or possible"].verdict == "–"


def test_perfect_values_have_the_calibration_error_of_their_number_alone(recipe):
    sure = unlike(recipe, values=(1.0, 0.0), dice=0.9)
    assert figures.chance_error(sure, recipe.definitions) == 0.0
    halves = unlike(recipe, values=(0.5, 0.5), dice=0.9)
    coins = np.arange(21)  # of 20 coins, so many of each count are heads
    share = np.array([math.comb(20, int(heads)) for heads in coins]) / 2**20
    expected = float(share @ np.abs(coins / 20 - 0.5))
    # The mean of 1000 draws whose SD is 0.067.
    assert figures.chance_error(halves, recipe.definitions) == pytest.approx(expected, abs=5 * 0.067 / math.sqrt(1000))


def test_a_clean_head_must_be_negative_and_without_outline(recipe):
    for changes, words in (
        ({"drawn_ml": 0.1}, "none found, 0.10 mL: **met**"),
        ({"drawn_ml": 0.3}, "none found, 0.30 mL: missed by 0.20 mL"),
        ({"verdict": Verdict.POSSIBLE}, "possible, 0.00 mL: missed by the verdict"),
    ):
        bar = bars.bars([row("ge", "ge", ("heads",), **changes)], recipe)[0]
        assert bar.name == "GE head without blood" and bar.verdict == words


def test_the_same_bleed_is_compared_with_the_median_of_its_scans(recipe):
    scans = [
        row(f"s{number}", "same-iph", ("same-bleed",), blood_ml={"IPH": 15.0}, drawn_ml=ml, verdict=Verdict.SUSPECTED)
        for number, ml in enumerate((10.0, 10.0, 13.0))
    ]
    by_name = {bar.name: bar for bar in bars.bars(scans, recipe)}
    assert by_name["same bleed (IPH): volume"].verdict == "30%: missed by 15%, on 3 of 20 exams"
    assert by_name["same bleed (IPH): verdict"].verdict.startswith("suspected in 3 of 3: **met**")


def test_no_picture_is_made_of_a_scan_that_is_only_judged(recipe):
    never = recipe.training["judged_only"]
    rows = [
        row(name, name, ("heads",), scan=name, drawn_ml=ml)
        for name, ml in (("invesalius_cranium", 50.0), ("ge_head_ct", 1.0))
    ]
    assert never == ["invesalius_cranium"]
    assert [worst.scan for worst in pictures.worst(rows, never)] == ["ge_head_ct"]


def test_the_page_follows_from_the_rows_and_keeps_the_words_around(recipe, tmp_path):
    page = tmp_path / "accuracy.md"
    page.write_text(f"before\n\n{MARKS[0]}\nof a former run\n{MARKS[1]}\n\nafter\n", encoding="utf-8")
    shape = (3, 40, 40)
    skull = np.full(shape, 30, dtype=np.float32)
    skull[:, 5, 5:35] = skull[:, 34, 5:35] = skull[:, 5:35, 5] = skull[:, 5:35, 34] = 900
    volume = Volume(skull, VolumeGeometry.from_affine(shape, np.diag([5.0, 5.0, 50.0, 1.0])))
    exam = KnownExam(volume, np.zeros(shape, dtype=np.uint8), {})

    for dice, cell in ((0.75, "0.75 (0.75 to 0.75), n = 10"), (0.31, "0.31 (0.31 to 0.31), n = 10")):
        rows = {"tested": unlike(recipe, values=(0.9, 0.1), dice=dice)}
        write_page(recipe, rows, RowFolder(tmp_path), lambda plan: exam, tmp_path, page=page, absent=["nothing"])
        text = page.read_text(encoding="utf-8")
        assert f"| IPH, from 1 mL | {cell} |" in text
        assert text.startswith("before") and text.endswith("after\n")
        assert "of a former run" not in text and "Left out: nothing." in text
    pictured = {path.name for path in (tmp_path / "images").iterdir()}
    assert {"accuracy-roc.png", "accuracy-worst-tested.png"} <= pictured
    assert all(f"(images/{name})" in text for name in pictured)


def test_the_committed_page_has_a_place_for_the_tables():
    text = PAGE.read_text(encoding="utf-8")
    assert text.index(MARKS[0]) < text.index(MARKS[1])


# ---- one command -----------------------------------------------------------------------------------------------------


def test_one_exam_of_each_set_goes_through_the_whole_command(recipe, tmp_path, monkeypatch, head_scan, capsys):
    exams = {exam.name: exam for exam in recipe.exams}
    made_up = (
        "unlike-blood-910000",
        "unlike-clean-910500",
        "contrast-930000",
        "phantom-clean",
        "same-iph-7mm-soft-straight",
    )
    small = [replace(exams[name], facts={**exams[name].facts, "matrix": 96}) for name in made_up]
    inserted = replace(exams["inserted-ge-IPH-1"], facts={**exams["inserted-ge-IPH-1"].facts, "scan": head_scan.name})
    absent = replace(exams["invesalius"], facts={"scan": "no_such_scan"})
    monkeypatch.setattr(measure.Recipe, "read", lambda: replace(recipe, exams=(*small, inserted, absent)))
    monkeypatch.setattr(measure, "shared_data", lambda: head_scan.parent)
    page = tmp_path / "docs" / "accuracy.md"
    page.parent.mkdir()
    page.write_text("\n".join(MARKS) + "\n", encoding="utf-8")
    command = ["--output", str(tmp_path / "run"), "--methods", "hu-threshold", "compact-hgi", "--page", str(page)]
    assert measure.main(command) == 0
    assert "Left out: the scan no_such_scan is not at hand" in capsys.readouterr().out

    text = page.read_text(encoding="utf-8")
    assert (
        "| bar | goal | hu-threshold |" in text and "Left out: compact-hgi" in text
    )  # no weights in the tests' folder
    for name in ("unlike", "clean", "contrast", "inserted", "heads", "same-bleed"):
        count = 2 if name == "unlike" else 1
        assert f"| {count} |" in next(line for line in text.splitlines() if line.startswith(f"| {name}: "))
    for picture in ("accuracy-roc.png", "accuracy-false-blood.png", "accuracy-same-bleed.png"):
        assert f"(images/{picture})" in text and (page.parent / "images" / picture).stat().st_size > 1000

    # A second call reads rows and exams: nothing is analyzed, and the page is the same.
    monkeypatch.setattr(measure.Judge, "row", lambda *_: pytest.fail("an exam was analyzed again"))
    assert measure.main(command) == 0
    assert page.read_text(encoding="utf-8") == text


def test_an_exam_is_kept_as_it_was_made_and_made_again_for_another_plan(recipe, tmp_path):
    plan = next(exam for exam in recipe.exams if exam.name == "same-sdh-7mm-bone-tilted")
    plan = replace(plan, facts={**plan.facts, "matrix": 64})
    first = KnownExam.obtain(plan, tmp_path, tmp_path)
    again = KnownExam.obtain(plan, tmp_path, tmp_path)
    assert np.array_equal(first.volume.hu, again.volume.hu) and np.array_equal(first.labelmap, again.labelmap)
    assert np.allclose(first.volume.geometry.slice_origins, again.volume.geometry.slice_origins)
    assert first.facts == again.facts and first.facts["tilt_deg"] == pytest.approx(18.0)
    other = replace(plan, facts={**plan.facts, "matrix": 48})
    assert KnownExam.obtain(other, tmp_path, tmp_path).volume.hu.shape[1:] == (48, 48)


def test_noise_is_measured_in_hounsfield_units():
    shape = (4, 96, 96)
    hu = 30 + np.random.default_rng(0).normal(0, 7.0, shape).astype(np.float32)
    volume = Volume(hu, VolumeGeometry.from_affine(shape, np.diag([1.0, 1.0, 5.0, 1.0])))
    # Smoothing over 3 mm leaves 1 / (4 pi 3^2) of the variance, and the median of 28 000 pixels varies by 1 %.
    assert noise_hu(volume, np.ones(shape, dtype=bool)) == pytest.approx(7.0, rel=0.03)


def test_rows_hold_while_only_words_of_a_card_change(monkeypatch):
    def digest(**changes: object) -> str:
        monkeypatch.setattr(rows_module, "card_facts", lambda card: card_facts(card) | changes)
        return Judge("hu-threshold").digest

    assert digest(release="another", trust={"not_seen": ["rain"]}) == digest()
    assert digest(threshold=0.123) != digest()
