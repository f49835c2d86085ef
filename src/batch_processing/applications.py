"""Which applications stand on the engine: a line each, and nothing else names one to it.

A further application is a module with what `core.applications.Door` asks for, and its line here.
"""

from __future__ import annotations

# The module of each, by the kind of its jobs; it is imported when a job of that kind is met.
APPLICATIONS = {
    "comics": "batch_processing.colorize",
    "photos": "batch_processing.photos.application",
    "looks": "batch_processing.photos.pixels.looks_job",
}
