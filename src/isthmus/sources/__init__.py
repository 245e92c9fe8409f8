"""Where rows come from: arrays, NumPy and IDX files, folders of images and of sounds, tables, bundled data."""

from isthmus.sources.arrays import ArraySource
from isthmus.sources.base import Source
from isthmus.sources.bundled import bundled
from isthmus.sources.check import check_alike, check_rows
from isthmus.sources.open import open_source
from isthmus.sources.table import TableSource, conform
from isthmus.sources.table_out import table_of

__all__ = [
    "ArraySource",
    "Source",
    "TableSource",
    "bundled",
    "check_alike",
    "check_rows",
    "conform",
    "open_source",
    "table_of",
]
