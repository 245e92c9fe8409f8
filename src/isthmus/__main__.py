"""``python -m isthmus`` is ``isthmus``."""

from __future__ import annotations

import sys

from isthmus.cli.main import run

if __name__ == "__main__":
    sys.exit(run())
