from __future__ import annotations

import json
from pathlib import Path

import pytest

from stan_edge.errors import BundleError, ConfigError, ContractError, DigestError
from stan_edge.model.bundle import DIGESTS, Bundle, methods_of, open_bundle, write_digests
from stan_edge.model.contract import read_contract, write_contract

EXPORTED = ("contract.json", "explain-gradcam.onnx", "forward.onnx", "parity.npz", "weights.bin")


def test_an_exported_bundle_opens_and_has_one_digest(tiny_bundle: Bundle, bundle_copy: Path) -> None:
    again = open_bundle(bundle_copy)
    assert again.digest == tiny_bundle.digest
    assert again.digest.startswith("sha256:")
    assert methods_of(again) == ("gradcam", "staa-grad", "vanilla", "smoothgrad", "streaming", "staa")
    assert all(again.explain(method).is_file() for method in methods_of(again))


def test_a_folder_that_is_not_there_says_how_to_get_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no model bundle at .*nowhere; `stan-edge export"):
        open_bundle(tmp_path / "nowhere")


def test_a_file_is_not_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match="no model bundle"):
        open_bundle(tmp_path / "model.onnx")


def test_any_folder_is_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(DigestError, match="is not a model bundle"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("name", EXPORTED)
def test_a_missing_file_is_named(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).unlink()
    with pytest.raises(DigestError, match=f"{name} is missing"):
        open_bundle(bundle_copy)


@pytest.mark.parametrize("name", EXPORTED)
def test_a_single_changed_byte_is_noticed(bundle_copy: Path, name: str) -> None:
    content = bytearray((bundle_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_copy / name).write_bytes(content)
    with pytest.raises(DigestError, match=f"{name} is not the one that was exported"):
        open_bundle(bundle_copy)


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', '{"contract.json": 5}', "\x00", "[" * 100_000])
def test_a_damaged_list_of_digests_is_refused(bundle_copy: Path, content: str) -> None:
    (bundle_copy / DIGESTS).write_text(content)
    with pytest.raises(DigestError, match=r"digests\.json"):
        open_bundle(bundle_copy)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/file", ".."])
def test_a_list_of_digests_cannot_point_outside_the_bundle(bundle_copy: Path, name: str) -> None:
    (bundle_copy.parent / "secret").write_text("secret")
    recorded = json.loads((bundle_copy / DIGESTS).read_text())
    (bundle_copy / DIGESTS).write_text(json.dumps(recorded | {name: "0" * 64}))
    with pytest.raises(DigestError) as refused:
        open_bundle(bundle_copy)
    assert "not the one that was exported" not in str(refused.value)


@pytest.mark.parametrize("name", ["contract.json", "forward.onnx", "parity.npz", "explain-staa.onnx"])
def test_every_file_that_is_used_must_have_a_digest(bundle_copy: Path, name: str) -> None:
    recorded = json.loads((bundle_copy / DIGESTS).read_text())
    del recorded[name]
    (bundle_copy / DIGESTS).write_text(json.dumps(recorded))
    with pytest.raises(ContractError, match=f"does not list {name}"):
        open_bundle(bundle_copy)


def test_a_method_that_was_not_exported_is_refused_with_the_ones_there_are(bundle_copy: Path) -> None:
    contract = read_contract(bundle_copy / "contract.json")
    only = {"gradcam": contract.methods["gradcam"]}
    write_contract(bundle_copy / "contract.json", contract.model_copy(update={"methods": only}))
    write_digests(bundle_copy)
    with pytest.raises(ConfigError, match=r"Method vanilla: model tiny explains by gradcam"):
        open_bundle(bundle_copy).explain("vanilla")
