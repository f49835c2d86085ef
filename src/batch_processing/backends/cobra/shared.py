"""What pages of one book share: chosen references, latents, keys and values; and in which order to go.

* CLIP vectors and VAE latents are kept on the host under the content they were made from, keys and values of
  a patch in a group on the device. Each store has a budget of bytes and lets go of what was used longest ago.
* `Book.choose` looks up references for a page; `batches` then groups pages that can be denoised together and
  orders them so that neighbours share patches; `Book.color` colours one such group.
* Nothing that is kept shows in a page: what is computed for it has the same shapes, and so the same bits,
  whether it is found or made anew.

Keys and values are worth keeping only where they are used: computing them takes about 1 ms on an H100, fetching
80 MB from the host 1.6 ms. A latent is 20 KB and stands for four of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import painting
from ..painting import References, Size
from . import preprocess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .pipeline import Pipeline
    from .transformer import PageMemory

# SHA-256 of the reference, and number of the patch: 0 to 4 of its first tile, 5 to 9 of the next.
Patch = tuple[str, int]

HOST_BUDGET = 2 << 30  # bytes: fitted references (2 MB each), latents and vectors of some 800 references
# Patches encoded, or in one reference pass, at once on a GPU, which is no faster with fewer: two pages' worth of tokens.
PATCHES_TOGETHER = 8
# Pages among which the next is looked for: a book of thousands is ordered in seconds.
AHEAD = 256


class Store:
    """Tensors under keys, at most `budget` bytes of them; the one used longest ago goes first."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.held = 0
        self.hits = 0
        self.misses = 0
        self._items: OrderedDict[Hashable, Tensor] = OrderedDict()

    def get(self, key: Hashable) -> Tensor | None:
        found = self._items.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._items.move_to_end(key)
        return found

    def put(self, key: Hashable, value: Tensor) -> None:
        """Keep a copy of `value`, unless it alone is larger than the budget.

        A copy, because a view would keep alive the whole batch that it is part of."""
        size = value.nbytes
        if size > self.budget:
            return
        before = self._items.pop(key, None)
        self.held += size - (0 if before is None else before.nbytes)
        self._items[key] = value.clone()
        while self.held > self.budget:
            _, gone = self._items.popitem(last=False)
            self.held -= gone.nbytes

    def clear(self) -> None:
        self._items.clear()
        self.held = 0


@dataclass(frozen=True)
class Choice:
    """The patches chosen for one picture: for each of the 4 groups the best first."""

    bucket: Size
    groups: tuple[tuple[Patch, ...], ...]

    @property
    def count(self) -> int:
        return sum(map(len, self.groups))

    def placed(self) -> Iterator[tuple[int, Patch]]:
        """(group, patch) in the order of the slots."""
        for group, patches in enumerate(self.groups):
            for patch in patches:
                yield group, patch


@dataclass(frozen=True)
class Likeness:
    """What pictures must have in common to be denoised together."""

    style: str
    steps: int
    bucket: Size
    patches: int


@dataclass
class Picture:
    """One picture to colour: a page, or a piece of a long one. `gray` (H, W) is of the size of the choice's bucket, `hints`
    RGBA of the page's own, or None."""

    gray: NDArray[np.uint8]
    style: str
    seed: int
    steps: int
    choice: Choice
    hints: Image.Image | None = None

    @property
    def work(self) -> int:
        """How often `Book.color` says that something is done: steps, and looking, decoding, enlarging."""
        return self.steps + 3

    @property
    def likeness(self) -> Likeness:
        return Likeness(self.style, self.steps, self.choice.bucket, self.choice.count)


def batches(
    likenesses: Sequence[Likeness], choices: Sequence[Choice], sizes: Sequence[int]
) -> list[list[int]]:
    """Numbers of the pictures in the order to colour them, in groups to colour together.

    Groups hold like pictures, as many as the `sizes` of each of them allow. Among like ones the next is the
    one that shares most placed patches with the one before it (the earlier if several do)."""
    alike: dict[tuple[Likeness, int], list[int]] = {}
    for number, kind in enumerate(zip(likenesses, sizes, strict=True)):
        alike.setdefault(kind, []).append(number)
    numbers: dict[tuple[int, Patch], int] = {}
    uses = [
        sum(1 << numbers.setdefault(place, len(numbers)) for place in choice.placed()) for choice in choices
    ]
    result = []
    for (_, together), rest in alike.items():
        order = [rest.pop(0)]
        while rest:
            near = rest[:AHEAD]
            best = max(near, key=lambda number: (uses[number] & uses[order[-1]]).bit_count())
            rest.remove(best)
            order.append(best)
        result += [order[start : start + together] for start in range(0, len(order), together)]
    return result


