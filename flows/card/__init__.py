"""The model: a *model card* tells what a model is, what it was made from, how it was trained, what was found about it, and what nobody
knows; in Markdown for Hugging Face, and as a page. All of it comes from artifacts, so equal artifacts give an equal card.
"""

from flows.card.gather import CardFacts, gather_card
from flows.card.markdown import render_markdown
from flows.card.page import render_card

__all__ = ["CardFacts", "gather_card", "render_card", "render_markdown"]
