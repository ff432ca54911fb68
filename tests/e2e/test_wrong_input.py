"""Bad input gets one clear sentence, exit 2, and nothing half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy as safetensors

from stan_edge.model.bundle import shipped_bundle, write_digests
from stan_edge.sources import VideoFile
from stan_train.manifest import write_manifest
from tests.e2e.conftest import check_refusal, write_video


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["no-such-file.mp4"], ["no-such-file.mp4"]),
        (["--camera", "77"], ["77"]),
        (["--camera", "/dev/video77"], ["/dev/video77"]),
        ([], ["--demo"]),
        (["--demo", "--camera", "0"], ["one of"]),
        (["--demo", "--backend", "tpu"], ["--backend", "openvino"]),
        (["--demo", "--backend", "onnxruntime", "--precision", "bf16"], ["onnxruntime", "bf16"]),
        (["--demo", "--precision", "int3"], ["--precision", "bf16"]),
        (["--demo", "--method", "lime"], ["--method", "vanilla"]),
        (["--demo", "--hop", "0.25"], ["--hop", "0.1"]),
        (["--demo", "--crop", "1,2,3"], ["--crop"]),
        (["--demo", "--crop", "0,0,9000,9000"], ["9000", "640"]),
        (["--demo", "--model", "no-such-bundle"], ["--model", "no-such-bundle"]),
    ],
)
def test_wrong_arguments(refused, args, words):
    refused("run", "--json", *args, says=words)


@pytest.mark.slow
def test_the_installed_command_refuses_with_every_verb(stan_edge, make_clip, bundle, tmp_path):
    (bundle / "weights.bin").unlink()
    weights = tmp_path / "other.safetensors"
    safetensors.save_file({"conv.weight": np.zeros((3, 3), np.float32)}, weights)
    clips = tmp_path / "clips.csv"
    drawn = [
        make_clip(tmp_path / f"{label}{person}.mp4", [60] * 24, label, group=person)
        for label in ("background", "falling")
        for person in "ab"
    ]
    write_manifest(clips, drawn)
    for args, words in (
        (("run", "no-such-file.mp4"), ("no-such-file.mp4",)),
        (("bench", "0"), ("camera",)),
        (("verify", bundle), ("weights.bin", "missing")),
        (("export", tmp_path / "none.safetensors", "-o", tmp_path / "out"), ("none.safetensors",)),
        (("train", "-o", tmp_path / "run", "--init", weights, "--data", clips), ("missing", "conv.weight")),
    ):
        ran = stan_edge(*args, timeout_s=300)
        check_refusal(ran.returncode, ran.stdout, ran.stderr, *words)


def test_a_wrong_file_is_refused_before_the_engine_starts(refused, monkeypatch):
    monkeypatch.setattr(
        "stan_edge.backends.registry.open_backend", lambda *_, **__: pytest.fail("the engine was started")
    )
    refused("run", "no-such-file.mp4", says=["no-such-file.mp4"])


def test_a_file_is_closed_when_what_comes_after_it_fails(refused, monkeypatch):
    closed = []
    monkeypatch.setattr(VideoFile, "close", lambda self: closed.append(self.name))
    refused("run", "--demo", "--backend", "onnxruntime", "--precision", "bf16", says=["bf16"])
    assert len(closed) == 1


def test_a_file_that_is_no_video_or_has_no_frames(refused, tmp_path):
    text = tmp_path / "notes.mp4"
    text.write_text("not a video")
    refused("run", text, "--save-video", tmp_path / "seen.mp4", says=["notes.mp4"])
    empty = tmp_path / "empty.mp4"
    empty.touch()
    refused("run", empty, "--save-timeline", tmp_path / "t.png", says=["empty.mp4"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.mp4", "notes.mp4"]


def test_outputs_that_cannot_be_written(refused, tmp_path):
    refused("run", "--demo", "--save-video", tmp_path / "no" / "seen.mp4", says=["--save-video"])
    refused("run", "--demo", "--save-video", tmp_path / "seen.xyz", says=[".mp4"])
    refused("run", "--demo", "--save-timeline", tmp_path / "t.gif", says=[".png"])


@pytest.fixture
def bundle(tmp_path) -> Path:
    return Path(shutil.copytree(shipped_bundle(), tmp_path / "bundle"))


def test_a_bundle_with_a_changed_file(refused, bundle):
    weights = bundle / "weights.bin"
    data = bytearray(weights.read_bytes())
    data[1000] ^= 1
    weights.write_bytes(data)
    refused("run", "--demo", "--model", bundle, says=["weights.bin", "not the one that was exported"])


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [("schema_version", 99, "99"), ("hop_s", "fast", "hop_s"), ("classes", None, "classes"), ("extra", 1, "extra")],
)
def test_a_contract_that_cannot_be_meant(refused, bundle, field, value, word):
    path = bundle / "contract.json"
    contract = json.loads(path.read_text())
    contract[field] = value
    path.write_text(json.dumps(contract))
    write_digests(bundle)
    refused("run", "--demo", "--model", bundle, says=["contract.json", word])


def test_a_bundle_whose_gradients_are_not_its_recorded_ones(refused, bundle):
    with np.load(bundle / "parity.npz") as recorded:
        arrays = dict(recorded)
    arrays["scores_gradcam"] *= 1.001
    np.savez(bundle / "parity.npz", **arrays)
    write_digests(bundle)
    refused("run", "--demo", "--model", bundle, says=["gradcam", "frame scores"])


def test_weights_that_do_not_fit(refused, tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.save_file({"conv.weight": np.zeros((3, 3), np.float32)}, path)
    refused("export", path, "-o", tmp_path / "out", says=["other.safetensors"])
    assert not (tmp_path / "out").exists()


def test_a_display_without_a_screen(refused, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    refused("run", "--demo", "--display", says=["--display"])


def test_a_crop_is_refused_before_anything_is_written(refused, tmp_path):
    video = write_video(tmp_path / "small.mkv", [np.zeros((48, 64, 3), np.uint8)] * 5)
    refused("run", video, "--crop", "0,0,65,48", "--save-video", tmp_path / "seen.mp4", says=["64"])
    assert not list(tmp_path.glob("seen*"))
