"""The model: *harmful content* is told by lists of terms, and by how much of a document they make up.

`harmful_scores` gives the scores of texts by the lists of a recipe's section, and `own_lists_digest` says which lists ship.
"""

from __future__ import annotations

from pipelines.harmful.lexicon import harmful_scores, own_lists_digest

__all__ = ["harmful_scores", "own_lists_digest"]
