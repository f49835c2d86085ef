"""The documented spelling of `batch_processing.core.processor`."""

from .core.processor import BatchProcessor

__all__ = ["BatchProcessor"]
