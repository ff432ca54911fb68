"""`run --journal`, `events` and `replay` as their users meet them."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from stan_edge.journal.reader import read_rows
from stan_edge.journal.schema import FILE, open_for_writing
from stan_edge.sources import VideoFile, demo_clip
from tests.e2e.conftest import COMMAND, records, write_video


@pytest.fixture(scope="module")
def ran(stan_edge, tmp_path_factory):
    """A journal of the demo clip, and what the run printed."""
    folder = tmp_path_factory.mktemp("ran") / "journal"
    done = stan_edge("run", "--demo", "--json", "--journal", folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder, records(done)


@pytest.fixture
def folder(ran, tmp_path):
    return Path(shutil.copytree(ran[0], tmp_path / "journal"))


def listed(stan_edge, folder, *options):
    done = stan_edge("events", folder, "--json", *options)
    assert done.returncode == 0, done.stderr
    return records(done)


def test_the_journal_holds_what_was_printed(ran):
    folder, printed = ran
    rows = sorted(
        (row for table in ("records", "windows") for row in read_rows(folder, table).rows), key=lambda r: r.seq
    )
    assert [json.loads(row.body) for row in rows] == printed
    assert [row.seq for row in rows] == list(range(1, len(printed) + 1))
    ids = {record["id"] for record in printed if record["type"] == "event"}
    assert len(ids) == 1


def test_events_are_listed_as_table_json_and_csv(ran, stan_edge):
    folder, printed = ran
    last = [record for record in printed if record["type"] == "event"][-1]
    (event,) = listed(stan_edge, folder)
    assert {key: event[key] for key in last if key not in ("type", "event")} == {
        key: value for key, value in last.items() if key not in ("type", "event")
    }
    assert event["exported"] is False
    assert datetime.fromisoformat(event["at"]) <= datetime.fromisoformat(event["ended_at"])
    (row,) = csv.DictReader(io.StringIO(stan_edge("events", folder, "--csv").stdout))
    assert row["id"] == event["id"]
    assert row["label"] == "falling"
    table = stan_edge("events", folder).stdout
    assert "falling" in table
    assert "exported" not in table


def test_events_are_chosen_by_camera_label_and_time(ran, stan_edge):
    folder, _ = ran
    hour = timedelta(hours=1)
    now = datetime.now(timezone.utc)
    local = datetime.now()
    for options, found in (
        (("--label", "falling"), 1),
        (("--label", "headache"), 0),
        (("--camera", str(demo_clip())), 1),
        (("--camera", "0"), 0),
        (("--since", (now - hour).isoformat(), "--until", (now + hour).isoformat()), 1),
        (("--since", (local - hour).isoformat(timespec="minutes")), 1),
        (("--since", (now + hour).strftime("%Y-%m-%dT%H:%M:%SZ")), 0),
        (("--until", (now - hour).isoformat()), 0),
    ):
        assert len(listed(stan_edge, folder, *options)) == found, options
    assert "No events." in stan_edge("events", folder, "--label", "headache").stdout


def test_what_was_exported_is_not_new_any_more(folder, stan_edge):
    assert len(listed(stan_edge, folder, "--new", "--mark-exported")) == 1
    assert listed(stan_edge, folder, "--new") == []
    (event,) = listed(stan_edge, folder)
    assert event["exported"] is True


def test_a_recording_replayed_is_equal_and_one_changed_number_is_found(folder, stan_edge):
    same = stan_edge("replay", demo_clip(), folder)
    assert same.returncode == 0, same.stderr
    assert same.stdout.startswith("equal: 31 windows and 4 event records")
    (row,) = [row for row in read_rows(folder, "windows").rows if '"window":7,' in row.body]
    body = json.loads(row.body)
    now = body["probability"]
    changed = replace(row, body=json.dumps(body | {"probability": 0.1234}))
    connection = open_for_writing(folder / FILE)
    connection.execute("UPDATE windows SET body = ?, crc = ? WHERE seq = ?", (*changed.stored()[-2:], row.seq))
    connection.close()
    other = stan_edge("replay", demo_clip(), folder)
    assert other.returncode == 1
    assert other.stdout == f"window 7 probability: 0.1234 in the journal, {now} now\n"


def test_a_replay_takes_its_settings_from_the_journal(stan_edge, tmp_path):
    options = ("--hop", "0.4", "--method", "staa", "--no-person", "--crop", "0,0,320,240")
    options = (*options, "--target-class", "headache", "--backend", "onnxruntime")
    clip = shutil.copy(demo_clip(), tmp_path / "room.mp4")
    first = stan_edge("run", clip, "--json", "--journal", tmp_path / "journal", *options)
    assert first.returncode == 0, first.stderr
    moved = shutil.move(clip, tmp_path / "journal" / "room.mp4")
    again = stan_edge("replay", moved, tmp_path / "journal")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.startswith("equal: ")


def test_a_replay_is_refused_where_it_would_compare_something_else(refused, folder, bundle_copy, tmp_path):
    video = str(demo_clip())
    refused("replay", video, str(folder), "--model", str(bundle_copy), says=["stan-t", "tiny", "--model"])
    refused("replay", "other.mp4", str(folder), says=["no run of other.mp4", "demo.mp4"])
    refused("replay", video, str(tmp_path / "none"), says=["no journal"])


def test_what_is_no_journal_is_refused(refused, folder, tmp_path):
    refused("events", str(tmp_path), says=["no journal", "--journal"])
    data = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(b"not a database")
    refused("events", str(folder), says=["damaged"])
    newer = data.replace(b"stan-edge journal 1", b"stan-edge journal 2")
    (folder / FILE).write_bytes(newer[:63] + b"\x02" + newer[64:])
    refused("events", str(folder), says=["schema 2"])
    refused("run", "--demo", "--journal", str(folder), says=["schema 2"])
    (folder / FILE).write_bytes(data)
    refused("events", str(folder), "--json", "--csv", says=["--json", "--csv"])
    refused("events", str(folder), "--since", "yesterday", says=["--since", "yesterday"])
    refused("run", "--demo", "--journal", str(folder / FILE), says=["--journal", "folder"])


@pytest.mark.slow
def test_a_damaged_journal_still_lists_what_can_be_read_and_a_run_repairs_it(folder, stan_edge):
    data = bytearray((folder / FILE).read_bytes())
    data[18] ^= 1
    (folder / FILE).write_bytes(data)
    done = stan_edge("events", folder, "--json")
    assert len(records(done)) == 1
    assert "is damaged" in done.stderr
    again = stan_edge("run", "--demo", "--json", "--journal", folder)
    assert again.returncode == 0
    assert again.stderr.count("\n") == 1
    assert "set aside" in again.stderr
    done = stan_edge("events", folder, "--json")
    assert done.stderr == ""


def test_a_copy_that_cannot_be_written_can_be_read(folder, stan_edge, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        shutil.copytree(folder, disk / "journal")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert len(listed(stan_edge, disk / "journal")) == 1
        done = stan_edge("events", disk / "journal", "--mark-exported")
        assert done.returncode == 2
        assert "cannot be marked" in done.stderr
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_run_that_is_killed_has_its_alarm_in_the_journal_and_the_next_one_goes_on(stan_edge, tmp_path):
    folder, once = tmp_path / "journal", pictures_of_the_demo()
    film = write_video(tmp_path / "film.mp4", [*once, *[once[-1]] * 500], 25)  # still going on when it is killed
    process = subprocess.Popen(
        [COMMAND, "run", str(film), "--realtime", "--json", "--journal", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    alarm = next(record for record in map(json.loads, process.stdout) if record["type"] == "event")
    (while_running,) = listed(stan_edge, folder)  # beside the writer
    assert while_running["id"] == alarm["id"]
    second = stan_edge("run", "--demo", "--journal", folder)
    assert second.returncode == 2
    assert "another run writes it" in second.stderr
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (after,) = listed(stan_edge, folder)
    assert after["id"] == alarm["id"]
    again = stan_edge("run", "--demo", "--json", "--journal", folder)
    assert again.returncode == 0
    assert "was cut off" in again.stderr
    assert again.stderr.count("\n") == 1
    both = listed(stan_edge, folder)
    assert both[0]["id"] == alarm["id"]
    assert len({event["id"] for event in both}) == 2
    seqs = [row.seq for table in ("records", "windows") for row in read_rows(folder, table).rows]
    assert sorted(seqs) == list(range(1, len(seqs) + 1))


def pictures_of_the_demo() -> list[np.ndarray]:
    source, pictures = VideoFile(demo_clip()), []
    while (frame := source.read()) is not None:
        pictures.append(frame.image)
    source.close()
    return pictures


@pytest.mark.slow
def test_a_recording_whose_run_was_killed_is_replayed_as_far_as_it_got(stan_edge, tmp_path):
    folder = tmp_path / "journal"
    process = subprocess.Popen(
        [COMMAND, "run", "--demo", "--json", "--journal", str(folder)], stdout=subprocess.PIPE, text=True
    )
    next(record for record in map(json.loads, process.stdout) if record["type"] == "event")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    again = stan_edge("replay", demo_clip(), folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "was cut off" in again.stdout


@pytest.mark.slow
def test_a_stopped_recording_is_replayed_up_to_where_it_was_stopped(stan_edge, tmp_path):
    folder = tmp_path / "journal"
    process = subprocess.Popen(
        [COMMAND, "run", "--demo", "--json", "--journal", str(folder)], stdout=subprocess.PIPE, text=True
    )
    next(record for record in map(json.loads, process.stdout) if record["type"] == "event")
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert json.loads(rest.splitlines()[-1])["reason"] == "stopped"
    again = stan_edge("replay", demo_clip(), folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.startswith("equal: ")
