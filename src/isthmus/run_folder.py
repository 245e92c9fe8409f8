"""Names in a run folder, for whatever writes or reads one; nothing here needs torch."""

from __future__ import annotations

RECORD = "run.json"
CHECKPOINTS = "checkpoints"
PREPARED = "prepared.safetensors"
"""In the checkpoints' folder: the model before its first step."""
MODEL = "model.safetensors"
JOURNAL = "journal.jsonl"
FILES = ("config.toml", "environment.json", JOURNAL, MODEL, "report.html", RECORD)
"""What a run folder holds, and the checkpoints of one that has not come to its end."""
UNFINISHED = "unfinished"
"""Where a run over an older one is written until its model is there."""
TAKING_OVER = "taking-over"
"""Where it is from then on until it has taken the older one's place: a folder of this name with a record in it is the
newer run, whatever lies beside it."""
FAILED = "failed.jsonl"
"""The journal of a run over an older one that failed."""
