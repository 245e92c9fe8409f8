"""The journal: every event at once on the disk, and nothing lost to a line cut short."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from isthmus.errors import OutputError, SourceError
from isthmus.journal import Journal, read_journal


def test_events_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.write("begin", n_epochs=3)
        journal.write("epoch", epoch=1, training={"loss": 0.5}, validation=None)
    events = read_journal(path)
    assert [event["event"] for event in events] == ["begin", "epoch"]
    assert events[1] | {"time": ""} == {
        "time": "", "event": "epoch", "epoch": 1, "training": {"loss": 0.5}, "validation": None
    }  # fmt: skip
    assert datetime.fromisoformat(events[0]["time"]).utcoffset() == timedelta(0)


def test_every_event_is_on_the_disk_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.write("begin")
    assert [event["event"] for event in read_journal(path)] == ["begin"]
    journal.close()


def test_a_journal_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for event in ("begin", "end"):
        with Journal(path) as journal:
            journal.write(event)
    assert [event["event"] for event in read_journal(path)] == ["begin", "end"]


@pytest.mark.parametrize("cut", [b'{"time": "2025', b'{"event": "epo\xc3', b'"text"', b"[1, 2]"])
def test_a_line_cut_short_is_left_out_and_harms_no_other(tmp_path: Path, cut: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"event": "begin"}\n' + cut)
    assert read_journal(path) == [{"event": "begin"}]
    with Journal(path) as journal:
        journal.write("end")
    assert [event["event"] for event in read_journal(path)] == ["begin", "end"]


def test_every_line_is_json(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.write("epoch", loss=math.nan, deep={"list": [math.inf, 1.0]}, text="a\nb\u2028c")
    (line,) = path.read_text("utf-8").removesuffix("\n").split("\n")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    event = json.loads(line, parse_constant=refuse)
    assert (event["loss"], event["deep"], event["text"]) == (None, {"list": [None, 1.0]}, "a\nb\u2028c")


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(tmp_path / "none" / "journal.jsonl")
    with pytest.raises(SourceError, match="cannot be read"):
        read_journal(tmp_path / "none.jsonl")


def test_the_first_line_of_a_file_tells_its_format(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for name in ("begin", "end"):
        with Journal(path) as journal:
            journal.write(name)
            journal.write("epoch", epoch=1)
    assert [event.get("format") for event in read_journal(path)] == [1, None, None, None]


def test_a_newer_journal_names_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "begin", "format": 2}\n', encoding="utf-8")
    with pytest.raises(
        SourceError, match=r"of journal format 2, and this isthmus, [0-9.]+, reads up to 1\. Install"
    ):
        read_journal(path)
    path.write_text('{"event": "begin", "format": "2"}\n', encoding="utf-8")
    assert len(read_journal(path)) == 1
