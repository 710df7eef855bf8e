"""The model: the *difference* of two artifacts of a kind is a JSON object that `compare` makes and `lines_of` writes for people."""

from flows.diff.compare import compare
from flows.diff.lines import lines_of

__all__ = ["compare", "lines_of"]
