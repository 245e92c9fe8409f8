"""Checkpoints: what is written is read bit for bit, damage is recognised, and the one before is taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from isthmus.errors import ArtifactError, OutputError
from isthmus.journal import read_journal
from isthmus.training import checkpoints
from isthmus.training.checkpoints import Checkpoints, look_at_checkpoint, read_checkpoint, write_checkpoint
from isthmus.training.state import State


def made(number: int = 1) -> State:
    weights = {"a": torch.full((2, 3), float(number)), "n": torch.tensor(7), "of": torch.zeros(0, 4)}
    return State({"epoch": number, "rate": 0.1 + 0.2}, {"weights": weights, "moments": {}})


def number_of(folder: Path) -> int | None:
    """What reading finds, and a look at it no other."""
    found, known = read_checkpoint(folder), look_at_checkpoint(folder)
    assert (None if found is None else (found.number, found.state.values, found.damaged)) == known
    return None if found is None else found.state.values["epoch"]


def test_a_look_at_one_makes_no_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, made(3), {})
    monkeypatch.setattr(checkpoints, "_tensors", None)
    assert look_at_checkpoint(tmp_path) == (1, made(3).values, ())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path) is None
    assert read_checkpoint(tmp_path / "none") is None
    assert write_checkpoint(tmp_path, made(), {"journal": "é\n"}) == 1
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert (found.number, found.added, found.damaged) == (1, {"journal": "é\n"}, ())
    assert found.state.values == made().values
    assert found.state.groups.keys() == made().groups.keys()
    for name, value in made().groups["weights"].items():
        assert torch.equal(found.state.groups["weights"][name], value)
        assert found.state.groups["weights"][name].dtype == value.dtype


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for number in range(1, 6):
        write_checkpoint(tmp_path, made(number), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000004", "000005"]
    assert number_of(tmp_path) == 5


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit of weights": lambda place: flip(place / "weights.safetensors"),
    "a bit of values": lambda place: flip(place / "values.json"),
    "a bit of the manifest": lambda place: flip(place / "manifest.json"),
    "a file cut short": lambda place: (place / "weights.safetensors").write_bytes(b"1234"),
    "a file missing": lambda place: (place / "moments.safetensors").unlink(),
    "no manifest": lambda place: (place / "manifest.json").unlink(),
    "a manifest of nothing": lambda place: (place / "manifest.json").write_text("[]"),
    "a file that is a folder": lambda place: (
        (place / "values.json").unlink(),
        (place / "values.json").mkdir(),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_one_is_recognised_and_the_one_before_used(damage: str, tmp_path: Path) -> None:
    for number in (1, 2):
        write_checkpoint(tmp_path, made(number), {})
    DAMAGE[damage](tmp_path / "000002")
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert found.number == 1
    assert len(found.damaged) == 1
    assert "000002" in found.damaged[0]
    DAMAGE[damage](tmp_path / "000001")
    with pytest.raises(ArtifactError, match="expected a checkpoint that is whole, got 2 that are not"):
        read_checkpoint(tmp_path)


def test_without_the_digest_a_flipped_bit_would_be_taken_for_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail."""
    write_checkpoint(tmp_path, made(), {})
    path = tmp_path / "000001" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")  # the last byte of a weight
    with pytest.raises(ArtifactError, match="is not the one that its manifest tells"):
        read_checkpoint(tmp_path)
    monkeypatch.setattr(checkpoints, "_check", lambda *_: None)
    monkeypatch.setattr("isthmus.artifact.file._matches", lambda *_: True)
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert not torch.equal(found.state.groups["weights"]["a"], made().groups["weights"]["a"])


def test_a_newer_format_says_so(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, made(), {})
    manifest = json.loads((tmp_path / "000001/manifest.json").read_text())
    (tmp_path / "000001/manifest.json").write_text(json.dumps({**manifest, "format": 2}))
    with pytest.raises(ArtifactError, match="is of checkpoint format 2, and this isthmus reads 1"):
        read_checkpoint(tmp_path)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, made(1), {})

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_checkpoint(tmp_path, made(2), {})
    assert [path.name for path in tmp_path.iterdir()] == ["000001"]
    assert number_of(tmp_path) == 1


def test_the_training_goes_on_where_none_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with Checkpoints(tmp_path / "c", told=told.append, seconds=0) as kept:
        kept.offer(made)
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "write_checkpoint", full_disk)
            kept.offer(made, now=True)
            kept.offer(made, now=True)
        assert len(told) == 1
        assert "No space left on device. The training goes on" in told[0]
        kept.offer(lambda: made(3), now=True)
    assert number_of(tmp_path / "c") == 3
    events = [event["event"] for event in read_journal(tmp_path / "c/log.jsonl")]
    assert events == ["kept", "failed", "failed", "kept"]


def full_disk(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_writing_takes_its_share_of_the_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of our own: each checkpoint takes a second, so that 50 pass before the next one."""
    now, written = [0.0], list[float]()

    def write(*_: object) -> int:
        now[0] += 1
        written.append(now[0])
        return len(written)

    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoints, "write_checkpoint", write)
    with Checkpoints(tmp_path / "c", seconds=10) as kept:
        while now[0] < 1000:
            now[0] += 0.5
            kept.offer(made)
    assert written[0] == 11
    assert len(written) / now[0] <= 0.021


def test_two_processes_cannot_train_in_one_run(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c"), pytest.raises(OutputError, match="another process trains in this run"):
        Checkpoints(tmp_path / "c")
    with Checkpoints(tmp_path / "c"):
        pass


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".new-abc").mkdir()
    with Checkpoints(tmp_path):
        assert not (tmp_path / ".new-abc").exists()
    shutil.rmtree(tmp_path)
