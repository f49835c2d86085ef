"""What Cobra costs: arithmetic counted, memory simulated, time measured. All weights are random.

    python benchmarks/cobra.py count            FLOP of the full-size networks, without computing them
    python benchmarks/cobra.py memory           peak memory of a page on a GPU, without a GPU
    python benchmarks/cobra.py book             a small book on small networks on the CPU, with and without
                                                what pages share
    python benchmarks/cobra.py engine           the same through the whole of `lote colorize`, with little room
                                                for what pages share
    python benchmarks/cobra.py gpu              full-size networks on CUDA: the table of docs/cobra.md

The last needs a GPU of 24 GB or more, torch with CUDA, diffusers and transformers (run from a source tree:
PYTHONPATH=src). Nothing is read or written but the table on stdout (and, for "engine", a temporary folder). FLOP are 2 x multiply-add; only matrix
products, convolutions and attention are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from batch_processing.backends.cobra import backend
from batch_processing.backends.cobra import folder as folder_of
from batch_processing.backends.cobra import shared as book_of
from batch_processing.backends.cobra import vae as walks
from batch_processing.backends.cobra.gsrp import GSRP
from batch_processing.backends.cobra.line_extractor import LineExtractor, LineExtractorShape
from batch_processing.backends.cobra.pipeline import Pipeline
from batch_processing.backends.cobra.preprocess import resized
from batch_processing.backends.cobra.shared import Book, Likeness, Picture, batches
from batch_processing.backends.cobra.transformer import (
    CobraTransformer,
    LineArtGuider,
    PageMemory,
    TransformerShape,
)
from batch_processing.backends.cobra.weights import Architecture, Model, SharedNetworks, StyleNetworks
from batch_processing.backends.painting import References

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch_processing.backends.painting import Size

PEAK = 790e12  # FLOP/s of dense 16-bit matrix products that the project reckons with for an H100 or H200
STYLE = "line + shadow"
BUCKET = (800, 800)

SD_VAE: dict[str, Any] = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "scaling_factor": 0.18215,
}
# IP-Adapter's image encoder, which the published one is expected to be.
VIT_H: dict[str, Any] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "patch_size": 14,
    "projection_dim": 1024,
}
SCHEDULER: dict[str, Any] = {
    "algorithm_type": "dpmsolver++",
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
}
FULL = Architecture(vae=SD_VAE, scheduler=SCHEDULER)
# Small networks that keep the proportions of the stages, for a CPU.
SMALL = Architecture(
    transformer=TransformerShape(heads=4, head_dim=36, layers=8, caption_channels=64),
    line_extractor=LineExtractorShape((4, 6, 8, 10, 12), (2, 3, 2, 2, 3), 5),
    vae=SD_VAE | {"block_out_channels": [8, 16, 32, 32], "layers_per_block": 1, "norm_num_groups": 4},
    scheduler=SCHEDULER,
    buckets=((256, 256), (256, 384), (384, 256)),
)
SMALL_VIT = VIT_H | {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "projection_dim": 64,
}


@dataclass
class RandomModel(Model):
    """Networks of an architecture with random weights, made where they are wanted."""

    architecture: Architecture
    encoder: dict[str, Any]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def shared(self, dtype: torch.dtype) -> SharedNetworks:
        import diffusers
        import transformers

        vae_class: Any = diffusers.AutoencoderKL
        encoder_class: Any = transformers.CLIPVisionModelWithProjection
        with torch.device(self.device):
            vae = nn.Module.to(vae_class.from_config(dict(self.architecture.vae)), dtype)
            encoder = encoder_class(transformers.CLIPVisionConfig(**self.encoder))
            line = LineExtractor(self.architecture.line_extractor)
        for coder in (vae.encoder, vae.decoder):
            coder.mid_block.attentions[0].set_processor(walks.ChunkedAttention())
        return SharedNetworks(still(line), still(encoder), still(vae))

    def style(self, style: str, dtype: torch.dtype) -> StyleNetworks:
        shape = self.architecture.transformer
        with torch.device(self.device):
            made = (
                CobraTransformer(shape),
                LineArtGuider(shape),
                GSRP(self.architecture.vae["block_out_channels"]),
            )
        return StyleNetworks(*(still(network.to(dtype)) for network in made))


def still(network: Any) -> Any:
    return network.eval().requires_grad_(requires_grad=False)


def reference_image(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Random colour blocks."""
    blocks = np.random.default_rng(number).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(blocks).resize((900, 1200), Image.Resampling.NEAREST))


