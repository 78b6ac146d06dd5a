"""The tables of a batch: exams, slices and findings as CSV and Parquet, grown row by row."""

import csv
import json
import sys

import pytest

from batch_inputs import CLASSICAL, analyze, small_head
from ICHSegmenterLib.batch import settled
from ICHSegmenterLib.batch.exam import Exam, ExamOutcome
from ICHSegmenterLib.batch.run import find_exams, run_batch
from ICHSegmenterLib.batch.summary import FINDINGS_FILE, SLICES_FILE, SUMMARY_FILE, Summary
from ICHSegmenterLib.batch.tables.csv_table import FORMULA_STARTS, as_cell, as_text
from ICHSegmenterLib.batch.tables.parquet import check_parquet, write_parquet
from ICHSegmenterLib.batch.tables.rows import finding_rows
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.cli.verbs import batch as verb
from ICHSegmenterLib.errors import CancelledError, DependencyError, OutputError
from ICHSegmenterLib.volume.export import write_nifti


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """An output of one exam that is done and one that failed, and the content of the former's result.json."""
    folder = tmp_path_factory.mktemp("batch")
    volume = small_head()
    write_nifti(volume.hu, volume.geometry, folder / "in" / "bleed.nii.gz")
    (folder / "in" / "broken.nii.gz").write_bytes(b"not an image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settled, "SETTLE_S", 0.02)
        outcomes = run_batch(find_exams([folder / "in"]), folder / "out", analyze, request=CLASSICAL)
    (done,) = (one.exam.name for one in outcomes if one.status == "done")
    return folder / "out", done, json.loads((folder / "out" / done / "result.json").read_text())


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_there_is_one_row_an_exam_whether_it_failed_or_not(batch):
    output, done, result = batch
    table = {row["exam"]: row for row in rows(output / SUMMARY_FILE)}
    assert len(table) == 2
    row = table.pop(done)
    assert row["verdict"] == "suspected"
    assert row["created"] == result["provenance"]["created"]
    assert row["segments"] == f"Intracranial hemorrhage {result['blood_ml']:.1f} mL"
    (failed,) = table.values()
    assert (failed["status"], failed["error"], failed["blood_ml"]) == ("failed", "bad_input", "")


def test_slices_have_a_row_each_and_sum_to_the_blood_of_the_exam(batch):
    output, done, result = batch
    table = rows(output / SLICES_FILE)
    assert [int(row["slice"]) for row in table] == list(range(1, 17))
    assert {row["exam"] for row in table} == {done}
    assert sum(float(row["blood_ml"]) for row in table) == pytest.approx(result["blood_ml"], abs=16 * 0.5e-4)
    assert all(row["iph"] == "" and 0 <= float(row["any"]) <= 1 for row in table)


def test_a_finding_has_the_numbers_of_its_piece_and_counts_slices_from_the_lowest(batch):
    output, _, result = batch
    (row,) = rows(output / FINDINGS_FILE)
    (piece,) = result["assessment"]["pieces"]
    assert float(row["volume_ml"]) == piece["volume_ml"]
    assert float(row["center_z_lps_mm"]) == piece["center_lps_mm"][2]
    assert (row["finding"], row["drawn"], row["subtype"]) == ("1", "1", piece["subtype"])
    assert int(row["key_slice"]) == piece["key_slice"] + 1


def test_a_drawn_finding_has_the_measures_of_a_report_and_the_exam_its_midline_and_flags(batch):
    output, done, result = batch
    (row,), (measured,) = rows(output / FINDINGS_FILE), result["measures"]["pieces"]
    assert float(row["abc2_ml"]) == measured["abc2"]["volume_ml"] > 0
    assert float(row["diameter_mm"]) == measured["diameter_mm"] > 10
    assert (row["side"], row["touches_ventricle"] in ("0", "1", "")) == (measured["side"], True)
    (exam,) = (row for row in rows(output / SUMMARY_FILE) if row["exam"] == done)
    midline = result["measures"]["midline"]
    assert exam["midline_shift_mm"] == ("" if midline is None else str(midline["shift_mm"]))
    assert exam["flags"] == "; ".join(flag["code"] for flag in result["measures"]["flags"])


def test_two_findings_get_the_measures_of_the_nearest_piece_of_their_type(batch):
    _, _, result = batch
    (piece,), (measured,) = result["assessment"]["pieces"], result["measures"]["pieces"]
    x, y, z = piece["center_lps_mm"]
    far = {**piece, "center_lps_mm": [-x, y, z]}
    other = {**measured, "center_lps_mm": [-x, y, z], "diameter_mm": 7.0}
    changed = {
        **result,
        "assessment": {**result["assessment"], "pieces": [far, piece, {**piece, "subtype": "SDH"}]},
        "measures": {**result["measures"], "pieces": [measured, other]},
    }
    assert [row.get("diameter_mm") for row in finding_rows("exam", changed)] == [7.0, measured["diameter_mm"], None]


def test_findings_of_an_exam_that_is_stored_downwards_name_the_lower_slice_first(batch):
    _, _, result = batch
    downwards = json.loads(json.dumps(result))
    for item in downwards["slices"]:
        item["number"] = 16 - item["index"]
    (row,) = finding_rows("exam", downwards)
    (piece,) = result["assessment"]["pieces"]
    assert (row["first_slice"], row["last_slice"]) == (16 - piece["last_slice"], 16 - piece["first_slice"])
    assert row["first_slice"] < row["last_slice"]


def test_rows_stand_in_the_files_before_the_next_exam_begins(tmp_path, batch):
    output, done, _ = batch
    for name in ("exam-a", "exam-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_bytes((output / done / "result.json").read_bytes())
    with Summary(tmp_path / SUMMARY_FILE, CLASSICAL) as summary:
        for count, name in enumerate(("exam-a", "exam-b"), start=1):
            summary.add(ExamOutcome(Exam(name, tmp_path), "done", {"blood_ml": 1.5}))
            assert len(rows(tmp_path / SUMMARY_FILE)) == count
            assert len(rows(tmp_path / SLICES_FILE)) == 16 * count
            assert len(rows(tmp_path / FINDINGS_FILE)) == count


def test_an_exam_that_was_done_before_brings_its_slices_and_findings_again(batch, tmp_path):
    output, done, _ = batch
    (tmp_path / done).mkdir()
    (tmp_path / done / "result.json").write_bytes((output / done / "result.json").read_bytes())
    with Summary(tmp_path / SUMMARY_FILE, CLASSICAL) as summary:
        summary.add(ExamOutcome(Exam(done, tmp_path), "skipped", {}))
    assert (tmp_path / SLICES_FILE).read_bytes() == (output / SLICES_FILE).read_bytes()
    assert (tmp_path / FINDINGS_FILE).read_bytes() == (output / FINDINGS_FILE).read_bytes()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"slices": [{}]}', '{"slices": 3}'])
def test_a_result_that_is_not_whole_costs_its_slices_but_not_the_row_of_its_exam(tmp_path, caplog, content):
    (tmp_path / "exam-a").mkdir()
    (tmp_path / "exam-a" / "result.json").write_text(content)
    with Summary(tmp_path / SUMMARY_FILE, CLASSICAL) as summary:
        summary.add(ExamOutcome(Exam("exam-a", tmp_path), "done", {"blood_ml": 1.5}))
    assert [row["exam"] for row in rows(tmp_path / SUMMARY_FILE)] == ["exam-a"]
    assert rows(tmp_path / SLICES_FILE) == []


@pytest.mark.parametrize(
    "text", [*(f"{start}cmd|'/C calc'!A0" for start in FORMULA_STARTS), "plain", "'quoted", "", "'"]
)
def test_no_cell_is_a_formula_and_each_gives_its_text_back(text):
    cell = as_cell(text)
    assert not cell.startswith(FORMULA_STARTS)
    assert as_text(cell) == text


def test_parquet_has_the_same_rows_with_numbers_as_numbers(batch, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    output, _, _ = batch
    for name in (SUMMARY_FILE, SLICES_FILE, FINDINGS_FILE):
        (tmp_path / name).write_bytes((output / name).read_bytes())
    files = write_parquet(tmp_path)
    assert [path.name for path in files] == ["results.parquet", "slices.parquet", "findings.parquet"]
    for path in files:
        expected = rows(path.with_suffix(".csv"))
        table = parquet.read_table(path).to_pylist()
        assert [list(row) for row in table] == [list(row) for row in expected]
        for row, cells in zip(table, expected, strict=True):
            for name, value in row.items():
                if isinstance(value, bool | int | float):
                    assert float(value) == float(cells[name])
                else:
                    assert (value or "") == cells[name]
    failed, done = sorted(parquet.read_table(files[0]).to_pylist(), key=lambda row: row["status"] == "done")
    assert failed["blood_ml"] is None
    assert type(done["blood_ml"]) is float and done["positive"] is True


def test_parquet_of_a_text_that_was_protected_for_spreadsheets_is_the_text(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    message = "=cmd|'/C calc'!A0, a comma,\na second line and \"quotes\""
    with Summary(tmp_path / SUMMARY_FILE, CLASSICAL) as summary:
        summary.add(ExamOutcome(Exam("-exam", tmp_path), "failed", error="bad_input", message=message))
    results, slices, _ = write_parquet(tmp_path)
    (row,) = parquet.read_table(results).to_pylist()
    assert (row["exam"], row["message"]) == ("-exam", message)
    assert parquet.read_table(slices).num_rows == 0


def test_a_damaged_table_is_a_teaching_error_and_leaves_no_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    with Summary(tmp_path / SUMMARY_FILE, CLASSICAL) as summary:
        summary.add(ExamOutcome(Exam("exam-a", tmp_path), "done", {"blood_ml": "much"}))
    with pytest.raises(OutputError, match=r"results.csv is damaged .*much.* Run the batch again"):
        write_parquet(tmp_path)
    assert not list(tmp_path.glob("*.parquet")) and not list(tmp_path.glob(".*"))


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"pip install 'ichsegmenter\[parquet\]'. Without it leave --parquet out"):
        check_parquet()


@pytest.fixture
def two_exams(tmp_path, impatient):
    volume = small_head()
    for name in ("a", "b"):
        write_nifti(volume.hu, volume.geometry, tmp_path / "in" / f"{name}.nii.gz")
    return ["batch", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--method", "hu-threshold"]


def test_the_command_writes_pages_and_parquet_and_says_where(two_exams, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    assert main([*two_exams, "--parquet"]) == 0
    assert f"Worklist: {tmp_path / 'out' / 'worklist.html'}" in capsys.readouterr().out
    written = {path.name for path in (tmp_path / "out").iterdir() if path.is_file() and not path.name.startswith(".")}
    tables = {f"{table}.{kind}" for table in ("results", "slices", "findings") for kind in ("csv", "parquet")}
    assert written == tables | {"worklist.html", "summary.html"}


def test_without_pyarrow_a_batch_with_parquet_ends_before_it_begins(two_exams, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main([*two_exams, "--parquet"]) == 1
    assert "leave --parquet out" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_batch_that_is_stopped_has_the_worklist_of_what_is_done(two_exams, tmp_path, monkeypatch):
    begin, done = verb.begin_analysis, []

    def stopped(*arguments, **options):
        if done:
            raise CancelledError("stopped")
        done.append(1)
        return begin(*arguments, **options)

    monkeypatch.setattr(verb, "begin_analysis", stopped)
    assert main(two_exams) == 1
    assert len(rows(tmp_path / "out" / SUMMARY_FILE)) == 1
    assert "1 exam by hu-threshold" in (tmp_path / "out" / "worklist.html").read_text(encoding="utf-8")
