"""The model: *drift* is how far new text is from what the champion learned: a *distance* for each measure and language, beside a
threshold, and a test that says whether chance alone would make it. See `flows.drift.work` for how it is found.
"""

from flows.drift.work import Drifted, drift_of, drifted

__all__ = ["Drifted", "drift_of", "drifted"]
