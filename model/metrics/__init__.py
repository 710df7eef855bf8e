"""The model: *metrics* judge answers; an interval says how sure a value is, and a *comparison* whether two systems differ."""

from model.metrics.bootstrap import measure
from model.metrics.metric import Metric
from model.metrics.named import metric_named, value_named

__all__ = ["Metric", "measure", "metric_named", "value_named"]
