"""The pages of a batch: the worklist by urgency, and the summary with plots."""

import csv
import json
import re
import time
from xml.etree import ElementTree

import numpy as np
import pytest

from ICHSegmenterLib.batch import pages
from ICHSegmenterLib.batch.pages import WorklistClock, complete_batch, exam_rows
from ICHSegmenterLib.batch.tables.columns import EXAM_COLUMNS, SUMMARY_FILE
from ICHSegmenterLib.report.worklist import page as worklist
from ICHSegmenterLib.report.worklist.figures import BatchFigures
from ICHSegmenterLib.report.worklist.page import write_worklist
from ICHSegmenterLib.report.worklist.summary_page import write_summary_page

EMPTY = {column.name: "" for column in EXAM_COLUMNS}


def done(exam, verdict, value, blood_ml=0.0, **cells):
    numbers = {"any": str(value), "blood_ml": str(blood_ml), "slices": "32", "positive_slices": "3", "key_slice": "12"}
    row = {"exam": exam, "status": "done", "verdict": verdict, "method": "unet", "seconds": "2.5", **numbers}
    return {**EMPTY, **row, "statement": f"Hemorrhage {verdict}.", **cells}


def failed(exam, error="bad_input", message="The file is damaged."):
    return {**EMPTY, "exam": exam, "status": "failed", "error": error, "message": message, "method": "unet"}


ROWS = [
    failed("exam-broken"),
    done("exam-clear", "none_found", 0.1),
    done("exam-small", "suspected", 0.9, 2.0),
    done("exam-perhaps", "possible", 0.99, 80.0),
    done("exam-large", "suspected", 0.9, 40.0),
    done("exam-sure", "suspected", 0.95, 1.0),
]


def data_of(path):
    """The data of a page, and its rows as objects."""
    text = path.read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])
    return data, [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]


def test_exams_stand_in_order_of_urgency_then_of_value_then_of_blood(tmp_path):
    data, rows = data_of(write_worklist(ROWS, tmp_path))
    assert [row["exam"] for row in rows] == [
        *("exam-sure", "exam-large", "exam-small", "exam-perhaps", "exam-clear", "exam-broken")
    ]
    assert data["totals"] == {"suspected": 3, "possible": 1, "none_found": 1, "failed": 1}
    assert rows[-1]["text"] == "The file is damaged." and rows[-1]["any"] == ""


def test_the_page_needs_no_network_and_no_other_file(tmp_path):
    text = write_worklist(ROWS, tmp_path).read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|<link|@import|src=\"", text)
    assert "Research software, not a medical device" in text


def test_report_and_thumbnail_are_offered_where_they_lie(tmp_path):
    for exam, name in (("exam-sure", "report.html"), ("exam-sure", "thumbnail.jpg"), ("exam-clear", "thumbnail.jpg")):
        (tmp_path / exam).mkdir(exist_ok=True)
        (tmp_path / exam / name).write_text("x")
    data, rows = data_of(write_worklist(ROWS, tmp_path))
    offered = {row["exam"]: {name for name, bit in data["files"].items() if row["files"] & bit} for row in rows}
    assert offered["exam-sure"] == {"report", "thumbnail"}
    assert offered["exam-clear"] == {"thumbnail"}
    assert offered["exam-broken"] == set()


def test_a_message_can_neither_end_the_script_nor_start_another(tmp_path):
    hostile = "</script><script>alert(1)</script><!-- \u2028"
    path = write_worklist([failed("exam-a", message=hostile)], tmp_path)
    assert path.read_text(encoding="utf-8").count("<script") == 2  # data and program
    assert data_of(path)[1][0]["text"] == hostile
    assert "innerHTML" not in path.read_text(encoding="utf-8")


def test_of_very_many_exams_the_most_urgent_are_listed_and_all_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(worklist, "MAX_ROWS", 3)
    data, rows = data_of(write_worklist(iter(ROWS), tmp_path))
    assert [row["exam"] for row in rows] == ["exam-sure", "exam-large", "exam-small"]
    assert sum(data["totals"].values()) == 6
    assert "The 3 most urgent are listed; results.csv holds all." in data["about"]


