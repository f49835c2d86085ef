"""The type of JSON data whose keys nobody can name beforehand: what a person wrote, what another program made.

What Lote makes itself has a dataclass, and is an object only on its way into a file or a column.
"""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]
"""An object as `json.loads` gives it. What it holds is known to the room that wrote it, by a dataclass."""
