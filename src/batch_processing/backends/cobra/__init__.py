"""Cobra: line art coloured from many references by a diffusion transformer (arXiv 2504.12240).

An implementation of our own on the stock diffusers package. `CobraBackend` is the door; importing it loads
no torch. The rooms: `folder`, `reading`, `weights`, `conversion` (model files), `assembly` (published tensors to
ours), `transformer`, `line_extractor`, `vae`, `gsrp` (networks), `preprocess`, `hints` (pictures), `pipeline`
(stages on a device), `shared` (what pages share), `backend` (the contract).
"""

from .backend import CobraBackend

__all__ = ["CobraBackend"]
