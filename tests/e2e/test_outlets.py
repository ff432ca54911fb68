"""What `stan-edge run` tells other systems, with a real broker, receiver, scraper and service manager."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import standardwebhooks

from bench.faults.mosquitto import PROGRAM, Listener, Mosquitto, free_port
from stan_edge.sources import demo_clip
from tests.e2e.conftest import COMMAND, records
from tests.stan_edge.sinks.conftest import Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt install mosquitto)")
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.shutdown()
    server.server_close()


def ask(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def without(event: dict, *names: str) -> dict:
    return {name: value for name, value in event.items() if name not in names}


def test_a_live_run_tells_everybody_the_same(mosquitto, receiver, tmp_path):
    receiver.plan = [503]
    (tmp_path / "secret").write_text(SECRET + "\n")
    notify = tmp_path / "notify"
    port, listener = free_port(), Listener(mosquitto.port)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, (tmp_path / "records").open("w") as lines:
        manager.bind(str(notify))
        manager.settimeout(0.01)
        process = subprocess.Popen(
            [
                *(COMMAND, "run", "demo.mp4", "--realtime", "--json"),
                *("--mqtt", f"mqtt://127.0.0.1:{mosquitto.port}/ward", "--home-assistant", "--mqtt-windows", "1"),
                *("--webhook", receiver.url, "--webhook-secret-file", str(tmp_path / "secret")),
                *("--outbox", str(tmp_path / "outbox"), "--http", f"127.0.0.1:{port}"),
            ],
            stdout=lines,
            stderr=subprocess.PIPE,
            text=True,
            cwd=demo_clip().parent,
            env=os.environ | {"NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": "1500000"},
        )
        told, ready, metrics = [], set(), ""
        while process.poll() is None:
            ready.add(ask(f"http://127.0.0.1:{port}/health/ready")[0])
            if 200 in ready:
                metrics = ask(f"http://127.0.0.1:{port}/metrics")[1] or metrics
            with suppress(TimeoutError):
                told += manager.recv(4096).decode().split("\n")
        _, err = process.communicate()
    assert process.returncode == 0, err
    assert [line for line in err.splitlines() if not line.startswith("stan-edge: webhook: 127.0.0.1 ")] == []
    assert 200 in ready
    assert 'stan_edge_windows_total{camera="demo.mp4",outcome="done",reason=""}' in metrics
    assert 'stan_edge_events_total{camera="demo.mp4",label="falling"} 1.0' in metrics
    assert 'stan_edge_messages_delivered_total{camera="demo.mp4",sink="mqtt"}' in metrics
    assert told[0] == "READY=1"
    assert told.count("WATCHDOG=1") >= 8
    assert "STOPPING=1" in told

    found = [json.loads(line) for line in (tmp_path / "records").read_text().splitlines()]
    events = [without(record, "at") for record in found if record["type"] == "event"]
    assert [event["phase"] for event in events][:: len(events) - 1] == ["start", "end"]
    listener.wait(lambda: len(listener.of("/event")) == len(events) and "offline" in listener.texts("/availability"))
    assert [without(event, "at", "sequence") for event in listener.of("/event")] == events
    assert listener.texts("/availability") == ["online", "offline"]
    assert listener.of("/state")[-1]["ended"] == "end_of_stream"
    assert "ON" in [state["alarms"]["falling"] for state in listener.of("/state")]
    assert listener.of("/state")[-1]["alarms"]["falling"] == "OFF"
    assert 4 <= len(listener.of("/window")) <= 10
    assert "ward_demo_mp4_falling" in [config["unique_id"] for config in listener.of("/config")]

    assert len(receiver.asked) == len(events) + 1  # the first one was to be repeated
    posted = receiver.bodies()[1:]
    assert [without(event, "at", "sequence") for event in posted] == events
    assert [(event["id"], event["sequence"], event["at"][:19]) for event in posted] == [
        (event["id"], event["sequence"], event["at"][:19]) for event in listener.of("/event")
    ]
    for _, headers, body, _ in receiver.asked:
        standardwebhooks.Webhook(SECRET).verify(body, dict(headers))
    assert sorted(path.name for path in (tmp_path / "outbox").iterdir()) == [
        "mqtt-demo_mp4.sqlite",
        "webhook-demo_mp4.sqlite",
    ]
    listener.close()


def test_the_broker_says_that_a_killed_run_is_gone(mosquitto):
    listener = Listener(mosquitto.port, "ward/#")
    process = subprocess.Popen(
        [COMMAND, "run", "--demo", "--realtime", "--json", "--mqtt", f"mqtt://127.0.0.1:{mosquitto.port}/ward"],
        stdout=subprocess.DEVNULL,
    )
    listener.wait(lambda: listener.texts("/availability") == ["online"], 60)
    process.kill()
    process.wait()
    listener.wait(lambda: listener.texts("/availability") == ["online", "offline"])
    listener.close()


def test_a_run_without_its_broker_and_receiver_says_the_same_and_ends_in_time(demo, stan_edge, tmp_path):
    began_s = time.monotonic()
    ran = stan_edge(
        *("run", "--demo", "--json", "--mqtt", f"mqtt://anna:hunter2@127.0.0.1:{free_port()}/ward"),
        *("--webhook", f"http://127.0.0.1:{free_port()}/t0ken", "--outbox", tmp_path),
    )
    took_s = time.monotonic() - began_s
    assert ran.returncode == 0, ran.stderr
    assert [without(record, "latency_ms") for record in records(ran)] == [
        without(record, "latency_ms") for record in records(demo[1])
    ]
    lines = ran.stderr.splitlines()
    assert len(lines) == 4
    assert sum("Connection refused" in line for line in lines) == 2
    assert sum("have not been delivered; they go out at the next start" in line for line in lines) == 2
    assert "hunter2" not in ran.stderr
    assert "t0ken" not in ran.stderr
    assert took_s < 60


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--mqtt", "http://broker"], ["--mqtt", "mqtt://user:password@host"]),
        (["--mqtt", "mqtt://anna:hunter2@broker:port"], ["--mqtt"]),
        (["--mqtt", "mqtt://broker", "--mqtt-ca", "none.pem"], ["--mqtt-ca", "mqtts://"]),
        (["--mqtt", "mqtt://anna@broker", "--mqtt-password-file", "none"], ["--mqtt-password-file: none", "No such"]),
        (["--home-assistant"], ["--home-assistant", "--mqtt"]),
        (["--mqtt-windows", "1"], ["--mqtt"]),
        (["--webhook", "broker/path"], ["--webhook", "https://"]),
        (["--webhook-secret-file", "none"], ["--webhook-secret-file", "--webhook"]),
        (["--outbox", "folder"], ["--outbox", "--mqtt"]),
        (["--http", "nowhere"], ["--http", "127.0.0.1:9464"]),
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_engine_starts(refused, monkeypatch, args, words):
    monkeypatch.setattr(
        "stan_edge.backends.registry.open_backend", lambda *_, **__: pytest.fail("the engine was started")
    )
    assert "hunter2" not in refused("run", "--demo", *args, says=words)


def test_an_address_that_is_taken_and_an_outbox_in_use_are_refused(refused, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused("run", "--demo", "--http", f"127.0.0.1:{port}", says=["--http", str(port), "cannot be listened on"])
    (tmp_path / "file").touch()
    outbox = ("--outbox", tmp_path / "file")
    refused("run", "--demo", "--webhook", "http://127.0.0.1:1/", *outbox, says=["--outbox", "cannot be opened"])


@pytest.mark.slow
@pytest.mark.parametrize("where", ["variable", "file"])
def test_the_password_need_not_be_in_the_address(mosquitto_with_users, where, tmp_path):
    (tmp_path / "password").write_text("hunter2\n")
    listener = Listener(mosquitto_with_users.port, user="anna", password="hunter2")
    given = {"variable": (), "file": ("--mqtt-password-file", str(tmp_path / "password"))}[where]
    environment = os.environ | ({"STAN_EDGE_MQTT_PASSWORD": "hunter2"} if where == "variable" else {})
    ran = subprocess.run(
        [COMMAND, "run", "--demo", "--json", *given],
        env=environment | {"STAN_EDGE_MQTT": f"mqtt://anna@127.0.0.1:{mosquitto_with_users.port}/ward"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    listener.wait(lambda: listener.of("/event") and listener.of("/event")[-1]["phase"] == "end")
    listener.close()


@pytest.fixture
def mosquitto_with_users(tmp_path: Path) -> Iterator[Mosquitto]:
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt install mosquitto)")
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", users, "anna", "hunter2"], check=True, capture_output=True)
    broker = Mosquitto(tmp_path / "mosquitto-users", f"password_file {users}", anonymous=False)
    broker.start()
    yield broker
    broker.stop()


@pytest.mark.parametrize(("module", "args"), [("paho", ("--mqtt", "mqtt://h")), ("prometheus_client", ("--http", "1"))])
def test_an_extra_that_is_missing_is_named(module, args):
    program = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *a: None if name == {module!r} else find(name, *a)\n"
        f"sys.argv = ['stan-edge', 'run', '--demo', *{args!r}]\n"
        "from stan_edge.cli.app import main\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    extra = {"paho": "mqtt", "prometheus_client": "metrics"}[module]
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"stan-edge: {args[0]}: {module} is not installed; run: pip install 'stan-edge[{extra}]'.\n"
