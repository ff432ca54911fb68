"""`stan-edge explain`: a recording as page, picture or table."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from tests.e2e.conftest import write_video


@pytest.mark.slow
def test_the_demo_as_page_picture_and_table(stan_edge, tmp_path):
    from stan_edge.sources import demo_clip

    for name, options in (("film.png", ()), ("film.html", ("--target-class", "headache")), ("film.json", ())):
        out = tmp_path / name
        ran = stan_edge("explain", demo_clip(), "-o", out, *options)
        assert ran.returncode == 0, ran.stderr
        assert f"written: {out}" in ran.stdout
    assert cv2.imread(str(tmp_path / "film.png")).shape[1] == 1280
    assert "“headache”" in (tmp_path / "film.html").read_text()
    table = json.loads((tmp_path / "film.json").read_text())
    assert set(table["frames"][0]["methods"]) == {"gradcam", "staa-grad"}
    (event,) = [event for event in table["events"] if event["label"] == "falling"]
    assert 1.5 < event["t_start_s"] < event["t_end_s"] < 6.5
    assert {path.name for path in tmp_path.iterdir()} == {"film.png", "film.html", "film.json"}


@pytest.mark.parametrize(
    ("video", "options", "says"),
    [
        ("film.mkv", ("-o", "film.pdf"), "a name that ends in .html, .png, .json"),
        ("film.mkv", ("-o", "none/film.png"), "does not exist"),
        ("film.mkv", ("-o", "film.png", "--methods", "shap"), "Method shap"),
        (
            "film.mkv",
            ("-o", "film.png", "--privacy", "mosaic"),
            "--privacy: 'mosaic' is not one of none, blur, silhouette",
        ),
        ("film.mkv", ("-o", "film.png", "--target-class", "background"), "is not one of falling"),
        ("typo.mkv", ("-o", "film.png"), "typo.mkv does not exist"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(refused, tmp_path, monkeypatch, video, options, says):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "film.mkv", [np.zeros((48, 64, 3), np.uint8)] * 5)
    refused("explain", video, *options, says=[says])
    assert [path.name for path in tmp_path.iterdir()] == ["film.mkv"]


@pytest.mark.slow
def test_people_are_hidden_when_that_is_asked_for_and_only_then(stan_edge, tmp_path):
    from stan_edge.reports.charts import LINE_PX, MARGIN_PX
    from stan_edge.reports.recording_charts import KEY_FRAME_PX, LEFT_PX
    from stan_edge.sources import demo_clip

    pictures, labels = {}, {}
    for privacy in ("none", "blur", "silhouette"):
        out = tmp_path / f"{privacy}.png"
        ran = stan_edge("explain", demo_clip(), "-o", out, "--methods", "gradcam", "--privacy", privacy)
        assert ran.returncode == 0, ran.stderr
        pictures[privacy], labels[privacy] = cv2.imread(str(out)), ran.stdout.split("written")[0]
    assert labels["none"] == labels["blur"] == labels["silhouette"]
    assert len({picture.shape for picture in pictures.values()}) == 1
    tracks = slice(0, 240)
    bottom = -(LINE_PX + MARGIN_PX)
    shown = slice(bottom - KEY_FRAME_PX // 2, bottom), slice(LEFT_PX, LEFT_PX + KEY_FRAME_PX)  # in the first key frame
    assert np.array_equal(pictures["blur"][tracks], pictures["none"][tracks])
    assert np.array_equal(pictures["silhouette"][tracks], pictures["none"][tracks])
    details = {name: cv2.Laplacian(picture[shown], cv2.CV_32F).var() for name, picture in pictures.items()}
    assert details["blur"] < 0.5 * details["none"]
    flat = {name: (np.abs(picture[shown].astype(int) - 96) <= 1).all(2).mean() for name, picture in pictures.items()}
    assert flat["silhouette"] > 0.2
    assert flat["none"] < 0.02
