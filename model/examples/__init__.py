"""The model: labelled data becomes examples, whose subsets don't give each other away; see `reading`."""

from model.examples.account import Account, Leak, Reject, Report
from model.examples.balance import class_weights
from model.examples.kinds import (
    Answer,
    Asked,
    Chatted,
    Classified,
    Coded,
    Example,
    Message,
    Tagged,
    Written,
    data_digest,
    input_of,
    labels_of,
    reference_of,
)
from model.examples.reading import Subsets, read_task

__all__ = [
    "Account", "Answer", "Asked", "Chatted", "Classified", "Coded", "Example", "Leak", "Message", "Reject", "Report", "Subsets", "Tagged",
    "Written", "class_weights", "data_digest", "input_of", "labels_of", "read_task", "reference_of",
]  # fmt: skip
