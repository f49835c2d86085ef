"""Generators of hostile and odd files: nothing here is read from disk, all of it is built by hand."""
