"""The comics application: from a chapter of line art and references to a coloured chapter.

`batch_processing.colorize` is its door; README.md says which module has which subject.
"""
