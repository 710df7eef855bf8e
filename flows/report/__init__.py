"""The model: a *report* is one HTML page about a run: its *facts* are gathered from artifacts, then rendered."""

from flows.report.facts import ReportFacts
from flows.report.gather import gather
from flows.report.page import render, write_report

__all__ = ["ReportFacts", "gather", "render", "write_report"]
