"""How far to trust a method is one click away; weights are offered once; the operating point is a choice."""

import pytest

RUN_S = 120

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


@pytest.fixture
def forget_refusal():
    import qt

    from ICHSegmenterSlicer.views.trust_box import REFUSED_KEY

    yield
    qt.QSettings().remove(REFUSED_KEY)


@pytest.mark.shipped
def test_one_click_shows_the_trust_lines_of_the_chosen_method(shell, panel):
    panel.ui.trustButton.collapsed = True
    shell.click(panel.ui.trustButton)
    assert not panel.ui.trustButton.collapsed
    for method in ("compact-unet", "blast-ct"):
        panel.methods.choose(method, "cpu")
        text = panel.ui.trustLabel.text
        from ICHSegmenterLib.weights.store import card_of

        trust = card_of(method).trust  # that of the weights at hand
        assert trust.false_alarms
        assert trust.not_seen
        assert "Does not see" in text
        assert trust.trained_on.population[:20] in text
        assert trust.sensitivity
        for rate in (*trust.false_alarms, *trust.sensitivity):
            assert rate.share in text
        for unseen in trust.not_seen:
            assert unseen[:20] in text


def test_the_first_run_line_offers_trained_weights_until_it_is_refused(shell, panel, forget_refusal):
    panel.methods.choose("hu-threshold", "cpu")
    assert panel.ui.offerFrame.isVisibleTo(panel.ui.offerFrame.parent())
    assert "8 MB" in panel.ui.offerLabel.text
    assert "Apache-2.0" in panel.ui.offerLabel.text
    panel.methods.choose("rsna-sequence", "cpu")
    assert panel.ui.offerFrame.isHidden()  # that method asks for a file: its Download is not the one that is offered
    panel.methods.choose("hu-threshold", "cpu")
    shell.click(panel.ui.offerLaterButton)
    panel.methods.choose("hu-threshold", "cpu")
    assert panel.ui.offerFrame.isHidden()


def test_accepting_the_offer_fetches_the_weights_of_its_method(shell, panel, monkeypatch, forget_refusal):
    fetched = []
    monkeypatch.setattr(panel.methods, "_onDownload", lambda: fetched.append(panel.methods.method))
    panel.methods.choose("hu-threshold", "cpu")
    shell.click(panel.ui.offerDownloadButton)
    assert fetched == ["blast-ct"]
    assert panel._parameters.method == "blast-ct"


def test_the_operating_point_goes_into_the_run_and_recuts_its_result(shell, panel, phantom):
    from ICHSegmenterSlicer.scene.results.stored_result import StoredResult

    box = panel.ui.operatingPointComboBox

    def point():
        node = panel._parameters.result
        return None if node is None else StoredResult.fromNode(node).analysis.assessment.operating_point.value

    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None and point() == "screening", RUN_S, "the run")
    box.setCurrentIndex(box.findData("confirming"))
    assert panel._parameters.operatingPoint == "confirming"
    shell.waitUntil(lambda: panel.analysis is None and point() == "confirming", RUN_S, "the recut")
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the second run")
    assert point() == "confirming"
