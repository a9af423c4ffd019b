"""The report: one self-contained HTML file that says what a run did, and proves what it says."""

from __future__ import annotations

from sharpen.report.figures import Estimate, Findings, Standing, Versus, estimate, findings, versus
from sharpen.report.page import render_report, write_report

__all__ = ["Estimate", "Findings", "Standing", "Versus", "estimate", "findings", "render_report", "versus", "write_report"]
