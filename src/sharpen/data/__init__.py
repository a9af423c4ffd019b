"""From files, tables and generators to a task: strict reading, unique prompts, disjoint splits."""

from sharpen.data.procedural import DatasetScore, procedural_rows, procedural_task
from sharpen.data.rows import DataRow, Rows, read_rows
from sharpen.data.splits import Splits
from sharpen.data.task import make_task

__all__ = [
    "DataRow",
    "DatasetScore",
    "Rows",
    "Splits",
    "make_task",
    "procedural_rows",
    "procedural_task",
    "read_rows",
]
