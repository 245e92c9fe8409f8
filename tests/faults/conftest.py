"""Drills are programs of their own: collected is what runs them."""

from __future__ import annotations

collect_ignore_glob = ["drill*.py", "matrix.py"]
