from __future__ import annotations

from pathlib import Path

from stan_edge.model.bundle import Bundle, open_bundle
from stan_edge.model.contract import CalibrationRecord
from stan_export.seal import CARD, seal


def test_a_bundle_carries_a_card_of_what_it_is(tiny_bundle: Bundle) -> None:
    card = (tiny_bundle.folder / CARD).read_text()
    assert card.startswith("# tiny\n")
    assert "Not a medical device" in card
    assert ", ".join(tiny_bundle.contract.classes) in card
    for text in tiny_bundle.contract.provenance.values():
        assert text in card
    assert "Not calibrated on clips." in card


def test_calibration_is_told_with_what_it_was_chosen_on(bundle_copy: Path) -> None:
    figures = {
        "found": 3.0, "events": 4.0, "false_alarms": 1.0, "negative_minutes": 2.5, "false_alarms_per_hour": 24.0
    }  # fmt: skip
    record = CalibrationRecord(
        data="clips.csv",
        data_sha256="0" * 64,
        clips=9,
        windows=99,
        minutes=3.0,
        false_alarms_per_hour_target=1.0,
        nll_before=1.0,
        nll_after=0.5,
        figures={"falling": figures},
    )
    seal(bundle_copy, open_bundle(bundle_copy).contract.model_copy(update={"calibration": record}))
    card = (bundle_copy / CARD).read_text()
    assert "clips.csv, 9 clips, 99 windows" in card
    assert "| 3 of 4 | 1 in 2.5* |" in card  # more than the one an hour that was asked for
    assert "| - of - |" in card
