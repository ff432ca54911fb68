"""A configuration file and the service that is made of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from stan_edge.sources import demo_clip
from tests.e2e.conftest import COMMAND, records

WORKSTATION = Path(__file__).parents[2] / "deploy" / "workstation"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "room.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_check_config_says_what_would_run_and_changes_nothing(stan_edge, tmp_path):
    (tmp_path / "address").write_text("rtsp://nurse:geheim@10.0.0.7/stream\n")
    (tmp_path / "key").write_text("geheimer\n")
    path = write(
        tmp_path,
        *("[camera]", 'source_file = "address"', "wait = true", 'crop = "0,0,64,48"'),
        *("[model]", "hop_s = 0.4", "[journal]", 'folder = "journal"', "days = 7"),
        *("[webhook]", 'url = "https://host/path"', 'secret_file = "key"', "[http]", 'listen = "9464"'),
    )
    before = sorted(tmp_path.iterdir())
    ran = stan_edge("check-config", path)
    assert ran.returncode == 0, ran.stderr
    for words in ("rtsp://***@10.0.0.7/stream, part 0,0,64,48", "every 0.4 s", "7 days", "host, TLS, signed", "9464"):
        assert words in ran.stdout
    assert "geheim" not in ran.stdout + ran.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("lines", "where", "says"),
    [
        (['[camera]', 'source = "no.mp4"'], "line 2, camera.source", "There is no"),
        (['[camera]', 'source_file = "no"'], "line 2, camera.source_file", "cannot be read"),
        (['[camera]', 'source = "rtsp://"'], "line 2, camera.source", "not a camera address"),
        (['[camera]', 'source = 0', 'crop = "1,2"'], "line 3, camera.crop", "not x,y,width,height"),
        (['[camera]', 'source = 0', '[model]', 'bundle = "no"'], "line 4, model.bundle", "no model bundle"),
        (['[camera]', 'source = 0', '[model]', 'hop_s = 0.33'], "line 4, model.hop_s", "multiple of 0.1"),
        (['[camera]', 'source = 0', '[model]', 'target_class = "x"'], "line 4, model.target_class", "falling"),
        (['[camera]', 'source = 0', '[journal]', 'folder = "no/no"'], "line 4, journal.folder", "written"),
        (['[camera]', 'source = 0', '[mqtt]', '', 'url = "http://h"'], "line 5, mqtt.url", "address of a broker"),
        (['[camera]', 'source = 0', '[mqtt]', 'ca = "ca"'], "line 4, mqtt.ca", "no broker"),
        (['[camera]', 'source = 0', 'http.listen = "x"'], "line 3, camera.http", "unknown"),
        (['http.listen = "x"', '[camera]', 'source = 0'], "line 1, http.listen", "no address"),
        (['[outbox]', 'folder = "o"', '[camera]', 'source = 0'], "line 2, outbox.folder", "nothing to keep"),
        (['[webhook]', 'secret_file = "o"', '[camera]', "source = 0"], "line 2, webhook.secret_file", "to sign"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_with_its_line(refused, tmp_path, lines, where, says):
    path = write(tmp_path, *lines)
    assert refused("check-config", path, says=[says]).startswith(f"stan-edge: {path}, {where}: ")
    assert refused("run", "--config", path, "--check", says=[says]).startswith(f"stan-edge: {path}, {where}: ")


def test_a_file_without_a_camera_needs_one_on_the_command_line(refused, stan_edge, tmp_path):
    path = write(tmp_path, "[model]", "hop_s = 0.4")
    refused("check-config", path, says=["camera.source"])
    assert "demo.mp4" in stan_edge("run", "--config", path, "--demo", "--check").stdout


def test_the_command_line_wins_then_the_environment_then_the_file(stan_edge, refused, monkeypatch, tmp_path):
    path = write(
        tmp_path, "[camera]", 'source = "no.mp4"', "[model]", "hop_s = 0.5", "[webhook]", 'url = "https://file"'
    )
    monkeypatch.setenv("STAN_EDGE_WEBHOOK", "https://environment")
    told = stan_edge("run", "--config", path, "--demo", "--hop", "0.4", "--check").stdout
    for words in ("demo.mp4", "every 0.4 s", "environment"):
        assert words in told
    # what the file did not say is not blamed on it
    assert refused("run", "--config", path, "--demo", "--hop", "0.33", "--check").startswith("stan-edge: --hop: 0.33 s")


def test_run_does_what_the_file_says_and_tells_the_service_manager(tmp_path):
    shutil.copy(demo_clip(), tmp_path / "film.mp4")
    path = write(
        tmp_path,
        *("[camera]", 'source = "film.mp4"', 'crop = "0,0,320,240"', "[model]", "hop_s = 0.5"),
        *("[journal]", 'folder = "journal"', "[log]", "json_lines = true"),
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        command = [COMMAND, *unit()["ExecStart"].split()[1:-1], str(path)]
        ran = subprocess.run(
            command,
            env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            cwd="/",
        )
        assert "READY=1" in manager.recv(4096).decode()
    windows = [record for record in records(ran) if record["type"] == "window"]
    assert [round(window["t_start_s"], 3) for window in windows[:3]] == [0, 0.5, 1]
    assert (tmp_path / "journal" / "journal.db").stat().st_size > 0


def unit() -> dict[str, str]:
    """The options of the unit; of those given twice the last."""
    text = (WORKSTATION / "stan-edge@.service").read_text()
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z]\w*=", line))


def test_the_example_configuration_can_run(stan_edge, tmp_path):
    example = (WORKSTATION / "room.toml").read_text().replace("/var/lib/stan-edge/room", str(tmp_path))
    path = write(tmp_path, example)
    ran = stan_edge("check-config", path)
    assert ran.returncode == 0, ran.stderr
    assert "/dev/video0" in ran.stdout


def test_the_schema_is_printed_for_editors(stan_edge):
    ran = stan_edge("check-config", "--schema")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert {"camera", "pictures", "log"} <= set(json.loads(ran.stdout)["properties"])


def test_systemd_accepts_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt install systemd)")
    text = (WORKSTATION / "stan-edge@.service").read_text().replace("/opt/stan-edge/current/bin/stan-edge", COMMAND)
    (tmp_path / "stan-edge@room.service").write_text(text)
    ran = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "stan-edge@room.service"], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")  # an unknown option is a line on stderr


def test_shellcheck_finds_nothing_in_the_scripts():
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (Debian: apt install shellcheck)")
    ran = subprocess.run(["shellcheck", *sorted(WORKSTATION.glob("*.sh"))], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
