"""Wrong use of the command line: exit code 2, one line of what is wrong, and the word that was probably meant."""

import logging

import pytest

from ICHSegmenterLib.cards.table import MODEL_CARDS
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.cli.parser import options_help
from ICHSegmenterLib.errors import did_you_mean


@pytest.fixture
def scan(tmp_path):
    """A file that exists, which is all that wrong use may look at."""
    path = tmp_path / "head.nii.gz"
    path.write_bytes(b"not read")
    return str(path)


@pytest.mark.parametrize("words", [[], ["models"], ["rsna"]])
def test_a_bare_call_shows_the_help_and_exits_with_two(words, capsys):
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith("usage: ichsegmenter")
    assert shown.err == ""


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["segmnt", "x"], "segment"),
        (["models", "impot", "x"], "import"),
        (["segment", "SCAN", "--treshold", "0.4"], "--threshold"),
        (["segment", "SCAN", "--precision", "float23"], "float32"),
        (["segment", "SCAN", "--method", "blastct"], "blast-ct"),
        (["segment", "SCAN", "--method", "unet", "--option", "tat=true"], "tta"),
        (["segment", "SCAN", "--method", "unet", "--detector", "rsna-sequense"], "rsna-sequence"),
        (["compare", "SCAN", "--output", "OUT", "--methods", "hu-treshold"], "hu-threshold"),
        (["models", "download", "blast_ct"], "blast-ct"),
        (["synthesize", "--output", "OUT", "--style", "standart"], "standard"),
        (["synthesize", "--output", "OUT", "--layout", "physionett"], "physionet"),
        (["prepare", "niftii", "--data", "SCAN", "--output", "OUT"], "nifti"),
        (["train", "unett", "--data", "SCAN", "--output", "OUT"], "unet"),
        (["train", "unet", "--data", "SCAN", "--output", "OUT", "--set", "data.fild=1"], "fold"),
    ],
)
def test_a_word_that_is_nearly_right_is_answered_with_the_right_one(words, meant, scan, tmp_path, capsys):
    given = [{"SCAN": scan, "OUT": str(tmp_path / "out")}.get(word, word) for word in words]
    assert main(given) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert f"Did you mean {meant!r}?" in shown
    assert "usage:" not in shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--device", "gpu"], ["--device", "cpu", "--precision", "float16"]])
def test_a_processor_that_no_computer_has_is_wrong_use(words, scan, capsys):
    assert main(["segment", scan, *words]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_what_is_missing_is_said_without_the_usage_and_with_where_help_is(capsys):
    assert main(["segment"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: the following arguments are required: input",
        "See `ichsegmenter segment --help`.",
    ]


def test_help_beside_a_method_lists_its_options_with_their_defaults(capsys):
    assert main(["segment", "--help", "--method", "rsna-sequence"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: ichsegmenter segment")
    listed = shown.partition("options of rsna-sequence")[2]
    assert all(f"  {option.name}=" in listed for option in MODEL_CARDS["rsna-sequence"].options)
    assert "  masked=false\n" in listed


def test_help_without_a_method_lists_the_options_of_none(capsys):
    assert main(["segment", "--help"]) == 0
    assert "options of" not in capsys.readouterr().out


def test_help_beside_an_unknown_method_names_the_closest(capsys):
    assert main(["batch", "--help", "--method=blastct"]) == 2
    assert "Did you mean 'blast-ct'?" in capsys.readouterr().err


def test_a_method_without_options_says_so():
    assert options_help(MODEL_CARDS["hu-threshold"]) == "hu-threshold has no options."


def test_a_word_that_resembles_nothing_is_not_guessed():
    assert did_you_mean("xyzzy", ("blast-ct", "unet")) == ""


@pytest.mark.parametrize(
    "words",
    [
        ["segment", "ABSENT"],
        ["detect", "SCAN", "--weights", "ABSENT"],
        ["segment", "SCAN", "--brain-mask", "ABSENT"],
        ["batch", "SCAN", "ABSENT", "--output", "OUT"],
        ["compare", "SCAN", "--weights", "unet=ABSENT", "--output", "OUT"],
        ["features", "ABSENT", "--output", "OUT"],
        ["evaluate", "--data", "ABSENT", "--output", "OUT"],
        ["synthesize", "--insert-into", "ABSENT", "--output", "OUT"],
        ["rsna", "ensemble", "SCAN", "SCAN", "ABSENT", "--output", "OUT"],
        ["models", "import", "SCAN", "ABSENT"],
        ["models", "convert", "ABSENT", "--method", "unet"],
    ],
)
def test_a_file_that_is_not_there_is_wrong_use_and_a_similar_one_is_named(words, scan, tmp_path, capsys):
    known = {"SCAN": scan, "ABSENT": str(tmp_path / "haed.nii.gz"), "OUT": str(tmp_path / "out")}
    given = [known.get(word, word.replace("ABSENT", known["ABSENT"])) for word in words]
    assert main(given) == 2
    assert capsys.readouterr().err.endswith(
        "haed.nii.gz: there is no such file or folder. Did you mean 'head.nii.gz'?\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_file_in_a_folder_that_is_not_there_names_the_folder(tmp_path, capsys):
    assert main(["segment", str(tmp_path / "exams" / "head.nii.gz")]) == 2
    assert f"no folder {tmp_path / 'exams'}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--verbose", "models", "verify"], ["models", "verify", "--verbose"]])
def test_verbose_stands_before_or_behind_the_verb(words, monkeypatch):
    levels = []
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: levels.append(settings["level"]))
    assert main(words) == 0
    assert main(["models", "verify"]) == 0
    assert levels == [logging.INFO, logging.WARNING]
