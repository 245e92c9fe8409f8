"""Where rows come from: arrays, NumPy and IDX files, folders of images and of sounds, bundled data."""

from isthmus.sources.arrays import ArraySource
from isthmus.sources.base import Source
from isthmus.sources.bundled import bundled
from isthmus.sources.check import check_alike, check_rows
from isthmus.sources.open import open_source

__all__ = ["ArraySource", "Source", "bundled", "check_alike", "check_rows", "open_source"]
