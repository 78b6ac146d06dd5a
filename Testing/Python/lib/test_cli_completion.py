"""`completion`: a script for each shell, and what bash makes of it."""

import shutil
import subprocess
import sys

import pytest

from ICHSegmenterLib.cards.table import MODEL_CARDS
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.cli.verbs.completion import SHELLS


@pytest.fixture
def script(capsys):
    pytest.importorskip("shtab")

    def printed(shell):
        assert main(["completion", shell]) == 0
        return capsys.readouterr().out

    return printed


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script_that_knows_verbs_and_methods(shell, script):
    text = script(shell)
    assert all(word in text for word in ("ichsegmenter", "synthesize", "download", "overwrite", *MODEL_CARDS))


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["ichsegmenter", "seg"], ["segment"]),
        (["ichsegmenter", "models", "im"], ["import"]),
        (["ichsegmenter", "segment", "x", "--method", "blast"], ["blast-ct"]),
        (["ichsegmenter", "segment", "x", "--detector", "rs"], ["rsna-sequence"]),
        (["ichsegmenter", "batch", "x", "--overw"], ["--overwrite"]),
    ],
)
def test_bash_completes_a_word(words, completed, script, tmp_path):
    (tmp_path / "completion").write_text(script("bash"), encoding="utf-8")
    listed = " ".join(f"'{word}'" for word in words)
    commands = (
        f"source completion; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; "
        'function=$(complete -p ichsegmenter); function=${function##*-F }; ${function%% *}; echo "${COMPREPLY[@]}"'
    )
    answer = subprocess.run(["bash", "-c", commands], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == completed


def test_without_the_package_the_error_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install 'ichsegmenter[completion]'" in capsys.readouterr().err
