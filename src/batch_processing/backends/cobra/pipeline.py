"""Cobra's stages from pictures to pictures, on one device; what is kept between pages is `shared`'s business.

The stages of a page: `line_art`, `embed` (to look up references), `encode`, `record` (references to keys
and values), `denoise`, `picture`, `enlarge`. Pages of one size and one number of reference patches go
through `denoise` together; all other stages take them one at a time.

The numbers do not depend on who shares a batch, but their last bits do: floating-point sums are ordered by
the shape of the batch, which moves single pixels by one grey level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from . import preprocess, vae
from .transformer import PageMemory, size_conditions
from .weights import scheduler_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..painting import Size
    from .weights import Model, StyleNetworks

CLIP_BATCH = 16  # pictures of 224 x 224 at a time
BAND_ROWS = 128  # rows of the tiled super-resolution at a time
ENLARGEMENT = 1.5


def type_on(device: torch.device) -> torch.dtype:
    """What is computed in: half precision on a GPU, as the model was made. bfloat16 would be ten times less exact."""
    return torch.float32 if device.type == "cpu" else torch.float16


class Pipeline:
    """The networks of a model on a device, the style's changed on demand.

    `tiled`: super-resolution in bands of rows with its activations in host memory. `offload`: networks lie in
    host memory and visit the device for their stage only. Both can be switched on between pages; neither
    changes the result beyond rounding."""

    def __init__(self, model: Model, device: torch.device, dtype: torch.dtype) -> None:
        self.model = model
        self.device = device
        self.dtype = dtype
        self.tiled = False
        self._offload = False
        self.shared = model.shared(dtype)
        self._style: tuple[str, StyleNetworks] | None = None
        for network in (self.shared.line_extractor, self.shared.image_encoder, self.shared.vae):
            network.to(device)

    @property
    def offload(self) -> bool:
        return self._offload

    @offload.setter
    def offload(self, value: bool) -> None:
        self._offload = value
        self._place(torch.device("cpu") if value else self.device)

    def networks(self, style: str) -> StyleNetworks:
        """The networks of one style, on the device unless they are offloaded.

        Only one style is held: the other's are let go first and read again from mapped files when wanted."""
        if self._style is None or self._style[0] != style:
            self._style = None
            networks = self.model.style(style, self.dtype)
            self._style = (style, networks)
            if not self._offload:
                for network in (networks.transformer, networks.guider, networks.gsrp):
                    network.to(self.device)
        return self._style[1]

    def _place(self, device: torch.device) -> None:
        held = [self.shared.line_extractor, self.shared.image_encoder, self.shared.vae]
        if self._style is not None:
            networks = self._style[1]
            held += [networks.transformer, networks.guider, networks.gsrp]
        for network in held:
            network.to(device)

    @contextmanager
    def _at_work(self, *networks: nn.Module) -> Iterator[None]:
        """The networks are on the device inside, and gradients off."""
        if self._offload:
            for network in networks:
                network.to(self.device)
        try:
            with torch.inference_mode():
                yield
        finally:
            if self._offload:
                for network in networks:
                    network.to("cpu")

    # -- looking at pictures ------------------------------------------------------------------------------

    def embed(self, images: Sequence[Image.Image]) -> Tensor:
        """CLIP vectors (n, projection) of length 1, float32, on the host."""
        parts = []
        with self._at_work(self.shared.image_encoder):
            for start in range(0, len(images), CLIP_BATCH):
                pixels = np.stack(
                    [preprocess.clip_pixels(image) for image in images[start : start + CLIP_BATCH]]
                )
                found = self.shared.image_encoder(torch.from_numpy(pixels).to(self.device)).image_embeds
                parts.append(nn.functional.normalize(found.float(), dim=-1).cpu())
        return torch.cat(parts)

    def line_art(self, gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The lines (H, W) of a grey page (H, W) of a bucket's size."""
        with self._at_work(self.shared.line_extractor):
            x = torch.from_numpy(gray.astype(np.float32)).to(self.device)[None, None]
            lines = self.shared.line_extractor(x)[0, 0]
            # Truncated, not rounded, as in training.
            return np.asarray(lines.clamp(0, 255).to(torch.uint8).cpu())

    def encode(self, *images: NDArray[np.uint8]) -> Tensor:
        """Scaled latents (n, 4, H/8, W/8), on the host, of pictures (H, W, 3) of one size."""
        with self._at_work(self.shared.vae):
            mean, _ = vae.encode(self.shared.vae, torch.cat([self._tensor(image) for image in images]))
            return (mean * self._scaling).cpu()

    def record(self, style: str, latents: Tensor, group: int) -> Tensor:
        """Keys and values of reference latents (n, 4, h, w) in `group`, one entry each, on the device."""
        transformer = self.networks(style).transformer
        with self._at_work(transformer):
            return transformer.record(latents.to(self.device), group)

    # -- making pictures ----------------------------------------------------------------------------------

    def memory(self, style: str, pages: int, patches: int, bucket: Size) -> PageMemory | None:
        """Room for the keys and values of `pages` pages with `patches` reference patches each."""
        if not patches:
            return None
        tokens = bucket[0] * bucket[1] // 256
        like = torch.empty((), dtype=self.dtype, device=self.device)
        return PageMemory(self.networks(style).transformer.shape, pages, tokens, patches, like)

    def denoise(
        self,
        style: str,
        seeds: Sequence[int],
        steps: int,
        lines: Tensor,
        hints: Tensor,
        masks: Tensor,
        memory: PageMemory | None,
        each_step: Callable[[int], None],
    ) -> Tensor:
        """Scaled latents (B, 4, h, w) of colours, from latents of lines and hints and hint masks (B, 1, h, w).

        Each page's noise is the first draw of a generator of its own seed, on the host: it depends neither
        on the batch nor on the device. `each_step(number)` is called after each step and may raise."""
        networks = self.networks(style)
        height, width = lines.shape[-2:]
        noise = [
            torch.randn((1, *lines.shape[1:]), generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
        scheduler = scheduler_of(self.model.architecture.scheduler, steps)
        with self._at_work(networks.transformer, networks.guider):
            x = torch.cat(noise).to(self.device, self.dtype)
            conditions = torch.cat([lines, hints, masks.to(lines.dtype)], dim=1).to(self.device, self.dtype)
            size = size_conditions(height // 2, width // 2, self.device)
            timesteps = scheduler.timesteps.tolist()
            # All at once: to bring a number to the GPU in each step would have the host wait for it.
            times = torch.tensor(timesteps, dtype=torch.float32, device=self.device)
            for number, timestep in enumerate(timesteps):
                time = times[number]
                guidance = networks.guider(torch.cat([x, conditions], dim=1), time, size)
                predicted = networks.transformer(x, time, memory, guidance, size)[:, : x.shape[1]]
                x = scheduler.step(predicted, timestep, x).prev_sample
                each_step(number + 1)
            return x

    def picture(self, latents: Tensor) -> NDArray[np.uint8]:
        """The picture (H, W, 3) of scaled latents (1, 4, H/8, W/8)."""
        with self._at_work(self.shared.vae):
            image = vae.decode(self.shared.vae, latents.to(self.device, self.dtype) / self._scaling)
            return self._pixels((image * 0.5 + 0.5).clamp(0, 1).float().mul(255).round())

    def enlarge(self, style: str, colors: NDArray[np.uint8], lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (1.5 H, 1.5 W, 3) of colours (H, W, 3) under the condition (H, W) of the page."""
        gsrp = self.networks(style).gsrp
        height, width = lines.shape
        size = (int(ENLARGEMENT * width), int(ENLARGEMENT * height))
        large = [
            np.asarray(preprocess.resized(Image.fromarray(picture), size)) for picture in (colors, lines)
        ]
        with self._at_work(self.shared.vae, gsrp):
            store = torch.device("cpu") if self.tiled else self.device
            latents, of_colors = vae.encode(self.shared.vae, self._tensor(large[0]))
            of_colors = [x.to(store) for x in of_colors]
            of_lines = [
                x.to(store)
                for x in vae.activations(self.shared.vae, self._tensor(large[1]).expand(-1, 3, -1, -1))
            ]

            def addition(level: int) -> Tensor:
                pair = of_colors.pop(), of_lines.pop()  # let go of each level when it is used
                if self.tiled:
                    return gsrp.fuse_in_bands(level, *pair, rows=BAND_ROWS, device=self.device)
                return gsrp.fuse(level, *pair)

            image = vae.decode(self.shared.vae, latents, addition)
            # Truncated here, rounded above: both as in the published code.
            return self._pixels((image.float().clamp(-1, 1) * 0.5 + 0.5) * 255)

    @property
    def _scaling(self) -> float:
        return float(self.model.architecture.vae["scaling_factor"])

    def _tensor(self, image: NDArray[np.uint8]) -> Tensor:
        """(1, 3, H, W), or (1, 1, H, W) of a gray one, in [-1, 1] on the device."""
        x = torch.tensor(np.atleast_3d(image), device=self.device).permute(2, 0, 1)[None]
        return (x.float() / 127.5 - 1).to(self.dtype)

    @staticmethod
    def _pixels(image: Tensor) -> NDArray[np.uint8]:
        return np.ascontiguousarray(image[0].to(torch.uint8).permute(1, 2, 0).cpu().numpy())
