"""The model: the *names* that a recipe gives. It calls what it makes by its own, and some of it by that with a *suffix* behind. So no
recipe may be called as what another makes: the two would take each other's artifacts for their own.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from schemas.recipe.section import Name

FINETUNED = "-finetuned"
"""The model that the finetune step makes."""
CHALLENGER = "-challenger"
"""The model that a retraining makes."""
GATE = "-gate"
"""The evaluation of a challenger beside the champion."""
SEEDS = "-seeds"
"""The decision that keeps how far challengers lie apart that differ by their seed."""
SUFFIXES = (FINETUNED, CHALLENGER, GATE, SEEDS)


def maker_of(name: str) -> str | None:
    """The name of the recipe that makes what is called so; None for a name that a recipe may have itself.

    >>> maker_of("demo-challenger-finetuned"), maker_of("demo-2"), maker_of("gate")
    ('demo', None, None)
    """
    suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
    if suffix is None:
        return None
    maker = name.removesuffix(suffix)
    return maker_of(maker) or maker


def _is_own(name: str) -> str:
    if (maker := maker_of(name)) is not None:
        raise ValueError(
            f"a recipe's name can't end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}: {name} is what a recipe {maker} would call "
            "something that it makes, and the two would write each other's artifacts; take another"
        )
    return name


RecipeName = Annotated[Name, AfterValidator(_is_own)]
