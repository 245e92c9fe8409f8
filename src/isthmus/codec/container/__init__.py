"""Archives: files of independent blocks of rows, written so that they can be gone on with, read block by block.

The bytes are those of `isthmus.codec.container.frames` and `isthmus.codec.container.index`, specified in
docs/archive.md. What the header, the sections and the blocks hold is for others to say.
"""

from isthmus.codec.container.index import Block
from isthmus.codec.container.reader import Archive, Sizes, naming
from isthmus.codec.container.writer import ArchiveWriter

__all__ = ["Archive", "ArchiveWriter", "Block", "Sizes", "naming"]