class Drawn(References):
    """References of random colour blocks."""

    def __init__(self, count: int) -> None:
        super().__init__(None)
        self.names = tuple(f"{number:064x}" for number in range(count))

    def image(self, sha256: str) -> Image.Image:
        return Image.fromarray(reference_image(int(sha256, 16)))


# -- count --------------------------------------------------------------------------------------------


def flops(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        work()
    return float(counter.get_total_flops())


@dataclass(frozen=True)
class Stages:
    """FLOP of each stage of a page at one bucket."""

    line: float
    clip: float
    encode_page: float
    encode_patch: float
    record: float
    guider: float
    transformer: dict[int, float]
    decode: float
    enlarge: float

    def page(self, patches: int, steps: int, references: int, *, cached: bool) -> float:
        """One page; `cached`: what depends on references alone was there before."""
        own = self.line + 4 * self.clip + self.encode_page + self.decode + self.enlarge
        own += steps * (self.guider + self.transformer[patches])
        shared = 5 * references * self.clip + patches * (self.encode_patch + self.record)
        return own if cached else own + shared


def count_stages(
    architecture: Architecture, encoder: dict[str, Any], bucket: Size, patches: Sequence[int]
) -> Stages:
    """Count on the meta device: shapes only, no numbers, no memory."""
    meta = torch.device("meta")
    model = RandomModel(architecture, encoder, meta)
    shared, style = model.shared(torch.float32), model.style(STYLE, torch.float32)
    width, height = bucket
    side = shared.image_encoder.config.image_size

    def image(scale: float) -> Tensor:
        return torch.empty(1, 3, int(height * scale), int(width * scale), device=meta)

    latents = torch.empty(1, 4, height // 8, width // 8, device=meta)
    patch = torch.empty(1, 4, height // 16, width // 16, device=meta)
    inputs = torch.empty(1, 13, height // 8, width // 8, device=meta)
    shape = architecture.transformer
    tokens = width * height // 256
    guidance = [torch.empty(1, tokens, shape.width, device=meta)] * shape.guided_layers

    def step(count: int) -> None:
        memory = PageMemory(shape, 1, tokens, count, latents)
        style.transformer(latents, 500, memory, guidance)

    def enlarge() -> None:
        _, colors = walks.encode(shared.vae, image(1.5))
        lines = walks.activations(shared.vae, image(1.5))
        large = torch.empty(1, 4, int(height * 1.5) // 8, int(width * 1.5) // 8, device=meta)
        walks.decode(shared.vae, large, lambda level: style.gsrp.fuse(level, colors[level], lines[level]))

    return Stages(
        line=flops(lambda: shared.line_extractor(torch.empty(1, 1, height, width, device=meta))),
        clip=flops(lambda: shared.image_encoder(torch.empty(1, 3, side, side, device=meta))),
        encode_page=flops(lambda: walks.encode(shared.vae, image(1))),
        encode_patch=flops(lambda: walks.encode(shared.vae, image(0.5))),
        record=flops(lambda: style.transformer.record(patch, 0)),
        guider=flops(lambda: style.guider(inputs, 500)),
        transformer={count: flops(lambda count=count: step(count)) for count in patches},  # type: ignore[misc]
        decode=flops(lambda: walks.decode(shared.vae, latents)),
        enlarge=flops(enlarge),
    )


CASES = ((3, 4), (3, 40), (20, 40), (50, 100))  # top_k, references


def command_count() -> None:
    counts = sorted({4 * top_k for top_k, _ in CASES})
    stages = count_stages(FULL, VIT_H, BUCKET, counts)
    print(f"FLOP at {BUCKET[0]} x {BUCKET[1]}, full size, in TFLOP\n")
    for name in ("line", "clip", "encode_page", "encode_patch", "record", "guider", "decode", "enlarge"):
        print(f"| {name} | {getattr(stages, name) / 1e12:.3f} |")
    for count, cost in stages.transformer.items():
        print(f"| transformer step, {count} patches | {cost / 1e12:.2f} |")
    print("\n| top_k | references | from nothing | references kept | ratio | floor of these |")
    print("|---|---|---|---|---|---|")
    for top_k, references in CASES:
        whole, kept = (stages.page(4 * top_k, 10, references, cached=cached) for cached in (False, True))
        print(
            f"| {top_k} | {references} | {whole / 1e12:.0f} TFLOP | {kept / 1e12:.0f} TFLOP | {whole / kept:.2f} "
            f"| {whole / PEAK:.3f} → {kept / PEAK:.3f} s |"
        )


# -- memory -------------------------------------------------------------------------------------------


_DispatchMode: Any = TorchDispatchMode
_WeakStorage: Any = StorageWeakRef


class Live(_DispatchMode):  # type: ignore[misc]
    """Counts the bytes of all tensors that operations have made and that still live."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[Any, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                self.known.setdefault(_WeakStorage(storage), storage.nbytes())
        self.known = {reference: size for reference, size in self.known.items() if not reference.expired()}
        self.peak = max(self.peak, sum(self.known.values()))
        return out


@contextmanager
def fused_attention() -> Iterator[None]:
    """Attention as the GPU's kernels do it: no matrix of scores."""

    def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return torch.empty_like(query)

    functions: Any = F
    real = functions.scaled_dot_product_attention
    functions.scaled_dot_product_attention = fused
    try:
        yield
    finally:
        functions.scaled_dot_product_attention = real


def peak_of(work: Callable[[], object]) -> int:
    with fused_attention(), torch.inference_mode(), Live() as live:
        work()
    return int(live.peak)


def command_memory() -> None:
    meta, half = torch.device("meta"), torch.float16
    model = RandomModel(FULL, VIT_H, meta)
    shared, style = model.shared(half), model.style(STYLE, half)

    def size(network: nn.Module) -> float:
        return sum(p.nbytes for p in [*network.parameters(), *network.buffers()]) / 1e9

    networks = {
        "line extractor": shared.line_extractor,
        "image encoder": shared.image_encoder,
        "VAE": shared.vae,
        "transformer": style.transformer,
        "guider": style.guider,
        "GSRP": style.gsrp,
    }
    print("Weights in GB (line extractor and image encoder in float32, the others in float16)\n")
    for name, network in networks.items():
        print(f"| {name} | {size(network):.2f} |")
    print(f"| all | {sum(size(network) for network in networks.values()):.2f} |")
    width, height = BUCKET
    latents = torch.empty(1, 4, height // 8, width // 8, device=meta, dtype=half)
    inputs = torch.empty(1, 13, height // 8, width // 8, device=meta, dtype=half)
    large = torch.empty(1, 3, height * 3 // 2, width * 3 // 2, device=meta, dtype=half)
    tokens = width * height // 256

    def step(patches: int) -> None:
        memory = PageMemory(FULL.transformer, 1, tokens, patches, latents)
        style.transformer(latents, 500, memory, style.guider(inputs, 500))

    def enlarge() -> None:
        z, colors = walks.encode(shared.vae, large)
        lines = walks.activations(shared.vae, large)
        walks.decode(shared.vae, z, lambda _: style.gsrp.fuse(len(lines) - 1, colors.pop(), lines.pop()))

    def in_bands() -> None:
        """What stays on the GPU: activations between the stages lie on the host, a band is small."""
        z, colors = walks.encode(shared.vae, large)
        shapes = [(activation.shape[0], 512, *activation.shape[2:]) for activation in colors]
        shapes[0] = (shapes[0][0], 256, *shapes[0][2:])
        colors.clear()
        walks.decode(shared.vae, z, lambda level: torch.empty(shapes[level], device=meta, dtype=half))

    stages: dict[str, Callable[[], object]] = {
        "line art": lambda: shared.line_extractor(torch.empty(1, 1, height, width, device=meta)),
        "VAE, page decoded": lambda: walks.decode(shared.vae, latents),
        "step, 12 patches": lambda: step(12),
        "step, 80 patches": lambda: step(80),
        "step, 200 patches": lambda: step(200),
        "enlargement": enlarge,
        "enlargement in bands": in_bands,
    }
    print("\nPeak of a stage beside the weights, GB (no workspace of libraries, no fragmentation)\n")
    for name, work in stages.items():
        print(f"| {name} | {peak_of(work) / 1e9:.2f} |")


# -- book ---------------------------------------------------------------------------------------------


def page_image(number: int, size: Size) -> np.ndarray[Any, np.dtype[np.uint8]]:
    rng = np.random.default_rng(10_000 + number)
    page = np.full((size[1], size[0], 3), 255, np.uint8)
    for _ in range(30):
        x, y = int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))
        page[y : y + 3, x : x + size[0] // 5] = 0
        page[y : y + size[1] // 5, x : x + 3] = 60
    return page


def color_book(
    book: Book, pages: Sequence[Any], top_k: int, steps: int, together: int, *, forget: bool
) -> float:
    """Seconds for all pages. `forget`: each page from nothing, as the published code does it."""
    started = clock(book)

    def picture(number: int) -> Picture:
        choice = book.choose(pages[number], f"page {number}", top_k, lambda: None)
        gray = np.asarray(resized(Image.fromarray(pages[number]), choice.bucket).convert("L"))
        return Picture(gray, STYLE, number, steps, choice)

    if forget:
        for number in range(len(pages)):
            book.host.clear()
            book.entries.clear()
            book.color({0: picture(number)}, 1, lambda _: None)
        return clock(book) - started
    pictures = [picture(number) for number in range(len(pages))]
    likenesses: list[Likeness] = [each.likeness for each in pictures]
    for group in batches(likenesses, [each.choice for each in pictures], [together] * len(pages)):
        book.color({at: pictures[number] for at, number in enumerate(group)}, len(group), lambda _: None)
    return clock(book) - started


def clock(book: Book) -> float:
    """Seconds: of the device's work on a GPU, of this process alone on a CPU that others use too."""
    if book.pipeline.device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def command_book() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    size, steps = (256, 384), 4
    pipeline = Pipeline(RandomModel(SMALL, SMALL_VIT), torch.device("cpu"), torch.float32)
    pages = [page_image(number, size) for number in range(8)]
    print(f"8 pages of {size[0]} x {size[1]}, {steps} steps, small random networks, one CPU thread\n")
    print("| top_k | references | | GFLOP/page | CPU s/page | gain in FLOP | gain in time | entries reused |")
    print("|---|---|---|---|---|---|---|---|")
    for top_k, references in ((3, 4), (3, 12), (10, 12)):
        before: tuple[float, float] | None = None
        for forget in (True, False):
            measured = []
            for counting in (True, False):
                book = Book(pipeline, 1 << 30)
                book.references = Drawn(references)
                counter = FlopCounterMode(display=False) if counting else None
                with counter or nullcontext():
                    seconds = color_book(book, pages, top_k, steps, 1, forget=forget)
                measured.append(counter.get_total_flops() if counter else seconds)
            cost, seconds = float(measured[0]) / len(pages), float(measured[1]) / len(pages)
            gains = "| | |" if before is None else f"| {before[0] / cost:.2f} | {before[1] / seconds:.2f} |"
            asked = book.entries.hits + book.entries.misses
            print(
                f"| {top_k} | {references} | {'from nothing' if forget else 'book'} | {cost / 1e9:.1f} "
                f"| {seconds:.2f} {gains} {book.entries.hits / asked:.0%} |",
                flush=True,
            )
            before = before or (cost, seconds)


# -- engine -------------------------------------------------------------------------------------------


def write_model(model: RandomModel, folder: Path) -> None:
    """The networks as `lote models convert` would write them."""
    import transformers
    from safetensors.torch import save_file

    quiet: Any = transformers.utils.logging.disable_progress_bar
    quiet()
    shared, part = model.shared(torch.float32), folder_of.STYLE_FOLDERS[STYLE]
    for name in ("shared", part):
        (folder / name).mkdir(parents=True)
    save_file(shared.line_extractor.state_dict(), folder / "shared" / "line_extractor.safetensors")
    save_file(shared.vae.state_dict(), folder / "shared" / "vae.safetensors")
    shared.image_encoder.save_pretrained(folder / "shared" / "image_encoder")
    for name, network in vars(model.style(STYLE, torch.float32)).items():
        file = folder / part / f"{name}.safetensors"
        save_file(network.state_dict(), file, metadata={"style": part})
    about = {"format": folder_of.FORMAT, "weights": "random", **model.architecture.to_json()}
    (folder / folder_of.DESCRIPTION).write_text(json.dumps(about))


def command_engine() -> None:
    """A book of two scenes that take turns, and references of both."""
    # Here alone, because the other parts also run where the engine's libraries are not.
    from batch_processing import colorize_comic
    from batch_processing.comics import tasks as pages
    from batch_processing.comics.application import Comics
    from batch_processing.core.workers import LocalPool, Result, Task

    class Here(LocalPool):
        """A pool whose one worker is this process, so that what it computes can be counted."""

        def __init__(self) -> None:
            super().__init__(1)
            self.results: list[Result] = []

        def submit(self, *tasks: Task) -> None:
            values = [task.work.run(lambda *_: None) for task in tasks]
            self.results += [
                Result(task.id, value, None, 0.0) for task, value in zip(tasks, values, strict=True)
            ]

        def completed(self, timeout: float) -> list[Result]:
            ended, self.results = self.results, []
            return ended

    pool = Comics.pool
    torch.manual_seed(0)
    torch.set_num_threads(1)
    size, top_k = (256, 384), 3
    os.environ[backend.DEVICE] = "cpu"
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_model(RandomModel(SMALL, SMALL_VIT), root / "model")
        os.environ[folder_of.ENVIRONMENT] = str(root / "model")
        for name in ("pages", "references"):
            (root / name).mkdir()
        for number in range(12):
            page = page_image(number, size)
            if number % 2:
                page = 255 - page
            Image.fromarray(page).save(root / "pages" / f"{number:02}.png")
            Image.fromarray(reference_image(number)).save(root / "references" / f"{number:02}.png")
        entry = (
            2 * 8 * 144 * (256 * 384 // 1024) * 4
        )  # keys and values of one patch: layers, width, tokens, bytes
        print(
            f"12 pages of {size[0]} x {size[1]}, 12 references, top_k {top_k}, 4 steps, room for 16 patches\n"
        )
        print("| through the engine | GFLOP/page | CPU s/page | gain in FLOP | gain in time |")
        print("|---|---|---|---|---|")
        first: tuple[float, float] | None = None
        for name, host, room, arranged in (
            ("from nothing", 0, 0, False),
            ("kept, in the order of the pages", book_of.HOST_BUDGET, 16 * entry, False),
            ("kept, arranged", book_of.HOST_BUDGET, 16 * entry, True),
        ):
            found = []
            for counting in (True, False):
                with (
                    patch.object(book_of, "HOST_BUDGET", host),
                    patch.object(backend, "CPU_ENTRIES", room),
                    patch.object(pages, "_ready", None),
                    patch.object(Comics, "pool", lambda self, job: (pool(self, job), Here())[1]),
                    nullcontext() if arranged else patch.object(Comics, "_arrange"),
                    FlopCounterMode(display=False) if counting else nullcontext() as counter,
                ):
                    started = time.process_time()
                    result = colorize_comic(
                        root / "pages",
                        root / f"out {name} {counting}",
                        references=[root / "references"],
                        config={
                            "backend": "cobra",
                            "num_inference_steps": 4,
                            "top_k": top_k,
                            "as_lineart": ["*.png"],
                        },
                        workspace=root / f"workspace {name} {counting}",
                    )
                    seconds = time.process_time() - started
                if result.failures:
                    sys.exit(str(result.failures))
                found.append((counter.get_total_flops() if counter else seconds) / result.completed)
            cost, seconds = found
            gains = "| |" if first is None else f"{first[0] / cost:.2f} | {first[1] / seconds:.2f} |"
            print(f"| {name} | {cost / 1e9:.1f} | {seconds:.2f} | {gains}", flush=True)
            first = first or (cost, seconds)


# -- gpu ----------------------------------------------------------------------------------------------


def command_gpu(pages: int, together: int) -> None:
    if not torch.cuda.is_available():
        sys.exit("no CUDA device: this measurement needs one")
    torch.manual_seed(0)
    device = torch.device("cuda")
    pipeline = Pipeline(RandomModel(FULL, VIT_H, device), device, torch.float16)
    pipeline.networks(STYLE)
    images = [page_image(number, (1600, 1600)) for number in range(pages)]
    stages = count_stages(FULL, VIT_H, BUCKET, sorted({4 * top_k for top_k, _ in CASES}))
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, float16, {BUCKET[0]} x {BUCKET[1]}, 10 steps,"
    )
    print(f"{pages} pages, batches of {together}, random weights\n")
    warm = Book(pipeline, 8 << 30)
    warm.references = Drawn(1)
    color_book(warm, images[:2], 3, 2, 1, forget=False)
    print("| top_k | references | | s/page | s/step | peak GB | floor s | share of floor | entries reused |")
    print("|---|---|---|---|---|---|---|---|---|")
    for top_k, references in CASES:
        for forget in (True, False):
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            free, _ = torch.cuda.mem_get_info()
            book = Book(pipeline, int(free * 0.5))
            book.references = Drawn(references)
            if not forget:  # the steady state of a book: references seen before
                color_book(book, images[:together], top_k, 1, together, forget=False)
            size = 1 if forget else together
            seconds = color_book(book, images, top_k, 10, size, forget=forget) / pages
            floor = stages.page(4 * top_k, 10, references, cached=not forget) / PEAK
            peak = torch.cuda.max_memory_allocated() / 1e9
            asked = max(1, book.entries.hits + book.entries.misses)
            reused = book.entries.hits / asked
            del book
            print(
                f"| {top_k} | {references} | {'from nothing' if forget else 'book'} | {seconds:.3f} "
                f"| {step_seconds(pipeline, 4 * top_k):.4f} | {peak:.1f} | {floor:.3f} | {floor / seconds:.0%} "
                f"| {reused:.0%} |",
                flush=True,
            )


def step_seconds(pipeline: Pipeline, patches: int) -> float:
    """One denoising step of one page with all keys and values in place."""
    memory = pipeline.memory(STYLE, 1, patches, BUCKET)
    if memory is not None:
        memory.buffer.normal_()
    latents = torch.zeros(1, 4, BUCKET[1] // 8, BUCKET[0] // 8)
    times: list[float] = []

    def tick(_: int) -> None:
        torch.cuda.synchronize()
        times.append(time.perf_counter())

    pipeline.denoise(STYLE, [0], 12, latents, latents, torch.zeros_like(latents[:, :1]), memory, tick)
    return float(np.median(np.diff(times)[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("count", "memory", "book", "engine", "gpu"))
    parser.add_argument("--pages", type=int, default=8, help="pages of a book (gpu)")
    parser.add_argument("--together", type=int, default=4, help="pages in a batch (gpu)")
    chosen = parser.parse_args()
    if chosen.command == "gpu":
        command_gpu(chosen.pages, chosen.together)
    else:
        {
            "count": command_count,
            "memory": command_memory,
            "book": command_book,
            "engine": command_engine,
        }[chosen.command]()


if __name__ == "__main__":
    main()
