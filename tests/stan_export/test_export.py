from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from stan_edge.errors import CheckpointError, ConfigError
from stan_edge.files import file_digest
from stan_edge.model.bundle import Bundle, graph_file, open_bundle
from stan_edge.model.contract import FORMS, METHODS, Contract
from stan_export.export import export
from stan_export.seal import seal
from stan_train.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def uncalibrated(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("uncalibrated") / "tiny"
    export(tiny_checkpoint, folder, None)
    return open_bundle(folder)


def test_names_preprocessing_and_provenance_travel_with_the_weights(tiny_bundle: Bundle, tiny_checkpoint: Path) -> None:
    checkpoint, contract = load_checkpoint(tiny_checkpoint), tiny_bundle.contract
    assert contract.classes == checkpoint.classes
    assert contract.background == checkpoint.background
    assert contract.alarms == checkpoint.alarms
    assert contract.input == checkpoint.input
    assert contract.name == checkpoint.name
    assert contract.provenance["data"] == "noise"
    assert contract.provenance["checkpoint_sha256"] == file_digest(tiny_checkpoint)
    assert contract.provenance["exported_with"].startswith("stan-edge ")
    assert contract.hop_s == pytest.approx(2 * contract.input.tick_s)


def test_calibration_gives_every_method_a_scale_and_says_how_good_its_threshold_is(tiny_bundle: Bundle) -> None:
    for method in METHODS:
        spec = tiny_bundle.contract.methods[method]
        assert spec.scale is not None
        assert "where it was chosen (6 windows)" in tiny_bundle.contract.provenance[f"calibration_{method}"]


def test_without_calibration_no_method_claims_a_scale(uncalibrated: Bundle) -> None:
    assert {spec.scale for spec in uncalibrated.contract.methods.values()} == {None}


def untimed(contract: Contract) -> Contract:
    """Without what was measured in milliseconds."""
    kept = {key: text for key, text in contract.provenance.items() if not key.startswith("forms_")}
    return contract.model_copy(update={"forms": {}, "provenance": kept})


def test_every_engine_gets_the_form_that_was_fastest(uncalibrated: Bundle) -> None:
    contract = uncalibrated.contract
    assert {"openvino f32", "onnxruntime f32"} <= set(contract.forms)
    for engine, form in contract.forms.items():
        figures = contract.provenance[f"forms_{engine}"].split(", ")
        times_ms = {name: float(spent) for name, spent, _ in (figure.split(" ") for figure in figures)}
        assert set(times_ms) == set(FORMS)
        assert times_ms[form] == min(times_ms.values())


def test_calibration_windows_beside_the_checkpoint_are_used(
    tiny_checkpoint: Path, calibration: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stan_export.export.measure_forms", lambda _bundle: {})  # as for the bundle compared with
    monkeypatch.setattr("stan_export.export.METHODS", ("gradcam",))
    shutil.copy(tiny_checkpoint, tmp_path / "checkpoint.safetensors")
    shutil.copy(calibration, tmp_path / "calibration.npz")
    export(tmp_path / "checkpoint.safetensors", tmp_path / "bundle", None)
    found, expected = open_bundle(tmp_path / "bundle").contract, tiny_bundle.contract
    assert found.methods == {"gradcam": expected.methods["gradcam"]}
    assert found.provenance["calibration_gradcam"] == expected.provenance["calibration_gradcam"]


def test_a_method_that_an_earlier_bundle_lacks_is_exported_uncalibrated(
    tiny_checkpoint: Path, tiny_bundle: Bundle, bundle_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stan_export.export.measure_forms", lambda _bundle: {})
    methods = {name: spec for name, spec in tiny_bundle.contract.methods.items() if name != "smoothgrad"}
    seal(bundle_copy, tiny_bundle.contract.model_copy(update={"methods": methods}))
    export(tiny_checkpoint, tmp_path / "new", bundle_copy)
    found = open_bundle(tmp_path / "new").contract.methods
    assert {name: spec for name, spec in found.items() if name != "smoothgrad"} == methods
    assert found["smoothgrad"].scale is None


def test_the_graphs_share_one_copy_of_the_weights(tiny_bundle: Bundle, tiny_checkpoint: Path) -> None:
    files = {path.name: path.stat().st_size for path in tiny_bundle.folder.iterdir()}
    graphs = {graph_file(method, form) for form in FORMS for method in (None, *METHODS)}
    assert set(files) == graphs | {"card.md", "contract.json", "digests.json", "parity.npz", "weights.bin"}
    assert files["weights.bin"] < 2 * tiny_checkpoint.stat().st_size
    assert all(files[graph] < 250_000 for graph in graphs)


def test_what_exists_is_not_overwritten_unless_forced(
    tiny_checkpoint: Path, calibration: Path, bundle_copy: Path, uncalibrated: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stan_export.export.measure_forms", lambda _bundle: {})
    with pytest.raises(ConfigError, match="exists already; give another folder or --force"):
        export(tiny_checkpoint, bundle_copy, calibration)
    export(tiny_checkpoint, bundle_copy, None, force=True)
    assert untimed(open_bundle(bundle_copy).contract) == untimed(uncalibrated.contract)


def test_force_never_deletes_what_is_no_bundle(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    (tmp_path / "notes.txt").write_text("more work")
    for out in (tmp_path / "thesis", tmp_path / "notes.txt", tmp_path):
        with pytest.raises(ConfigError, match="is no model bundle"):
            export(tiny_checkpoint, out, None, force=True)
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "years of work"
    assert (tmp_path / "notes.txt").exists()


def test_a_failed_export_leaves_nothing_behind_and_the_old_bundle_in_place(
    tiny_checkpoint: Path, bundle_copy: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_space(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", out_of_space)
    for out in (tmp_path / "new", bundle_copy):
        with pytest.raises(OSError, match="No space"):
            export(tiny_checkpoint, out, None, force=True)
    assert [path.name for path in tmp_path.iterdir()] == [bundle_copy.name]
    assert open_bundle(bundle_copy).digest == tiny_bundle.digest


def test_a_calibration_for_another_model_is_refused_and_nothing_is_written(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "windows.npz"
    np.savez(
        path, frames=np.zeros((2, 20, 112, 112, 3), np.uint8), labels=np.zeros(2, int), important=np.zeros((2, 20))
    )
    with pytest.raises(ConfigError, match="--calibration"):
        export(tiny_checkpoint, tmp_path / "bundle", path)
    assert [file.name for file in tmp_path.iterdir()] == ["windows.npz"]


def test_a_checkpoint_or_folder_that_is_not_there_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        export(tmp_path / "nowhere.safetensors", tmp_path / "bundle", None)
    with pytest.raises(ConfigError, match=r"-o .*: the folder .* does not exist"):
        export(tiny_checkpoint, tmp_path / "no" / "bundle", None)
    assert list(tmp_path.iterdir()) == []
