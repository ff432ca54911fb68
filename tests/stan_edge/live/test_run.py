"""A run from a program: one configuration, no command line."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from stan_edge.config import RunConfig
from stan_edge.errors import BundleError, ConfigError, SourceNotFoundError, StanEdgeError
from stan_edge.journal.reader import read_rows
from stan_edge.live.check import check
from stan_edge.live.run import run
from stan_edge.records import End
from stan_edge.sinks.base import Sink
from stan_edge.sources import demo_clip
from stan_train.synthetic.dataset import write_video


class Kept(Sink):
    def __init__(self) -> None:
        self.records = []

    def record(self, record) -> None:
        self.records.append(record)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "film.mkv"
    write_video(path, rng.integers(0, 255, (30, 48, 64, 3), np.uint8), 10.0)
    return path


def test_a_program_runs_a_recording_with_three_lines(film):
    (end,) = run(RunConfig(cameras=[{"source": str(film)}]))
    assert (end.reason, end.failed, end.frames, end.camera) == ("end_of_stream", False, 30, str(film))
    assert end.windows.due >= 1


def test_every_section_is_used(film, tiny_bundle, tmp_path):
    printed = []

    def output(feeds, _contract, method):
        assert method == "vanilla"
        printed.extend(Kept() for _ in feeds)
        return printed

    config = RunConfig(
        cameras=[
            {"source": str(film), "name": "a", "person": False, "crop": "0,0,32,32"},
            {"source": str(film), "name": "b", "person": False},
        ],
        model={"bundle": tiny_bundle.folder, "method": "vanilla", "hop_s": 0.5, "target_class": "falling"},
        journal={"folder": tmp_path / "journal"},
        pictures={"timeline": tmp_path / "seen.png", "privacy": "blur"},
    )
    ends = run(config, output=output)
    assert [end.camera for end in ends] == ["a", "b"]
    for kept, crop in zip(printed, ("0,0,32,32", None), strict=True):
        start, *_, end = kept.records
        assert (start.hop_s, start.method, start.crop, start.person) == (0.5, "vanilla", crop, False)
        assert isinstance(end, End)
    stored = [json.loads(row.body) for row in read_rows(tmp_path / "journal", "records").rows]
    assert {record["camera"] for record in stored} == {"a", "b"}
    assert {path.name for path in tmp_path.glob("*.png")} == {"seen-a.png", "seen-b.png"}


def test_stop_ends_it_and_what_was_read_is_finished(film):
    stop = threading.Event()
    stop.set()
    (end,) = run(RunConfig(cameras=[{"source": str(film), "person": False}]), stop=stop)
    assert (end.reason, end.frames) == ("stopped", 0)


@pytest.mark.parametrize(
    ("sections", "kind", "field"),
    [
        ({"cameras": [{"source": "no.mp4"}]}, SourceNotFoundError, "cameras.0.source"),
        ({"cameras": [{"source": 0}, {"source_file": "no"}]}, ConfigError, "cameras.1.source_file"),
        ({"cameras": [{"source": 0, "name": "a"}, {"source": "rtsp://"}]}, ConfigError, "cameras.1.source"),
        ({"cameras": [{"source": 0}, {"source": 1, "crop": "1"}]}, ConfigError, "cameras.1.crop"),
        ({"cameras": [{"source": str(demo_clip()), "fps": 5}]}, ConfigError, "cameras.0.fps"),
        ({"model": {"bundle": "no"}}, BundleError, "model.bundle"),
        ({"model": {"hop_s": 0.33}}, ConfigError, "model.hop_s"),
        ({"model": {"target_class": "background"}}, ConfigError, "model.target_class"),
        ({"pictures": {"video": "no/seen.mp4"}}, ConfigError, "pictures.video"),
        ({"pictures": {"timeline": "seen.gif"}}, ConfigError, "pictures.timeline"),
        ({"mqtt": {"url": "http://host"}}, ConfigError, "mqtt.url"),
        ({"mqtt": {"url": "mqtt://anna@host", "password_file": "no"}}, ConfigError, "mqtt.password_file"),
        ({"webhook": {"url": "https://host", "secret_file": "no"}}, ConfigError, "webhook.secret_file"),
        ({"http": {"listen": "nowhere"}}, ConfigError, "http.listen"),
    ],
)
def test_an_error_says_which_field_it_is_about(tmp_path, monkeypatch, sections, kind, field):
    monkeypatch.chdir(tmp_path)
    config = RunConfig(**{"cameras": [{"source": str(demo_clip()), "person": False}]} | sections)
    with pytest.raises(StanEdgeError) as refused:
        run(config)
    assert isinstance(refused.value, kind)
    assert refused.value.field == field
    assert not list(tmp_path.iterdir())


def test_a_check_opens_no_camera_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = RunConfig(
        cameras=[{"source": "rtsp://nurse:geheim@10.0.0.7/a", "name": "door", "wait": True, "person": False}],
        journal={"folder": "journal"},
        outbox={"folder": "a/b/outbox"},
        webhook={"url": "https://host/path"},
    )
    said = check(config)
    for words in ("door: rtsp://***@10.0.0.7/a; waited for", "journal, 30 days, 2000 MB", "host, TLS, not signed"):
        assert words in said
    assert "geheim" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sections", "field"),
    [
        ({"cameras": [{"source": 0}, {"source": "no.mp4"}]}, "cameras.1.source"),
        ({"journal": {"folder": "no/no"}}, "journal.folder"),
        ({"journal": {"folder": "file"}}, "journal.folder"),
        ({"outbox": {"folder": "file"}, "webhook": {"url": "https://host"}}, "outbox.folder"),
    ],
)
def test_a_check_finds_what_would_not_start(tmp_path, monkeypatch, sections, field):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StanEdgeError) as refused:
        check(RunConfig(**{"cameras": [{"source": 0}]} | sections))
    assert refused.value.field == field
