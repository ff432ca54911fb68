from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from stan_bench.resources import ResourceWatch, board_power_w, look_at_gpus, temperatures_c

SAID = """NVIDIA H200, 1024, 118.53, 41
NVIDIA H200, 2048, [N/A], 39
"""


def test_work_is_seen_and_what_lies_between_is_not() -> None:
    watch = ResourceWatch()
    with watch.measuring():
        ends_s = time.process_time() + 0.3
        while time.process_time() < ends_s:
            pass
    until_s = time.process_time() + 0.3
    while time.process_time() < until_s:
        pass
    with watch.measuring():
        time.sleep(0.3)
    seen = watch.resources()
    assert 0 < seen.cpu_share <= 1.05
    assert seen.machine_cpu_share <= 1.05
    spent_s = seen.cpu_share * (psutil.cpu_count() or 1) * watch.wall_s
    assert spent_s == pytest.approx(0.3, abs=0.15)


def test_memory_and_threads_are_those_at_most() -> None:
    watch, ended = ResourceWatch(), threading.Event()
    helpers = [threading.Thread(target=ended.wait) for _ in range(4)]
    for helper in helpers:
        helper.start()
    with watch.measuring():
        held = bytearray(os.urandom(1 << 20)) * 100
        time.sleep(0.5)
        del held
    ended.set()
    seen = watch.resources()
    assert seen.threads >= 5
    assert seen.rss_peak_mib >= seen.rss_mib > 0


def test_what_cannot_be_read_is_none() -> None:
    watch = ResourceWatch()
    with watch.measuring():
        pass
    seen = watch.resources()
    assert (seen.temperature_c is None) == (not temperatures_c())
    assert (seen.power_w is None) == (not board_power_w())
    assert (seen.gpus is None) == (not look_at_gpus())


def test_power_sensors_of_the_board_are_added_up(tmp_path: Path) -> None:
    for number, text in enumerate(("5_250_000".replace("_", ""), "1000000", "", "no number")):
        sensor = tmp_path / f"hwmon{number}"
        sensor.mkdir()
        (sensor / "power1_input").write_text(text)
    assert board_power_w(tmp_path) == [pytest.approx(6.25)]
    assert board_power_w(tmp_path / "none") == []


def test_nvidia_smi_is_read_as_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{SAID}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    watch = ResourceWatch()
    with watch.measuring():
        time.sleep(0.1)
    gpus = watch.resources().gpus
    assert gpus is not None
    assert [(gpu.name, gpu.memory_mib, gpu.power_w, gpu.temperature_c) for gpu in gpus] == [
        ("NVIDIA H200", 1024.0, 118.53, 41.0),
        ("NVIDIA H200", 2048.0, None, 39.0),
    ]


def test_an_nvidia_smi_that_fails_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert look_at_gpus() == []
