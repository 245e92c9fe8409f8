"""What ``isthmus info`` tells of an archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.cli.output import number, print_json, print_lines
from isthmus.cli.preview_words import CODEC, preview_lines
from isthmus.cli.words import many, size_beside
from isthmus.memory import bytes_text

if TYPE_CHECKING:
    from isthmus.codec.apart import Named
    from isthmus.codec.container import Archive


KINDS = {
    "array": ("an array", "row"),
    "arrays": ("arrays", "row"),
    "text table": ("a table of text", "row"),
    "table": ("a table", "row"),
    "sound": ("a sound", "frame"),
    "folder": ("a folder", "piece"),
    "file": ("a file", "piece"),
}
"""What each kind of data is called, and a row of it."""


def print_archive(path: Path, *, json: bool) -> None:
    """Tell what is in an archive, what its bytes are spent on, and whether it is whole: every byte is read."""
    from isthmus.codec.container import Archive

    with Archive(path) as archive:
        damage = archive.check()
        if json:
            print_json(_document(archive, damage))
        else:
            print_lines(_lines(archive, damage))


def _document(archive: Archive, damage: tuple[str, ...]) -> dict[str, Any]:
    sizes = archive.sizes
    content, model = _content(archive), _model(archive)
    return {
        "what": "archive",
        "archive": str(archive.path),
        "rows": archive.n_rows,
        "kind": content.get("kind"),
        "bytes_before": archive.footer.get("bytes_before"),
        "bytes": {
            "total": sizes.total,
            "header": sizes.header,
            "model": sum(sizes.sections.values()),
            "blocks": sizes.blocks,
            "index": sizes.index,
            "lost": sizes.lost,
        },
        "model": None if model is None else {**model.to_dict(), "apart": not archive.sections},
        "blocks": {codec: n for codec, n in _blocks(archive).items() if codec},
        "guarantee": {
            "exact": archive.header.get("bounds") is None and not _is_preview(archive),
            "bounds": archive.header.get("bounds"),
        },
        "preview": archive.footer.get(CODEC),
        "verified": bool(archive.footer.get("verified")),
        "damage": list(damage),
    }


def _lines(archive: Archive, damage: tuple[str, ...]) -> list[tuple[str, str]]:
    sizes, content = archive.sizes, _content(archive)
    blocks = _blocks(archive)
    coded = ", ".join(
        f"{n:,} {codec or 'lost'} ({bytes_text(sizes.blocks.get(codec, sizes.lost))})"
        for codec, n in blocks.items()
    )
    bounds = archive.header.get("bounds")
    kept = "to the last bit" if bounds is None else _within(bounds, content)
    verified = (
        "each block was read back when it was written" if archive.footer.get("verified") else "not known"
    )
    what, row = KINDS.get(str(content.get("kind")), ("something", "row"))
    promised = content.get("n_rows")
    n_rows = max(archive.n_rows, promised if type(promised) is int else 0)
    left = f"{archive.n_rows:,} of " if n_rows > archive.n_rows else ""
    per_row = f", {number(8 * sizes.total / archive.n_rows)} bits a {row}" if archive.n_rows else ""
    return [
        ("archive", f"{archive.path}: {left}{many(n_rows, row)} of {what}"),
        ("size", f"{bytes_text(sizes.total)}{_beside(archive)}{per_row}"),
        *_model_lines(archive),
        ("blocks", coded or "none"),
        ("rest", f"{bytes_text(sizes.header + sizes.index)} for the header and the index"),
        *(preview_lines(archive.footer.get(CODEC)) if _is_preview(archive) else [("kept", kept)]),
        ("verified", verified),
        *(("damage", text) for text in damage),
        *([] if damage else [("whole", "every byte is as it was written")]),
    ]


def _model_lines(archive: Archive) -> list[tuple[str, str]]:
    model, sizes = _model(archive), archive.sizes.sections
    if model is None:
        return [("model", bytes_text(size)) for size in sizes.values()]
    size = bytes_text(sum(sizes.values()) or model.n_bytes)
    apart = "" if sizes else ", carried by another archive, with which this one is read"
    return [("model", f"{size}, digest {model.digest}{apart}")]


def _model(archive: Archive) -> Named | None:
    """What names the model that blocks are read with; None where there is none, or it is damaged."""
    from isthmus.codec.apart import MODEL, Named
    from isthmus.codec.container import naming
    from isthmus.errors import ArtifactError

    if MODEL not in archive.sections:
        with naming(archive.path):
            return Named.in_header(archive.header)
    try:
        return Named.of(archive.section(MODEL))
    except ArtifactError:
        return None


def _is_preview(archive: Archive) -> bool:
    """Whether it holds codes alone, so that what comes back is approximate."""
    return archive.header.get("coder") == CODEC


def _beside(archive: Archive) -> str:
    """How large it is beside what was compressed, with the model in it and without."""
    before, total = archive.footer.get("bytes_before"), archive.sizes.total
    if type(before) is not int or before < 0:
        return ""
    other = ""
    if carried := sum(archive.sizes.sections.values()):
        other = f" ({before / max(1, total - carried):.3g} times without the model)"
    elif (model := _model(archive)) is not None:
        other = f" ({before / (total + model.n_bytes):.3g} times with the model)"
    return f", {size_beside(total, before)}{other}"


def _within(bounds: Any, content: Mapping[str, Any]) -> str:
    """The most by which numbers may differ, in their own unit."""
    columns = content.get("columns")
    found = list[float]()
    for name, bound in bounds.items() if isinstance(bounds, dict) else ():
        errors = bound.get("error", 0) if isinstance(bound, dict) else 0
        digits = 0
        if isinstance(columns, list) and name.isdecimal() and int(name) < len(columns):
            told: Any = columns[int(name)]
            digits = told.get("digits", 0) if isinstance(told, dict) else 0
        found += [error / 10**digits for error in (errors if isinstance(errors, list) else [errors]) if error]
    if not found:
        return "to the last bit, as no number was to differ"
    low, high = number(min(found)), number(max(found))
    most = low if low == high else f"{low} to {high}, each column by its own"
    return f"numbers within {most}; the rest to the last bit"


def _content(archive: Archive) -> Mapping[str, Any]:
    content = archive.header.get("content")
    return content if isinstance(content, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _blocks(archive: Archive) -> dict[str, int]:
    """How many blocks each codec has; the empty one of rows that are lost."""
    return dict(Counter(block.codec for block in archive.blocks))
