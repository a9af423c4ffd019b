"""One of two processes that train together: `python two_ranks.py RANK WORLD PORT MODEL OUT`."""

import json
import sys
from pathlib import Path

import torch
from runtime_models import runtime
from training_cases import OBJECTIVES, batch_for, gradient_of, scored_for


def main(rank, world, meeting, folder, out):
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
    found = {}
    for name, objective in OBJECTIVES.items():
        rt = runtime(folder)
        examples = batch_for(objective, idle=(1,), count=7)
        scored = scored_for(rt, objective, examples)
        gradient, done = gradient_of(rt, out / f"{name}-{rank}", examples, objective, scored, token_budget=60)
        found[name] = gradient
        (out / f"{name}-{rank}.json").write_text(json.dumps({**done.metrics, "num_tokens": done.num_tokens}), "utf-8")
    torch.save(found, out / f"{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:]))
