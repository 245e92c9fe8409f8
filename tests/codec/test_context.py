"""Pictures coded given what is around each value: exact, near the information, and quiet about what they are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from isthmus.codec import columns as plain
from isthmus.codec.coding import context
from isthmus.codec.coding.coders import Plain, smallest
from isthmus.codec.coding.context import Neighbourhood
from isthmus.codec.coding.context_coder import MOST_VALUES, ContextCoder, numbers_of
from isthmus.codec.coding.context_fit import facts_of, fit_context, hats, levels_of
from isthmus.codec.columns import Columns
from isthmus.errors import ArtifactError, IsthmusError

torch.set_num_threads(1)

FLIP = 0.1


def walks(n: int, seed: int = 0) -> np.ndarray:
    """Pictures of 9 x 12 zeros and ones, of which each is its left neighbour, but one in ten."""
    chance = np.random.default_rng(seed)
    return (np.cumsum(chance.random((n, 9, 12)) < FLIP, axis=2) % 2).astype(np.uint8)


def shades(n: int, seed: int = 0, dtype: type[np.integer[Any]] = np.uint8) -> np.ndarray:
    """Pictures of 8 x 7 with 3 channels: a slope on a ground of one value, channels near each other."""
    chance = np.random.default_rng(seed)
    across = np.arange(7) * chance.normal(size=(n, 1, 1)) * 6 + chance.normal(100, 20, (n, 8, 1))
    pictures = across[..., None] + 3 * chance.normal(size=(n, 8, 7, 3)).cumsum(axis=3)
    pictures[:, :3] = 40
    return np.clip(np.rint(pictures), 0, 255).astype(dtype)


def fitted(rows: np.ndarray, epochs: int = 12) -> ContextCoder:
    levels = levels_of(rows)
    assert levels is not None
    return fit_context(facts_of(rows, levels), levels, rows, epochs=epochs)


CODERS: dict[str, tuple[Callable[[int, int], np.ndarray], int]] = {
    "two": (walks, 12),
    "few": (lambda n, seed: walks(n, seed).astype(np.int32) * 5 + walks(n, seed + 9), 2),
    "bytes": (shades, 4),
    "words": (lambda n, seed: shades(n, seed, np.int16)[..., 0] * 40 - 900, 2),
}


@pytest.fixture(scope="module", params=CODERS)
def case(request: pytest.FixtureRequest) -> tuple[ContextCoder, Callable[[int, int], np.ndarray]]:
    rows, epochs = CODERS[request.param]
    return fitted(rows(400, 0), epochs), rows


@pytest.fixture(scope="module")
def two() -> ContextCoder:
    return fitted(walks(1500))


def exact(coder: ContextCoder, rows: np.ndarray) -> bytes:
    """The bytes of rows, which come back from them."""
    payload = coder.packed({"values": rows})
    assert payload is not None
    found = coder.unpacked(payload, len(rows))["values"]
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.shape) == (rows.dtype, rows.shape)
    np.testing.assert_array_equal(found, rows)
    return payload


@pytest.mark.parametrize("n", [0, 1, 2, 150])
def test_pictures_come_back(case: tuple[ContextCoder, Callable[[int, int], np.ndarray]], n: int) -> None:
    coder, rows = case
    exact(coder, rows(150, 0)[:n])


def test_pictures_cost_their_information(two: ContextCoder) -> None:
    rows = walks(1000, 1)
    entropy = -FLIP * np.log2(FLIP) - (1 - FLIP) * np.log2(1 - FLIP)
    information = rows.size * entropy / 8
    assert 0.98 * information < len(exact(two, rows)) < 1.05 * information
    assert smallest([two], [{"values": rows}], 1000)[0] == "context"


def test_pictures_like_no_other_come_back() -> None:
    coder = fitted(shades(100), 1)
    rows = np.random.default_rng(0).integers(0, 256, (30, 8, 7, 3)).astype(np.uint8)
    rows[0], rows[1], rows[2] = 0, 255, 40
    exact(coder, rows)


def test_slow_coders_are_left_out_where_the_model_is_far_smaller(
    two: ContextCoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def packed(self: Plain, columns: Columns) -> bytes:
        asked.append(1)
        return plain.packed(columns)

    monkeypatch.setattr(Plain, "packed", packed)
    calm = (walks(300) & 0) + (np.arange(12) > 5).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 2, (300, 9, 12)).astype(np.uint8)
    assert smallest([two], [{"values": walks(1000, 4)}], 1000)[0] == "context"
    assert not asked
    assert smallest([two], [{"values": noise}], 300)[0] == "plain"
    assert smallest([two], [{"values": calm}], 300)[0] == "plain"
    assert len(asked) == 2


def test_a_model_that_gives_back_other_rows_is_never_taken(
    two: ContextCoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ContextCoder, "unpacked", lambda *_: {"values": walks(1000, 5)})
    assert smallest([two], [{"values": walks(1000, 4)}], 1000)[0] == "plain"


@pytest.mark.parametrize("at_once", [1, 7, 5000])
def test_a_decoder_may_compute_fewer_or_more_at_a_time(
    two: ContextCoder, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    payload = exact(two, walks(20, 2))
    monkeypatch.setattr(context, "AT_ONCE", at_once)
    assert exact(two, walks(20, 2)) == payload


def test_places_see_only_what_was_coded_before(two: ContextCoder) -> None:
    """Each place has one wave; whatever lies in it or later changes nothing of what its network reads."""
    around = two.facts.neighbourhood
    waves = [around.wave(number) for number in range(around.n_waves)]
    places = [(int(y), int(x)) for wave in waves for y, x in zip(*wave, strict=True)]
    assert sorted(places) == [(y, x) for y in range(9) for x in range(12)]
    assert all(right < around.slope * up for up, right in around.offsets)
    late = Neighbourhood(around.shape, (*around.offsets, (0, 1)), around.slope)
    assert late.seen(0)[-1] > 0 > around.seen(0).max()


def test_a_decoder_with_another_network_finds_other_pictures(two: ContextCoder) -> None:
    """What the exactness rests upon: were the networks to differ in a digit, the rows would be lost."""
    rows = walks(200, 3)
    payload = exact(two, rows)
    other = ContextCoder(two.facts, two.levels, two.lines + 1, two.columns, two.networks)
    found = other.unpacked(payload, 200)["values"]
    assert not np.array_equal(np.asarray(found), rows)


def test_the_section_makes_an_equal_coder(
    case: tuple[ContextCoder, Callable[[int, int], np.ndarray]],
) -> None:
    coder, rows = case
    again = ContextCoder.of_section(coder.section())
    again.check()
    assert again.section() == coder.section()
    assert again.packed({"values": rows(20, 5)}) == coder.packed({"values": rows(20, 5)})


def test_what_it_does_not_know_it_leaves(two: ContextCoder) -> None:
    rows = walks(5)
    others = (rows + 2, rows.astype(np.int8), rows[:, :8], rows[..., None], rows.reshape(5, -1))
    assert all(two.packed({"values": other}) is None for other in others)
    assert two.packed({"values": rows, "more": rows}) is None
    assert two.packed({"values": [b""]}) is None


def test_numbers_of_levels() -> None:
    for dtype in (np.int8, np.uint16, np.int64):
        levels = np.array([1, 4, 9], dtype)
        found = numbers_of(np.array([[9, 1], [4, 4]], dtype), levels)
        assert found is not None
        assert found.tolist() == [[2, 0], [1, 1]]
        assert numbers_of(np.array([5], dtype), levels) is None


def test_hats_add_up_to_one_and_bend_at_their_knots() -> None:
    for n in (1, 2, 7, 28, 300):
        found = hats(n, 255)
        assert (np.abs(found.sum(axis=1) - 255) <= 1).all()
        assert (found.max(axis=0) > 0).all()


FACTS: list[tuple[str, Any]] = [
    ("offsets", [[0, 1]]),
    ("offsets", [[0, 0]]),
    ("offsets", [[1, 4]]),
    ("offsets", []),
    ("offsets", [[-1, -1]]),
    ("offsets", [[0, -(10**6)]]),
    ("offsets", [[0, -1]] * 2000),
    ("slope", 0),
    ("slope", 60),
    ("slope", 1.5),
    ("picture", [9, 12, 2]),
    ("picture", [1 << 20, 1 << 20, 1]),
    ("picture", [1 << 15, 1, 1]),
    ("picture", [9, 12]),
    ("picture", [0, 12, 1]),
    ("shape", [108]),
    ("marked", [0, 1]),
    ("marked", [5]),
    ("marked", [-1]),
    ("common", 2),
    ("step", 0),
    ("step", 1 << 30),
    ("n_mixtures", "6"),
    ("log_scale_ends", [0]),
]


@pytest.mark.parametrize(("name", "value"), FACTS)
def test_hostile_facts_are_refused(two: ContextCoder, name: str, value: Any) -> None:
    held = plain.unpacked(two.section())
    told = json.loads(held["facts"][0])
    if name == "shape":  # as many values, but nothing that rows are laid out by
        told["picture"] = [9, 11, 1]
    told[name] = value
    if value == [1 << 15, 1, 1]:
        told["shape"] = [1 << 15]
    held["facts"] = [json.dumps(told).encode()]
    with pytest.raises(ArtifactError, match="archive: expected a model") as caught:
        ContextCoder.of_section(plain.packed(held))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["levels", "lines", "columns", "networks", "facts"])
def test_hostile_parts_are_refused(two: ContextCoder, name: str) -> None:
    held = plain.unpacked(two.section())
    spoilt: dict[str, list[Any]] = {
        "levels": [np.array([1, 1], np.uint8), np.array([0.0, 1.0]), np.zeros((2, 1), np.uint8), []],
        "lines": [np.zeros((9, 3), np.int64), np.zeros((8, 7), np.int64), np.zeros(9, np.int64)],
        "columns": [np.zeros((12, 7)), []],
        "networks": [[], held["networks"] * 2, [b"isFN"]],
        "facts": [[], [b"{}"], [b"[" * 100_000], [b"{", b"}"]],
    }
    for value in spoilt[name]:
        with pytest.raises(ArtifactError):
            ContextCoder.of_section(plain.packed({**held, name: value}))
    with pytest.raises(ArtifactError):
        ContextCoder.of_section(plain.packed({key: value for key, value in held.items() if key != name}))


def test_damaged_sections_and_blocks_are_named(two: ContextCoder) -> None:
    section, chance = two.section(), np.random.default_rng(0)
    for place in chance.integers(0, len(section), 40).tolist():
        spoilt = bytearray(section)
        spoilt[place] ^= 1 << int(chance.integers(8))
        try:
            ContextCoder.of_section(bytes(spoilt)).check()
        except IsthmusError:
            continue
    payload = exact(two, walks(50))
    for spoilt, n in ((payload[:-1], 50), (payload, MOST_VALUES), (payload, 1 << 32)):
        with pytest.raises(ArtifactError):
            two.unpacked(spoilt, n)
    two.unpacked(b"", 50)
    two.unpacked(b"\xff" * len(payload), 50)


def test_facts_say_which_levels_stand_out() -> None:
    rows = shades(100)
    levels = levels_of(rows)
    assert levels is not None
    facts = facts_of(rows, levels)
    assert facts.marked[0] == facts.common == 40
    assert levels_of(rows[:, :2]) is None
    assert replace(facts, marked=()).observed(256, 12).n_outputs == 3 * facts.n_mixtures
