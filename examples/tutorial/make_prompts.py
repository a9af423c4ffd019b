"""Writes sales.jsonl: 300 sentences about a sale, each with the record that it should become. The same file every time."""

import json
import random
from pathlib import Path

NAMES = ["Anna", "Carlos", "Ivan", "Lena", "Mei", "Nadia", "Omar", "Paul", "Ruth", "Sara", "Tom", "Victor"]
GOODS = ["bicycles", "cameras", "chairs", "desks", "jackets", "kettles", "lamps", "printers"]
SENTENCES = [
    "{name} paid {amount} euros for {goods}.",
    "For {goods}, {name} sent us {amount} euros.",
    "We sold {goods} to {name} for {amount} euros.",
]

draw = random.Random(0)
rows = []
for number in range(300):
    name = draw.choice(NAMES)
    goods = f"{draw.randint(2, 9)} {draw.choice(GOODS)}"
    amount = f"{draw.randint(11, 999)}.{draw.randint(0, 99):02d}"
    sentence = draw.choice(SENTENCES).format(name=name, goods=goods, amount=amount)
    rows.append({"id": f"sale-{number}", "prompt": sentence, "target": f"{name} | {goods} | {amount}"})

Path("sales.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
print(f"sales.jsonl: {len(rows)} rows, the first:\n{json.dumps(rows[0])}")
