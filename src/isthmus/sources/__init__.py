"""Where rows come from: arrays, sparse matrices, files of them, images and sounds, tables, shards, bundled data."""

from isthmus.sources.arrays import ArraySource
from isthmus.sources.base import Source
from isthmus.sources.bundled import bundled
from isthmus.sources.check import check_alike, check_rows
from isthmus.sources.open import open_source
from isthmus.sources.shards import ShardedSource
from isthmus.sources.sparse import SparseSource
from isthmus.sources.table import TableSource, conform
from isthmus.sources.table_out import table_of

__all__ = [
    "ArraySource",
    "ShardedSource",
    "Source",
    "SparseSource",
    "TableSource",
    "bundled",
    "check_alike",
    "check_rows",
    "conform",
    "open_source",
    "table_of",
]
