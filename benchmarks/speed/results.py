"""Results: kept as JSON, shown as a table and a picture, and compared with those that were kept."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LEAST_CHANGE = 0.05
"""Of a median; less is no change, however little the rounds differ."""
BUSY = 0.3
"""Load a core, before the first task, above which ratios are preliminary."""
SAME_MACHINE = ("processor", "cores", "torch", "instructions", "clock")
INK, GOOD, BAD, FAINT = "#1f2a37", "#0f766e", "#b45309", "#9ca3af"

Found = Mapping[str, Any]


class Row(NamedTuple):
    """One ratio of one task."""

    task: str
    name: str
    ratio: Found

    @property
    def median(self) -> float:
        return statistics.median(self.ratio["values"])

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest of all rounds."""
        return min(self.ratio["values"]), max(self.ratio["values"])

    @property
    def verdict(self) -> str:
        """What the median is worth."""
        floor, aim, sign = self.ratio["floor"], self.ratio["aim"], 1 if self.ratio["more_is_better"] else -1
        if floor is None:
            return ""
        if sign * self.median >= sign * aim:
            return "aim met"
        return "floor met" if sign * self.median >= sign * floor else "below the floor"


def rows_of(found: Found) -> Iterator[Row]:
    """Every ratio, in order."""
    for task, result in found["tasks"].items():
        for name, ratio in result["ratios"].items():
            yield Row(task, name, ratio)


def is_preliminary(found: Found) -> bool:
    """Whether the machine had other work."""
    machine = found["machine"]
    return machine["clock"] != "the clock" or machine["load_before"] > BUSY * machine["cores"]


def table(found: Found) -> str:
    """The page of a run, Markdown."""
    machine = found["machine"]
    cores = "1 core" if machine["cores"] == 1 else f"{machine['cores']} cores"
    lines = [
        f"# Performance, {machine['date']}",
        "",
        f"{machine['processor']}, {cores} ({machine['instructions']}), {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {machine['python']}, PyTorch {machine['torch']}. Products of 2,048 x 2,048 at "
        f"{machine['square_gflops']} GFLOP/s, memory copied at {machine['copied_gb_a_second']} GB/s. Load before: "
        f"{machine['load_before']}. {found['form'].capitalize()} form. Peers: "
        + ", ".join(f"{name} {version}" for name, version in found["peers"].items())
        + ".",
        "",
    ]
    if is_preliminary(found):
        words = f"the machine had other work, and ratios may be off; what was counted is {machine['clock']}"
        lines += [f"**Preliminary**: {words}.", ""]
    lines += [
        "| task | ratio | median | rounds | floor | aim | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows_of(found):
        unit = f" {row.ratio['unit']}" if row.ratio["unit"] else ""
        floor, aim = (_number(row.ratio[key]) for key in ("floor", "aim"))
        low, high = map(_number, row.ends)
        lines.append(
            f"| {row.task} | {row.name} | {_number(row.median)}{unit} | {low} to {high} | {floor} | {aim} | "
            f"{row.verdict} |"
        )
    for task, result in found["tasks"].items():
        lines += ["", f"**{task}**: {result['words']}", ""]
        lines += ["| who | threads | median | rate | held-out error |", "|---|---|---|---|---|"]
        for who, taken in result["taken"].items():
            middle = statistics.median(taken)
            amount, unit = result["rates"].get(who, (None, ""))
            rate = "" if amount is None else f"{amount / middle:,.4g} {unit}"
            error = _number(result["errors"].get(who))
            lines.append(
                f"| {who} | {result['threads'][who]} | {middle:,.4g} {result['units'][who]} | {rate} | {error} |"
            )
        lines += [f"\n{name}: {value:,.4g}" for name, value in result["facts"].items()]
    return "\n".join(lines) + "\n"


def draw(found: Found, path: Path) -> None:
    """Every ratio that has a floor, as a multiple of it, with its aim and its rounds."""
    from matplotlib.figure import Figure

    rows = [row for row in rows_of(found) if row.ratio["floor"] is not None][::-1]
    figure = Figure(figsize=(8.5, 0.34 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        floor, more = row.ratio["floor"], row.ratio["more_is_better"]
        low, middle, high, aim = (
            value / floor if more else floor / value
            for value in (row.ends[0], row.median, row.ends[1], row.ratio["aim"])
        )
        colour = GOOD if middle >= 1 else BAD
        axes.plot((low, high), (place, place), color=colour, linewidth=3, alpha=0.4, solid_capstyle="round")
        axes.plot(middle, place, "o", color=colour)
        axes.plot(aim, place, "|", color=INK, markersize=12, markeredgewidth=1.5)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_xscale("log")
    ticks = [
        tick for tick in (0.1, 0.25, 0.5, 1, 2, 4, 8, 16) if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]
    ]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [f"{row.task}: {row.name}" for row in rows])
    axes.grid(axis="x", color=FAINT, alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    note = " (preliminary: a busy machine)" if is_preliminary(found) else ""
    figure.supxlabel(
        f"times as good as the floor{note}\na bar at each aim, a line over all rounds", fontsize=10
    )
    figure.savefig(path, dpi=90)


def kept(folder: Path, now: Found) -> Found | None:
    """The last results of a machine such as this one; without any, the last of all."""
    paths = sorted(folder.glob("*.json"), key=lambda path: path.stem)
    every = [json.loads(path.read_text("utf-8")) for path in paths]
    alike = [then for then in every if not differences(now, then)]
    return (alike or every or [None])[-1]


def compared(now: Found, then: Found) -> tuple[list[str], list[str]]:
    """What got worse and what got better, a line each.

    Worse: every round is worse than every round of then, and the medians lie further apart than 5 %.
    """
    before = {(row.task, row.name): row for row in rows_of(then)}
    worse, better = list[str](), list[str]()
    for row in rows_of(now):
        old = before.get((row.task, row.name))
        if old is None or abs(row.median - old.median) <= LEAST_CHANGE * abs(old.median):
            continue
        (low, high), (old_low, old_high) = row.ends, old.ends
        line = f"{row.task}, {row.name}: {_spread(row)}, it was {_spread(old)}"
        if high < old_low:
            (worse if row.ratio["more_is_better"] else better).append(line)
        elif low > old_high:
            (better if row.ratio["more_is_better"] else worse).append(line)
    return worse, better


def differences(now: Found, then: Found) -> Sequence[str]:
    """In what the machines differ."""
    a, b = now["machine"], then["machine"]
    return [f"{key} {a[key]}, not {b[key]}" for key in SAME_MACHINE if a[key] != b[key]]


def write(found: Found, folder: Path) -> Path:
    """JSON, table and picture, under the date, and a number where another machine has results of that date."""
    folder.mkdir(parents=True, exist_ok=True)
    date = found["machine"]["date"]
    for n in itertools.count(1):
        path = folder / (f"{date}.json" if n == 1 else f"{date}-{n}.json")
        if not path.exists() or not differences(found, json.loads(path.read_text("utf-8"))):
            break
    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    path.with_suffix(".md").write_text(table(found), "utf-8")
    draw(found, path.with_suffix(".png"))
    return path


def _spread(row: Row) -> str:
    low, high = map(_number, row.ends)
    return f"{_number(row.median)} ({low} to {high})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