class Book:
    """Colours pictures with one pipeline and one set of references, keeping what can be used again."""

    def __init__(self, pipeline: Pipeline, entry_budget: int) -> None:
        self.pipeline = pipeline
        self.references = References(None)
        self.host = Store(HOST_BUDGET)
        self.entries = Store(entry_budget)
        self.patches_together = 1 if pipeline.device.type == "cpu" else PATCHES_TOGETHER

    def choose(self, rgb: NDArray[np.uint8], digest: str, top_k: int, alive: Callable[[], None]) -> Choice:
        """Look up the `top_k` patches nearest to each crop of a picture, fewer if there are fewer.

        `digest` stands for the pixels of `rgb` (H, W, 3). `alive` is called before each reference not seen before."""
        height, width = rgb.shape[:2]
        bucket = painting.choose_bucket((width, height), self.pipeline.model.architecture.buckets)
        names = self.references.names
        if not names:
            return Choice(bucket, ((), (), (), ()))
        known = [self._vectors(name, bucket, alive) for name in names]
        key = ("page", digest, bucket)
        queries = self.host.get(key)
        if queries is None:
            queries = self.pipeline.embed(preprocess.query_crops(Image.fromarray(rgb), bucket))
            self.host.put(key, queries)
        patches = [(name, n) for name, rows in zip(names, known, strict=True) for n in range(len(rows))]
        order = (queries @ torch.cat(known).T).argsort(dim=1, descending=True, stable=True)[:, :top_k]
        return Choice(
            bucket,
            tuple(tuple(patches[index] for index in row) for row in order.tolist()),
        )

    def color(
        self, pictures: Mapping[int, Picture], width: int, worked: Callable[[int], None]
    ) -> list[NDArray[np.uint8]]:
        """The pictures (1.5 H, 1.5 W, 3) of their bucket's H and W; all of one `Likeness`.

        `pictures` stand in their places in a batch of `width`. Places that nobody has are filled with copies:
        the shapes, and with them the order of all sums, are those of the whole batch.
        `worked(n)` is called when n of the `work` of all pictures are done; it may raise."""
        first, *_ = pictures.values()
        likeness = first.likeness
        conditions: dict[int, NDArray[np.uint8]] = {}
        inputs: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        for place, picture in pictures.items():
            condition = preprocess.condition(
                picture.gray, self.pipeline.line_art(picture.gray), likeness.style
            )
            painted, mask = preprocess.paint_hints(condition, picture.hints)
            latents = self.pipeline.encode(np.repeat(condition[:, :, None], 3, axis=2))
            conditions[place] = condition
            # Without strokes the hint picture is the line art: the same latents serve.
            hints = self.pipeline.encode(painted) if mask.any() else latents
            inputs[place] = latents, hints, torch.from_numpy(mask)[None, None]
            worked(1)
        default = next(iter(pictures))
        batch = [place if place in pictures else default for place in range(width)]
        memory = self.pipeline.memory(likeness.style, width, likeness.patches, likeness.bucket)
        if memory is not None:
            self._fill(memory, [pictures[place] for place in batch], worked)
        lines, hint_latents, masks = (
            torch.cat(parts) for parts in zip(*(inputs[place] for place in batch), strict=True)
        )
        colored = self.pipeline.denoise(
            likeness.style,
            [pictures[place].seed for place in batch],
            likeness.steps,
            lines,
            hint_latents,
            masks,
            memory,
            lambda _: worked(len(pictures)),
        )
        del memory  # gigabytes that the large pictures need now
        results = []
        for place, condition in conditions.items():
            small = self.pipeline.picture(colored[place : place + 1])
            worked(1)
            results.append(self.pipeline.enlarge(likeness.style, small, condition))
            worked(1)
        return results

    def _fill(self, memory: PageMemory, pictures: Sequence[Picture], worked: Callable[[int], None]) -> None:
        """Put the keys and values of all chosen patches in place, recording those that are not kept.

        Each is copied as soon as it is at hand, so that no more of them exist than the store holds."""
        likeness = pictures[0].likeness
        wanted: dict[tuple[int, Patch], list[tuple[int, int]]] = {}
        for page, picture in enumerate(pictures):
            for slot, place in enumerate(picture.choice.placed()):
                wanted.setdefault(place, []).append((page, slot))
        missing: dict[int, list[Patch]] = {}
        for (group, patch), targets in wanted.items():
            entry = self.entries.get((likeness.style, likeness.bucket, group, patch))
            if entry is None:
                missing.setdefault(group, []).append(patch)
                continue
            for page, slot in targets:
                memory.put(page, slot, entry)
        unique = dict.fromkeys(patch for patches in missing.values() for patch in patches)
        latents_of = self._latents(list(unique), likeness.bucket, worked)
        for group, patches in missing.items():
            for part, full in _filled(patches, self.patches_together):
                latents = torch.cat([latents_of[patch] for patch in full])
                entries = self.pipeline.record(likeness.style, latents, group)
                for patch, entry in zip(part, entries, strict=False):
                    for page, slot in wanted[group, patch]:
                        memory.put(page, slot, entry)
                    self.entries.put((likeness.style, likeness.bucket, group, patch), entry)
                worked(0)

    def _fitted(self, name: str, bucket: Size) -> list[Image.Image]:
        """A reference at the size of the bucket, or its tiles."""
        key = ("fitted", name, bucket)
        kept = self.host.get(key)
        if kept is None:
            pictures = preprocess.fitted(self.references.image(name), bucket)
            kept = torch.stack([torch.tensor(np.asarray(picture)) for picture in pictures])
            self.host.put(key, kept)
        return [Image.fromarray(picture) for picture in kept.numpy()]

    def _vectors(self, name: str, bucket: Size, alive: Callable[[], None]) -> Tensor:
        """(5 a tile, projection): CLIP vectors of the patches of a reference."""
        key = ("vectors", name, bucket)
        kept = self.host.get(key)
        if kept is None:
            alive()
            tiles = self._fitted(name, bucket)
            kept = torch.cat([self.pipeline.embed([tile, *preprocess.crops(tile, bucket)]) for tile in tiles])
            self.host.put(key, kept)
        return kept

    def _latents(
        self, patches: Sequence[Patch], bucket: Size, worked: Callable[[int], None]
    ) -> dict[Patch, Tensor]:
        """(1, 4, h, w) each: latents of patches at half the size of the bucket."""
        found: dict[Patch, Tensor] = {}
        missing = []
        for patch in patches:
            kept = self.host.get(("latents", patch, bucket))
            if kept is None:
                missing.append(patch)
            else:
                found[patch] = kept
        for part, full in _filled(missing, self.patches_together):
            images = {patch: self._patch(patch, bucket) for patch in part}
            encoded = self.pipeline.encode(*(images[patch] for patch in full))
            for number, patch in enumerate(part):
                found[patch] = encoded[number : number + 1]
                self.host.put(("latents", patch, bucket), found[patch])
            worked(0)
        return found

    def _patch(self, patch: Patch, bucket: Size) -> NDArray[np.uint8]:
        """The picture of a patch at half the size of the bucket."""
        name, number = patch
        tile, part = divmod(number, preprocess.PATCHES)
        fitted = self._fitted(name, bucket)[tile]
        image = fitted if part == 0 else preprocess.crops(fitted, bucket)[part - 1]
        return np.asarray(preprocess.resized(image, (bucket[0] // 2, bucket[1] // 2)))


def _filled(patches: Sequence[Patch], together: int) -> Iterator[tuple[Sequence[Patch], Sequence[Patch]]]:
    """The patches in parts, and each part filled up to `together` with copies: how many are missing must not show in the
    last bits of what is made of one."""
    for start in range(0, len(patches), together):
        part = list(patches[start : start + together])
        yield part, (part * together)[:together]
