"""Writes model cards, the JSON files that describe published weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

from facekit.embedding.weights.registry import CARDS, WeightsRecord


def write_card(record: WeightsRecord) -> Path:
    """Writes a record's model card, with one line per table row, and returns its path."""
    card = json.dumps(record.card(), indent=2, ensure_ascii=False)
    rows = re.compile(r"\[\s+([^\[\]{}]*?)\s+\]")
    path = CARDS / f"{record.name}.json"
    path.write_text(
        rows.sub(lambda row: f"[{' '.join(row[1].split())}]", card) + "\n", encoding="utf-8"
    )
    return path
