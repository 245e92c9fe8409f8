"""What a source holds, block by block and exactly, and how blocks become the source again."""

from isthmus.codec.contents.base import Content, Form
from isthmus.codec.contents.kinds import content_from, content_of

__all__ = ["Content", "Form", "content_from", "content_of"]
