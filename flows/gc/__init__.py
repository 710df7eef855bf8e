"""The model: a *sweep* of a store has two halves: `examine` says of everything there whether it stays or may go, and why;
`remove` takes away what may go. Nothing is removed that a kept artifact was made from, that a run works on or has used within the
*grace* period, or that doesn't lie in the store.
"""

from flows.gc.examine import examine
from flows.gc.removal import remove
from flows.gc.verdicts import Rules

__all__ = ["Rules", "examine", "remove"]
