"""Archives: files of independent blocks of rows, written so that they can be gone on with, read block by block.

The bytes are those of `isthmus.codec.frames` and `isthmus.codec.index`, specified in docs/archive.md. What the
header, the sections and the blocks hold is for others to say.
"""

from isthmus.codec.index import Block
from isthmus.codec.reader import Archive, Sizes
from isthmus.codec.writer import ArchiveWriter

__all__ = ["Archive", "ArchiveWriter", "Block", "Sizes"]