def write_table(folder, rows):
    with (folder / SUMMARY_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(EMPTY))
        writer.writeheader()
        writer.writerows(rows)


def test_a_row_that_was_cut_off_by_a_full_disk_is_an_exam_that_failed(tmp_path):
    write_table(tmp_path, ROWS)
    with (tmp_path / SUMMARY_FILE).open("a", encoding="utf-8") as file:
        file.write("exam-cut,done,1")
    (page, *_) = complete_batch(tmp_path, parquet=False)
    data, rows = data_of(page)
    assert data["totals"]["failed"] == 2
    assert {row["exam"]: row["verdict"] for row in rows}["exam-cut"] == "failed"


def test_a_batch_without_a_table_has_no_pages(tmp_path):
    assert complete_batch(tmp_path, parquet=False) == []
    assert list(tmp_path.iterdir()) == []


def test_figures_count_each_exam_once_and_failures_by_kind():
    figures = BatchFigures.of([*ROWS, failed("exam-huge", "oom_ram"), failed("exam-c")])
    assert figures.exams == 8
    assert figures.verdicts == {"suspected": 3, "possible": 1, "none_found": 1, "failed": 3}
    assert figures.failures == {"bad_input": 2, "oom_ram": 1}
    assert sorted(figures.blood_ml) == [1, 2, 40, 80]  # not the exam without blood


def test_exams_an_hour_are_counts_of_equal_times_and_add_up():
    """120 exams in the first hour, one a minute in the second."""
    created = [*(30 * n for n in range(120)), *(3600 + 60 * n for n in range(61))]
    rows = [
        done(f"exam-{n}", "none_found", 0.1, created=f"2026-01-01T{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}+00:00")
        for n, s in enumerate(created)
    ]
    hours, rates = BatchFigures.of(rows).exams_an_hour()
    assert (hours[0], hours[-1]) == (0, 2)
    assert np.sum(rates * np.diff(hours)) == pytest.approx(len(rows))
    middles = (hours[1:] + hours[:-1]) / 2
    assert rates[middles < 1].mean() == pytest.approx(120)
    assert rates[middles > 1].mean() == pytest.approx(61)


def test_the_summary_page_has_four_plots_of_whole_svg_and_says_none_where_nothing_failed(tmp_path):
    times = {"created": "2026-01-01T10:00:00+00:00"}
    rows = [{**row, **times} if row["status"] == "done" else row for row in ROWS]
    text = write_summary_page(BatchFigures.of(rows), tmp_path).read_text(encoding="utf-8")
    drawings = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    assert len(drawings) == 4
    names = [name for drawing in drawings for name in re.findall(r' id="([^"]+)"', drawing)]
    assert len(names) == len(set(names))  # else one plot would clip another
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert "currentColor" in drawing
    without = write_summary_page(BatchFigures.of(rows[1:]), tmp_path).read_text(encoding="utf-8")
    assert without.count("<svg ") == 3 and "<h2>Failures</h2><p>None.</p>" in without
    assert not re.search(r"src=|<link|@import", text)


def test_a_batch_that_runs_writes_its_worklist_from_time_to_time_only(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(pages, "time", type("Clock", (), {"monotonic": lambda: clock[0]}))
    write_table(tmp_path, ROWS)
    pace = WorklistClock(tmp_path)
    pace.tick()
    assert not (tmp_path / "worklist.html").exists()
    clock[0] += pages.REFRESH_S
    pace.tick()
    assert len(data_of(tmp_path / "worklist.html")[1]) == len(ROWS)
    (tmp_path / "worklist.html").unlink()
    clock[0] += pages.REFRESH_S - 1
    pace.tick()
    assert not (tmp_path / "worklist.html").exists()
    assert time.monotonic() != clock[0]  # only the module's clock was set


def test_the_rows_of_the_table_lose_the_apostrophe_that_protects_spreadsheets(tmp_path):
    write_table(tmp_path, [failed("exam-a", message="'=1+1")])
    assert next(exam_rows(tmp_path))["message"] == "=1+1"
