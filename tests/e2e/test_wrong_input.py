"""Bad input gets one clear sentence, exit 2, and nothing half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stan_edge.bundle import shipped_bundle, write_digests
from tests.e2e.conftest import write_video


def refused(ran, *words: str) -> None:
    assert ran.returncode == 2, (ran.returncode, ran.stdout, ran.stderr)
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    for word in words:
        assert word in ran.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["no-such-file.mp4"], ["no-such-file.mp4"]),
        (["--camera", "77"], ["77"]),
        (["--camera", "/dev/video77"], ["/dev/video77"]),
        ([], ["--demo"]),
        (["--demo", "--camera", "0"], ["one of"]),
        (["--demo", "--backend", "tpu"], ["tpu", "openvino"]),
        (["--demo", "--backend", "onnxruntime", "--precision", "bf16"], ["onnxruntime", "bf16"]),
        (["--demo", "--precision", "int3"], ["int3"]),
        (["--demo", "--method", "lime"], ["lime", "vanilla"]),
        (["--demo", "--hop", "0.25"], ["--hop", "0.1"]),
        (["--demo", "--crop", "1,2,3"], ["--crop"]),
        (["--demo", "--crop", "0,0,9000,9000"], ["9000", "640"]),
        (["--demo", "--model", "no-such-bundle"], ["no-such-bundle"]),
    ],
)
def test_wrong_arguments(stan_edge, args, words):
    refused(stan_edge("run", "--json", *args), *words)


def test_a_file_that_is_no_video_or_has_no_frames(stan_edge, tmp_path):
    text = tmp_path / "notes.mp4"
    text.write_text("not a video")
    refused(stan_edge("run", text, "--save-video", tmp_path / "seen.mp4"), "notes.mp4")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    refused(stan_edge("run", empty, "--save-timeline", tmp_path / "t.png"), "empty.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.mp4", "notes.mp4"]


def test_outputs_that_cannot_be_written(stan_edge, tmp_path):
    refused(stan_edge("run", "--demo", "--save-video", tmp_path / "no" / "seen.mp4"), "--save-video")
    refused(stan_edge("run", "--demo", "--save-video", tmp_path / "seen.xyz"), ".mp4")
    refused(stan_edge("run", "--demo", "--save-timeline", tmp_path / "t.gif"), ".png")


@pytest.fixture
def bundle(tmp_path) -> Path:
    return Path(shutil.copytree(shipped_bundle(), tmp_path / "bundle"))


def test_a_bundle_with_a_missing_or_changed_file(stan_edge, bundle):
    weights = bundle / "weights.bin"
    data = bytearray(weights.read_bytes())
    data[1000] ^= 1
    weights.write_bytes(data)
    refused(stan_edge("run", "--demo", "--model", bundle), "weights.bin", "not the one that was exported")
    weights.unlink()
    refused(stan_edge("verify", bundle), "weights.bin", "missing")


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [("schema_version", 99, "99"), ("hop_s", "fast", "hop_s"), ("classes", None, "classes"), ("extra", 1, "extra")],
)
def test_a_contract_that_cannot_be_meant(stan_edge, bundle, field, value, word):
    path = bundle / "contract.json"
    contract = json.loads(path.read_text())
    contract[field] = value
    path.write_text(json.dumps(contract))
    write_digests(bundle)
    refused(stan_edge("run", "--demo", "--model", bundle), "contract.json", word)


def test_a_bundle_whose_gradients_are_not_its_recorded_ones(stan_edge, bundle):
    with np.load(bundle / "parity.npz") as recorded:
        arrays = dict(recorded)
    arrays["scores_vanilla"] *= 1.001
    np.savez(bundle / "parity.npz", **arrays)
    write_digests(bundle)
    refused(stan_edge("run", "--demo", "--model", bundle), "vanilla", "frame scores")


def test_weights_that_do_not_fit(stan_edge, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "other.safetensors"
    safetensors.save_file({"conv.weight": np.zeros((3, 3), np.float32)}, path)
    refused(stan_edge("export", path, "-o", tmp_path / "out"), "other.safetensors")
    refused(stan_edge("train", "-o", tmp_path / "run", "--init", path, "--clips", "10"), "missing", "conv.weight")
    refused(stan_edge("export", tmp_path / "none.safetensors", "-o", tmp_path / "out"), "none.safetensors")
    assert not (tmp_path / "out").exists()


def test_a_display_without_a_screen(stan_edge, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    refused(stan_edge("run", "--demo", "--display"), "--display")


def test_a_crop_is_refused_before_anything_is_written(stan_edge, tmp_path):
    video = write_video(tmp_path / "small.mkv", [np.zeros((48, 64, 3), np.uint8)] * 5)
    refused(stan_edge("run", video, "--crop", "0,0,65,48", "--save-video", tmp_path / "seen.mp4"), "64")
    assert not list(tmp_path.glob("seen*"))
