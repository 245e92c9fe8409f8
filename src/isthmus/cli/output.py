"""What goes to stdout: aligned lines and tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
import textwrap
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from isthmus.journal import finite

MARGIN = 14
"""Columns before what a line says."""
WIDTH = 100


def print_json(document: Mapping[str, Any]) -> None:
    r"""Print one JSON document; what is not finite becomes null, and what would steer a terminal is escaped.

    >>> print_json({"name": "größe\x9b\u202e", "loss": float("inf")})
    {
      "name": "größe\u009b\u202e",
      "loss": null
    }
    """
    text = json.dumps(finite(document), indent=2, ensure_ascii=False)
    print(
        "".join(letter if letter == "\n" or not _is_control(letter) else _escaped(letter) for letter in text)
    )


def _is_control(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs")


def _escaped(letter: str) -> str:
    r"""A letter as JSON spells it in ASCII: ``\u202e``, or two of them beyond the first plane."""
    return json.dumps(letter)[1:-1]


def print_lines(lines: Iterable[tuple[str, str]]) -> None:
    """Print what each line is about and what it says, aligned; long ones go on below themselves.

    >>> print_lines([("data", "2,000 pictures"), ("likelihood", "bernoulli")])
    data          2,000 pictures
    likelihood    bernoulli
    """
    for about, said in lines:
        first, *rest = textwrap.wrap(visible(said), WIDTH - MARGIN, break_long_words=False) or [""]
        print(f"{about:<{MARGIN}}{first}".rstrip())
        for line in rest:
            print(" " * MARGIN + line)
    sys.stdout.flush()


def visible(text: str) -> str:
    r"""A text whose control characters are question marks: names in a file do not steer a terminal.

    >>> visible("a\x1b[31mb\nc")
    'a?[31mb c'
    """
    return "".join(" " if letter in "\n\t" else "?" if _is_control(letter) else letter for letter in text)


def cut(text: str, most: int) -> str:
    """A text of one line and no more letters than that.

    >>> cut("abcdef", 4), cut("abcd", 4)
    ('a...', 'abcd')
    """
    line = visible(text)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def print_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, left: Collection[int] = (0,)
) -> None:
    """Print a table: columns of words, the first or those of ``left``, to the left, the others to the right.

    >>> print_table(["", "error"], [["model", "4.8"], ["PCA", "13.2"]])
                   error
    model            4.8
    PCA             13.2
    """
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[at]) for row in table) for at in range(len(header))]
    first = max(widths[0] + 2, MARGIN)
    for row in table:
        cells = [
            (cell.ljust(width) if at in left else cell.rjust(width)).rjust(width + (0 if at == 1 else 3))
            for at, (cell, width) in enumerate(zip(row[1:], widths[1:], strict=True), 1)
        ]
        print((row[0].ljust(first) + "".join(cells)).rstrip())
    sys.stdout.flush()


def number(value: float | None) -> str:
    """Four significant digits, without an exponent where people do not expect one.

    >>> number(13.1934), number(0.012345), number(1234.5), number(3.2e-9), number(None)
    ('13.19', '0.01234', '1,234', '3.2e-09', '-')
    """
    if value is None:
        return "-"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def print_errors(metrics: Mapping[str, Any], unit: str) -> None:
    """Print the errors of model, PCA and mean beside each other, as ``metrics`` hold them."""
    errors = {"model": metrics["error"], **metrics["baselines"]}
    pca = metrics["baselines"].get("pca", {}).get("sse")
    names = {"model": "model", "pca": "PCA", "mean": "mean"}
    known = [(names[key], errors[key]) for key in names if key in errors]
    print_table(
        ["", f"squared error per {unit}", "per value", "against PCA"],
        [[name, number(each["sse"]), number(each["mse"]), ratio(each["sse"], pca)] for name, each in known],
    )
    heard = sound_words(metrics)
    if heard is not None:
        print_lines([("sound", heard)])
    helped = metrics.get("error_with_context")
    if helped is not None:
        said = (
            f"{number(helped['sse'])} per {unit}, {number(helped['mse'])} per value: the decoder is helped "
            "by what no code holds (switches of unpooling), so PCA is no measure of it"
        )
        print_lines([("with context", said)])
    if metrics.get("columns"):
        print()
        _print_columns(metrics["columns"])


MOST_COLUMNS = 40
"""Columns of a table whose errors are printed; ``--json`` has all."""


def _print_columns(columns: Sequence[Mapping[str, Any]]) -> None:
    """Print what a model makes of each column, and of each hidden one, beside the best constant."""
    hidden = any(each.get("hidden") is not None for each in columns)
    header = ["column", "mean error or share wrong", "best constant", *(["hidden"] if hidden else [])]
    rows: list[list[str]] = []
    for each in columns[:MOST_COLUMNS]:
        found = [each["error"], each["constant"], *([each.get("hidden")] if hidden else [])]
        said = map(_days if each["type"] == "date" else number, found)
        rows.append([cut(each["name"], 26), *said])
    if len(columns) > MOST_COLUMNS:
        rows.append([f"... {len(columns) - MOST_COLUMNS} more", *[""] * (len(header) - 1)])
    print_table(header, rows)


def _days(seconds: float | None) -> str:
    """How far dates are apart, in words: days, or seconds below an hour.

    >>> _days(129600.0), _days(30.0), _days(None)
    ('1.5 days', '30 s', '-')
    """
    if seconds is None:
        return "-"
    return f"{number(seconds / 86400)} days" if seconds >= 3600 else f"{number(seconds)} s"


def sound_words(metrics: Mapping[str, Any]) -> str | None:
    """How near rebuilt sound is to the original, as ``metrics`` hold it; None for what is no sound.

    >>> sound_words({"sound": {"spectral_distance": 1.25, "snr_db": 12.0, "pca_snr_db": 9.5}})
    'spectral distance 1.25; signal to noise 12 dB (PCA 9.5 dB)'
    """
    found = metrics.get("sound")
    if not found:
        return None
    names = (("PCA", "pca_spectral_distance"), ("new phases alone", "phase_spectral_distance"))
    others = ", ".join(f"{name} {number(found[key])}" for name, key in names if key in found)
    said = f"spectral distance {number(found['spectral_distance'])}" + (f" ({others})" if others else "")
    if "snr_db" in found:
        theirs = f" (PCA {number(found['pca_snr_db'])} dB)" if "pca_snr_db" in found else ""
        said += f"; signal to noise {number(found['snr_db'])} dB{theirs}"
    return said


def note_lines(notes: Iterable[str]) -> list[tuple[str, str]]:
    """Notes as lines; see :func:`print_lines`."""
    return [("note", note) for note in notes]


def denoising_words(metrics: Mapping[str, Any]) -> str | None:
    """What became of corrupted rows, as ``metrics`` hold it; None if nothing was measured.

    >>> denoising_words({"denoising": {"corrupted": {"sse": 8.0}, "restored": {"sse": 2.0}}})
    'error of corrupted rows 8, restored 2'
    """
    found = metrics.get("denoising")
    if not found:
        return None
    said = f"error of corrupted rows {number(found['corrupted']['sse'])}, restored {number(found['restored']['sse'])}"
    if "pca" in found:
        said += f"; PCA of them {number(found['pca']['sse'])}"
    if "linear" in found:
        said += f"; best linear map {number(found['linear']['sse'])}"
    return said


def ratio(value: float, against: float | None) -> str:
    """How many times ``against`` a value is.

    >>> ratio(5.0, 10.0), ratio(5.0, None), ratio(5.0, 0.0)
    ('0.500', '-', '-')
    """
    return f"{value / against:.3f}" if against else "-"
