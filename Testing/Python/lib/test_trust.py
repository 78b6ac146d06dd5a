"""Cards state whom weights learned from, how often they are wrong and what they do not see; better ones are offered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ICHSegmenterLib.analysis import default_method
from ICHSegmenterLib.analysis.default_method import choose_method, first_run_offer
from ICHSegmenterLib.cards.json.trust import trust_facts, trust_from
from ICHSegmenterLib.cards.table import MODEL_CARDS, get_card, read_card
from ICHSegmenterLib.cards.trust import NO_TRUST, FalseAlarms, Sensitivity, TrainingData, Trust
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import CardError, LicenseNotAcceptedError, WeightsMissingError
from ICHSegmenterLib.weights import download, store
from ICHSegmenterLib.weights.cache import writable_weights_folder
from own_method import write_card
from shared_folder import REPOSITORY

SHIPPED = ("compact-unet", "compact-hgi")
TRUST = Trust(
    trained_on=TrainingData("patients of two hospitals", 300, "Table 1", "research only"),
    false_alarms=(FalseAlarms(0.05, 400, "outpatients", "Table 2"), FalseAlarms(0.25, 8, "phantoms", "Table 3")),
    sensitivity=(Sensitivity(0.9, None, "inpatients", "Table 4", 1.5),),
    not_seen=("isolated subarachnoid hemorrhage",),
)


def shipped_card(method: str):
    return read_card(REPOSITORY / "Resources" / "Models" / f"{method}.json")


@pytest.mark.parametrize("method", MODEL_CARDS)
def test_every_method_says_what_it_learned_from_and_what_it_does_not_see(method: str):
    trust = (shipped_card(method) if method in SHIPPED else get_card(method)).trust
    assert trust.trained_on.population and trust.not_seen
    for rate in (*trust.false_alarms, *trust.sensitivity):
        assert rate.source
    assert [heading for heading, text in trust.lines() if not text] == []


def test_figures_of_what_ships_stand_beside_the_weights_alone():
    for method in SHIPPED:
        assert get_card(method).trust == NO_TRUST
        assert shipped_card(method).trust.false_alarms and shipped_card(method).trust.sensitivity


def test_figures_are_sentences_with_count_population_and_source():
    assert dict(TRUST.lines()) == {
        "Trained on": "300 exams: patients of two hospitals (Table 1)",
        "Terms of the training data": "research only",
        "False alarms": "0.05 of 400 outpatients (Table 2); 2 of 8 phantoms (Table 3)",
        "Sensitivity": "0.90 of inpatients, from 1.5 mL of blood (Table 4)",
        "Does not see": "isolated subarachnoid hemorrhage",
    }
    assert TRUST.summary == "false alarms: 0.05 of 400 outpatients; sensitivity: 0.90 of inpatients"


def test_what_nobody_stated_is_said_to_be_unknown():
    assert dict(NO_TRUST.lines()) == {
        "Trained on": "not stated",
        "False alarms": "no published figure is known",
        "Sensitivity": "no published figure is known",
        "Does not see": "not stated",
    }


def test_trust_is_the_same_after_a_way_through_json():
    assert trust_from(json.loads(json.dumps(trust_facts(TRUST)))) == TRUST


def test_a_card_of_format_2_without_trust_is_read_as_before(tmp_path: Path):
    card = read_card(write_card(tmp_path / "card.json"))
    assert (card.trust, card.release) == (NO_TRUST, "")


def test_a_card_states_its_own_figures(tmp_path: Path):
    card = read_card(write_card(tmp_path / "card.json", trust=trust_facts(TRUST), release="2026"))
    assert (card.trust, card.release) == (TRUST, "2026")


RATE = {"value": 0.1, "exams": 10, "population": "outpatients", "source": "Table 2"}


@pytest.mark.parametrize(
    ("trust", "message"),
    [
        ({"sensivity": []}, r"trust\.sensivity: trust has only trained_on"),
        ({"false_alarms": RATE}, r"trust\.false_alarms must be a list"),
        (
            {"false_alarms": [{**RATE, "value": 1.2}]},
            r"trust\.false_alarms\.0\.value must lie between 0 and 1, got 1\.2",
        ),
        ({"false_alarms": [{**RATE, "value": float("nan")}]}, "no valid JSON"),
        ({"false_alarms": [{**RATE, "value": True}]}, r"trust\.false_alarms\.0\.value must be a number"),
        ({"false_alarms": [{**RATE, "exams": 0}]}, r"false_alarms\.0\.exams must be a whole number from 1"),
        ({"false_alarms": [{**RATE, "source": ""}]}, r"false_alarms\.0\.source must be given"),
        ({"false_alarms": [{**RATE, "from_ml": 1}]}, r"false_alarms\.0\.from_ml: it has only value, exams"),
        ({"sensitivity": [{"value": 0.5}]}, r"trust\.sensitivity\.0 must have exams, population, source"),
        ({"sensitivity": [{**RATE, "from_ml": -1}]}, r"sensitivity\.0\.from_ml must lie between"),
        ({"sensitivity": [RATE] * 21}, r"trust\.sensitivity must be a list of at most 20"),
        ({"trained_on": {"exams": -3}}, r"trained_on\.exams must be a whole number from 0"),
        ({"trained_on": {"population": "<b>all</b>"}}, r"trust\.trained_on\.population must be plain text"),
        ({"not_seen": [3]}, r"trust\.not_seen\.0 must be a text"),
        ([], "trust must be an object"),
    ],
)
def test_a_figure_that_cannot_be_is_told_by_its_key(trust: object, message: str, tmp_path: Path):
    with pytest.raises(CardError, match=message):
        read_card(write_card(tmp_path / "card.json", trust=trust))


def test_a_card_of_0_1_does_not_inherit_figures_of_published_weights(tmp_path: Path):
    path = tmp_path / "old.json"
    old = {"name": "unet", "weights": "x.pt", "sha256": "0" * 64, "size": 1, "license": "mine"}
    path.write_text(json.dumps(old))
    assert get_card("unet").trust != NO_TRUST
    card = read_card(path)
    assert (card.trust, card.release, card.license) == (NO_TRUST, "", "mine")


@pytest.mark.parametrize("method", ["hgi-sam", "swin-sam", "swin-sam-multi", "swin-gradcam", "unet"])
def test_weights_whose_training_data_have_terms_are_not_fetched_unaccepted(method: str, monkeypatch):
    monkeypatch.setattr(download, "download", lambda file, transfer: Path(file.name))
    card = get_card(method)
    with pytest.raises(LicenseNotAcceptedError, match=f"terms of its own: .*download {method} --accept-license"):
        download.download_model(card)
    names = [path.name for path in download.download_model(card, accept_license=True)]
    assert names == [file.name for file in card.weights[: card.default_models]]


def test_weights_without_such_terms_need_no_acceptance(monkeypatch):
    monkeypatch.setattr(download, "download", lambda file, transfer: Path(file.name))
    assert len(download.download_model(get_card("blast-ct"))) == 2


def test_the_command_line_refuses_and_accepts_terms(monkeypatch, capsys):
    monkeypatch.setattr(download, "download", lambda file, transfer: Path(file.name))
    assert main(["models", "download", "hgi-sam"]) == 1
    assert "RSNA 2019" in capsys.readouterr().err
    assert main(["models", "download", "hgi-sam", "--accept-license"]) == 0
    assert "SwinWeak_CrossEntropyLoss.pth" in capsys.readouterr().out


def test_missing_weights_with_terms_say_so():
    with pytest.raises(WeightsMissingError, match="training data have terms: RSNA 2019.*--accept-license"):
        store.find(get_card("hgi-sam"))


def test_the_authors_file_of_rsna_sequence_is_named_with_link_size_and_way():
    with pytest.raises(WeightsMissingError) as caught:
        store.find(get_card("rsna-sequence"))
    text = str(caught.value)
    assert "https://github.com/PaddlePaddle/Research" in text and "1.07 GB" in text
    assert "models import FILE --method rsna-sequence" in text and "no published weights" not in text


@pytest.mark.shipped
def test_the_card_is_shown_as_text(capsys):
    assert main(["models", "show", "blast-ct", "compact-hgi"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "Trained on 184 exams: patients with traumatic brain injury",
        "0 of 5 bleed-free human heads",
        "Does not see isolated subarachnoid hemorrhage",
        "Segments attention map, not an outline",
        "Trained on 280 exams: synthetic bleeds in made-up heads, never a patient",
    ):
        assert part in text
    assert main(["models", "show", "nonsense"]) == 2


def test_the_list_says_how_often_each_method_is_wrong(capsys):
    assert main(["models", "list"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    row = next(number for number, line in enumerate(lines) if line.startswith("hu-threshold "))
    assert lines[row + 1] == get_card("hu-threshold").trust.summary
    assert lines.count("its training data have terms: `ichsegmenter models show hgi-sam`") == 1


def test_compact_hgi_only_detects_and_says_so():
    for card in (get_card("compact-hgi"), shipped_card("compact-hgi")):
        assert "detection only" in card.title and "not an outline" in card.summary
        assert "It only detects" in card.limits and card.draws_attention
    assert not get_card("compact-unet").draws_attention


@pytest.fixture
def bundled_alarms(monkeypatch):
    """compact-unet ready, with the figures of the card that ships."""
    card = replace(get_card("compact-unet"), trust=shipped_card("compact-unet").trust)
    monkeypatch.setattr(default_method, "choose_method", lambda: "compact-unet")
    monkeypatch.setattr(store, "card_of", lambda name: card if name == "compact-unet" else get_card(name))


def test_the_offer_names_files_size_license_and_both_rates_of_false_alarms(bundled_alarms):
    pytest.importorskip("torch")
    offer = first_run_offer()
    assert (offer.method, offer.instead_of, offer.files, offer.license) == ("blast-ct", "compact-unet", 2, "Apache-2.0")
    assert offer.size == sum(file.size for file in get_card("blast-ct").weights[:2])
    assert offer.command == "ichsegmenter models download blast-ct"
    for card in (get_card("blast-ct"), shipped_card("compact-unet")):
        (rate,) = (rate for rate in card.trust.false_alarms if rate.population == "two bleed-free public real heads")
        assert f"{rate.share} by {card.name}" in offer.sentence
    assert "patients with traumatic brain injury, 2 files, 8.3 MB, Apache-2.0" in offer.sentence


def test_nothing_is_offered_once_the_weights_are_here():
    pytest.importorskip("torch")
    assert first_run_offer() is not None
    (writable_weights_folder() / get_card("blast-ct").weights[0].name).write_bytes(b"judged by presence only")
    assert first_run_offer() is None and choose_method() == "blast-ct"


def test_nothing_is_offered_that_could_not_run_here(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert first_run_offer() is None
