"""From files, tables and generators to a task: strict reading, unique prompts, disjoint splits."""

from sharpen.data.procedural import DatasetScore, procedural_rows, procedural_task
from sharpen.data.rows import DataRow, Rows, drop_long, need_targets, prompt_rows, read_rows
from sharpen.data.splits import Splits
from sharpen.data.task import check_targets, make_task

__all__ = [
    "DataRow",
    "DatasetScore",
    "Rows",
    "Splits",
    "check_targets",
    "drop_long",
    "make_task",
    "need_targets",
    "procedural_rows",
    "procedural_task",
    "prompt_rows",
    "read_rows",
]
