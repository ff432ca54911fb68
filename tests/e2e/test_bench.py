"""bench: what is measured, what is refused, and when it fails."""

from __future__ import annotations

import json
import sys

import cv2
import pytest

from stan_edge.cli.app import main
from tests.e2e.conftest import check_refusal


@pytest.fixture
def bench(monkeypatch, capsys):
    """Runs the command in this process; gives its exit code and what it wrote."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["stan-edge", "bench", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, *capsys.readouterr()

    return call


PURE = ("--pure", "--repeat", "4", "--backend", "onnxruntime", "--threads", "1")


@pytest.fixture
def earlier(bench, tmp_path):
    """A measurement, and a way to write it down `factor` times as slow."""
    status, out, err = bench(*PURE, "--json", tmp_path / "now.json")
    assert status == 0, (out, err)
    measured = json.loads((tmp_path / "now.json").read_text())

    def doctored(factor, **conditions):
        stages = {stage: [factor * value for value in values] for stage, values in measured["stages_ms"].items()}
        path = tmp_path / "earlier.json"
        changed = measured | {"stages_ms": stages, "conditions": measured["conditions"] | conditions}
        path.write_text(json.dumps(changed))
        return path

    return doctored


@pytest.mark.slow
def test_a_regression_is_exit_code_1_and_the_other_way_round_is_none(bench, earlier):
    status, out, err = bench(*PURE, "--against", earlier(0.01))
    assert status == 1
    assert "slower" in out
    assert "reproduces float64" in out
    assert "slower than" in err
    assert "explain" in err
    status, out, err = bench(*PURE, "--against", earlier(100))
    assert (status, err) == (0, "")
    assert "faster" in out


def test_other_conditions_are_refused_before_anything_is_measured(bench, earlier, monkeypatch):
    path = earlier(1, machine="a faster one")
    monkeypatch.setattr("stan_bench.pure.measure_pure", lambda *_, **__: pytest.fail("it was measured"))
    check_refusal(*bench(*PURE, "--against", path), "machine", "a faster one", "compare like with like")
    check_refusal(*bench("--fast", "--against", path), "mode", "pure", "fast")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--fast", "--pure"), ("--fast", "--pure", "one of them")),
        (("--compare", "--inference-only"), ("one of them",)),
        (("--fast", "--cameras", "2"), ("--cameras 2", "--fast")),
        (("film.mp4", "--pure"), ("--pure", "no video file")),
        (("--compare", "--against", "old.json"), ("--against", "--compare")),
        (("--json", "out.txt"), ("--json", ".json")),
        (("--markdown", "out.html"), ("--markdown", ".md")),
        (("--plot", "none/out.png"), ("--plot", "does not exist")),
        (("--against", "none.json"), ("none.json", "cannot be read")),
        (("none.mp4",), ("none.mp4", "does not exist")),
        (("0",), ("camera", "give bench a video file")),
        (("/dev/video0",), ("give bench a video file",)),
        (("--precision", "bf16", "--method", "vanilla", "--backend", "onnxruntime"), ("onnxruntime", "bf16")),
        (("--method", "guess"), ("guess", "choose one of them")),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(bench, args, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    check_refusal(*bench(*args), *words)
    assert list(tmp_path.iterdir()) == []


def test_the_password_of_a_camera_is_not_repeated(bench):
    _, _, err = bench("rtsp://eve:secret@10.0.0.8/live")
    assert "give bench a video file" in err
    assert "secret" not in err


def test_the_installed_command_measures_from_camera_to_event(stan_edge, tmp_path):
    files = {suffix: tmp_path / f"bench.{suffix}" for suffix in ("json", "md", "png")}
    ran = stan_edge("bench", "--json", files["json"], "--markdown", files["md"], "--plot", files["png"])
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md", "bench.png"]
    report = json.loads(files["json"].read_text())
    assert report["windows"]["due"] == 31
    assert report["frames"] == 200
    assert report["video_s"] == pytest.approx(7.96)
    assert report["wall_s"] >= 7.96
    for text in (ran.stdout, files["md"].read_text()):
        assert "camera to event" in text
        assert "reproduces" in text
    assert "--markdown" in files["md"].read_text()
    assert cv2.imread(str(files["png"])).shape[1] == 1280
