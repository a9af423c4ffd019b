"""Stands in for the tutorial's make_prompts.py where the tiny model stands in for the real one: 300 words that it can learn."""

import json
from pathlib import Path

from sharpen.runtime.tiny import tiny_prompts

rows = [{"id": f"sale-{n}", "prompt": one.text, "target": one.target} for n, one in enumerate(tiny_prompts(300, seed=0))]
Path("sales.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
print(f"sales.jsonl: {len(rows)} rows, the first:\n{json.dumps(rows[0])}")
