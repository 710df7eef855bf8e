"""The model: an *explanation* (`model.probes.explain`) becomes one HTML page that needs nothing else."""

from flows.explain.page import render, write_page

__all__ = ["render", "write_page"]
