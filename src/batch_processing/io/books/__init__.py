"""Books: files that hold pages of their own, of every kind that Lote reads. `opening` is the door."""
