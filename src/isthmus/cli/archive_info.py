"""What ``isthmus info`` tells of an archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.cli.output import number, print_json, print_lines
from isthmus.cli.preview_words import CODEC, preview_lines
from isthmus.cli.words import many
from isthmus.memory import bytes_text

if TYPE_CHECKING:
    from isthmus.codec.container import Archive


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
    content = _content(archive)
    return {
        "what": "archive",
        "archive": str(archive.path),
        "rows": archive.n_rows,
        "kind": content.get("kind"),
        "bytes": {
            "total": sizes.total,
            "header": sizes.header,
            "model": sum(sizes.sections.values()),
            "blocks": sizes.blocks,
            "index": sizes.index,
            "lost": sizes.lost,
        },
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
    model = sum(sizes.sections.values())
    is_exact = archive.header.get("bounds") is None
    kept = "to the last bit" if is_exact else "numbers within an error, the rest to the last bit"
    verified = (
        "each block was read back when it was written" if archive.footer.get("verified") else "not known"
    )
    return [
        ("archive", f"{archive.path}: {many(archive.n_rows, 'row')} of a {content.get('kind', 'file')}"),
        ("size", f"{bytes_text(sizes.total)}, {number(8 * sizes.total / max(1, archive.n_rows))} bits a row"),
        *([("model", bytes_text(model))] if model else []),
        ("blocks", coded or "none"),
        *(preview_lines(archive.footer.get(CODEC)) if _is_preview(archive) else [("kept", kept)]),
        ("verified", verified),
        *(("damage", text) for text in damage),
        *([] if damage else [("whole", "every byte is as it was written")]),
    ]


def _is_preview(archive: Archive) -> bool:
    """Whether it holds codes alone, so that what comes back is approximate."""
    return archive.header.get("coder") == CODEC


def _content(archive: Archive) -> Mapping[str, Any]:
    content = archive.header.get("content")
    return content if isinstance(content, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _blocks(archive: Archive) -> dict[str, int]:
    """How many blocks each codec has; the empty one of rows that are lost."""
    return dict(Counter(block.codec for block in archive.blocks))
