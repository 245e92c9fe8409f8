"""The harness' modules import each other by name, here as where they are run as programs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
