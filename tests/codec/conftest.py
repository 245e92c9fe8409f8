"""The slow reader is imported by name, as whoever writes one from the page would."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
