"""The documented spelling of `batch_processing.config.handler`."""

from .handler import ConfigurationHandler

__all__ = ["ConfigurationHandler"]
