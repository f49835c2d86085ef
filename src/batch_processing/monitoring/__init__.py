"""What is being done, and what it takes: for people (`lote top`) and for Prometheus (`lote metrics`)."""

from .families import openmetrics
from .watch import JobView, Observation, Run, Stage, Watch
from .writing import MetricsFile, metrics_kept, write_metrics

__all__ = [
    "JobView",
    "MetricsFile",
    "Observation",
    "Run",
    "Stage",
    "Watch",
    "metrics_kept",
    "openmetrics",
    "write_metrics",
]
