"""Cobra on one GPU, in one call of under ten minutes: is it right there, where does the time go, what helps.

    PYTHONPATH=src python benchmarks/cobra_gpu.py [--seconds 380] [--out FOLDER] [--small]

Needs torch with CUDA, diffusers and transformers, and nothing else of Lote's dependencies but Pillow and NumPy. Weights
are random, so that none need to travel. `--small` runs the same on small networks on a CPU, to try the script. Parts run in
the order of their worth and stop when the time is up; each prints its lines at once, and the whole goes to FOLDER
(`gpu_cobra.md`, `gpu_cobra.json`). `benchmarks/cobra.py gpu` gives the table for docs/cobra.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path
import numpy as np
import torch
import torch.nn.functional as F
from benchmarks import cobra as bench
from PIL import Image
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from batch_processing.backends.cobra import vae as walks
from batch_processing.backends.cobra.pipeline import Pipeline
from batch_processing.backends.cobra.preprocess import resized
from batch_processing.backends.cobra.shared import Book, Picture
from batch_processing.backends.cobra.transformer import PageMemory, size_conditions

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seconds", type=float, default=380)
parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")))
parser.add_argument("--small", action="store_true")
chosen = parser.parse_args()
STARTED = time.monotonic()

SMALL = chosen.small
CUDA = torch.cuda.is_available() and not SMALL
DEVICE = torch.device("cuda" if CUDA else "cpu")
HALF = torch.float16 if CUDA else torch.float32
ARCHITECTURE, ENCODER, BUCKET = (
    (bench.SMALL, bench.SMALL_VIT, (256, 256)) if SMALL else (bench.FULL, bench.VIT_H, (800, 800))
)
STYLE = bench.STYLE
lines_said: list[str] = []
failed: list[str] = []  # names of parts
numbers: dict[str, Any] = {}


def say(text: str) -> None:
    lines_said.append(text)
    print(text, flush=True)


def left() -> float:
    return float(chosen.seconds - (time.monotonic() - STARTED))


def sync() -> None:
    if CUDA:
        torch.cuda.synchronize()


def events() -> tuple[Any, Any]:
    event: Any = torch.cuda.Event
    return event(enable_timing=True), event(enable_timing=True)


def timed(work: Callable[[], object], repeat: int = 10, warm: int = 3) -> float:
    """Median seconds of one call on the device."""
    repeat, warm = (2, 1) if SMALL else (repeat, warm)
    for _ in range(warm):
        work()
    sync()
    times = []
    for _ in range(repeat):
        if CUDA:
            began, ended = events()
            began.record()
            work()
            ended.record()
            ended.synchronize()
            times.append(began.elapsed_time(ended) / 1000)
        else:
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return float(statistics.median(times))


def part(name: str, needs: float) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Run the decorated function unless too little time is left; an error ends the part, not the run."""

    def run(work: Callable[[], None]) -> Callable[[], None]:
        if left() < needs:
            say(f"\n## {name}: left out, {left():.0f} s remain")
            return work
        say(f"\n## {name}")
        before = time.monotonic()
        try:
            with torch.inference_mode():
                work()
        except Exception as error:  # noqa: BLE001 - a part fails, the others go on
            failed.append(name)
            say(f"FAILED: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            traceback.print_exc(file=sys.stdout)
        say(f"({time.monotonic() - before:.0f} s)")
        return work

    return run


# -- what the card can do

peak = bandwidth = 0.0


@part("Card", 0)
def _card() -> None:
    global peak, bandwidth  # noqa: PLW0603 - known to all that follows
    say(
        f"{torch.cuda.get_device_name() if CUDA else 'CPU'}, torch {torch.__version__}, Python {sys.version.split()[0]}"
    )
    if CUDA:
        cudnn: Any = torch.backends.cudnn
        say(
            f"cuDNN {cudnn.version()}, {torch.cuda.mem_get_info()[1] / 1e9:.0f} GB, TF32 in convolutions "
            f"{torch.backends.cudnn.allow_tf32}, in products {torch.backends.cuda.matmul.allow_tf32}"
        )
    n = 8192 if CUDA else 512
    a, b = (torch.randn(n, n, device=DEVICE, dtype=HALF) for _ in range(2))
    peak = 2 * n**3 / timed(lambda: a @ b)
    big = torch.empty(2**30 if CUDA else 2**24, dtype=torch.uint8, device=DEVICE)
    other = torch.empty_like(big)
    bandwidth = 2 * big.numel() / timed(lambda: other.copy_(big))
    say(f"{n}^3 product {peak / 1e12:.1f} TFLOP/s, copy {bandwidth / 1e12:.2f} TB/s")
    numbers["card"] = {"peak": peak, "bandwidth": bandwidth}


# -- right there? -----------------------------------------------------------------------------------------


def relative(a: Tensor, b: Tensor) -> float:
    a, b = a.double().cpu(), b.double().cpu()
    return float((a - b).norm() / b.norm())


@part("The same numbers as on the CPU (small networks, same weights)", 0)
def _right() -> None:
    torch.manual_seed(0)
    model = bench.RandomModel(bench.SMALL, bench.SMALL_VIT)
    cpu = Pipeline(model, torch.device("cpu"), torch.float32)
    states = {
        "line_extractor": cpu.shared.line_extractor,
        "image_encoder": cpu.shared.image_encoder,
        "vae": cpu.shared.vae,
        "transformer": cpu.networks(STYLE).transformer,
        "guider": cpu.networks(STYLE).guider,
        "gsrp": cpu.networks(STYLE).gsrp,
    }
    page, bucket = bench.page_image(1, (256, 384)), (256, 384)
    worst = {}
    for dtype in (torch.float32, torch.float16):
        if dtype == torch.float16 and not CUDA:
            continue
        other = Pipeline(model, DEVICE, dtype)
        networks = other.networks(STYLE)
        for name, network in states.items():
            target = getattr(other.shared, name, None) or getattr(networks, name)
            target.load_state_dict(network.state_dict())
        found: dict[str, float] = {}
        grey = np.asarray(page[:, :, 0])
        found["lines, levels"] = int(np.abs(other.line_art(grey).astype(int) - cpu.line_art(grey)).max())
        latents = cpu.encode(page)
        found["encode"] = relative(other.encode(page), latents)
        patch = cpu.encode(page[:192, :128])
        entries = cpu.record(STYLE, patch, 1)
        found["record"] = relative(other.record(STYLE, patch.to(dtype), 1), entries)
        outs = []
        for each in (cpu, other):
            memory = each.memory(STYLE, 1, 3, bucket)
            assert memory is not None  # there are patches
            for slot in range(3):
                memory.put(0, slot, entries[0].to(each.device, each.dtype))
            outs.append(
                each.denoise(
                    STYLE, [0], 4, latents, latents, torch.zeros_like(latents[:, :1]), memory, lambda _: None
                )
            )
        found["denoise"] = relative(outs[1], outs[0])
        small = cpu.picture(outs[0])
        found["picture, levels"] = float(np.abs(other.picture(outs[0]).astype(int) - small).max())
        large = cpu.enlarge(STYLE, small, grey)
        found["enlarge, levels max"] = float(
            np.abs(other.enlarge(STYLE, small, grey).astype(int) - large).max()
        )
        found["enlarge, levels mean"] = float(
            np.abs(other.enlarge(STYLE, small, grey).astype(int) - large).mean()
        )
        other.tiled = True
        found["in bands, levels max"] = float(
            np.abs(other.enlarge(STYLE, small, grey).astype(int) - large).max()
        )
        worst[str(dtype)] = found
        say(
            f"| {str(dtype).removeprefix('torch.')} | "
            + " | ".join(f"{k} {v:.2e}" for k, v in found.items())
            + " |"
        )
    numbers["right"] = worst


# -- the networks -----------------------------------------------------------------------------------------

torch.manual_seed(0)
pipeline = Pipeline(bench.RandomModel(ARCHITECTURE, ENCODER, DEVICE), DEVICE, HALF)
networks = pipeline.networks(STYLE)
shared, shape = pipeline.shared, ARCHITECTURE.transformer
W, H = BUCKET
TOKENS = W * H // 256
size = size_conditions(H // 16, W // 16, DEVICE)
counts = (12, 80)
stages = bench.count_stages(ARCHITECTURE, ENCODER, BUCKET, counts)


def image(scale: float, dtype: torch.dtype = HALF) -> Tensor:
    return torch.rand(1, 3, int(H * scale), int(W * scale), device=DEVICE, dtype=dtype) * 2 - 1


def filled(patches: int, pages: int = 1) -> PageMemory:
    memory = PageMemory(shape, pages, TOKENS, patches, torch.empty((), dtype=HALF, device=DEVICE))
    memory.buffer.normal_()
    return memory


def step_of(patches: int, pages: int = 1) -> Callable[[], Tensor]:
    memory = filled(patches, pages)
    latents = torch.randn(pages, 4, H // 8, W // 8, device=DEVICE, dtype=HALF)
    inputs = torch.randn(pages, 13, H // 8, W // 8, device=DEVICE, dtype=HALF)
    return lambda: networks.transformer(latents, 500, memory, networks.guider(inputs, 500, size), size)


def row(name: str, seconds: float, flop: float = 0.0, note: str = "") -> float:
    rate = (
        f"{flop / seconds / 1e12:7.1f} TFLOP/s, {flop / seconds / peak:4.0%} of the product's" if flop else ""
    )
    say(f"| {name} | {seconds * 1000:9.2f} ms | {rate} {note}|")
    numbers.setdefault("times", {})[name] = seconds
    return seconds


def enlarge() -> Callable[[], Tensor]:
    large = image(1.5)

    def work() -> Tensor:
        z, colors = walks.encode(shared.vae, large)
        black = walks.activations(shared.vae, large)
        return walks.decode(shared.vae, z, lambda level: networks.gsrp.fuse(level, colors.pop(), black.pop()))

    return work


@part("Stages", 20)
def _stages() -> None:
    grey = torch.rand(1, 1, H, W, device=DEVICE) * 255
    side = shared.image_encoder.config.image_size
    crops = torch.rand(4, 3, side, side, device=DEVICE)
    patch = torch.randn(8, 4, H // 16, W // 16, device=DEVICE, dtype=HALF)
    row("line extractor, float32", timed(lambda: shared.line_extractor(grey)), stages.line)
    row("CLIP, 4 crops, float32", timed(lambda: shared.image_encoder(crops)), 4 * stages.clip)
    row("encode a page", timed(lambda: walks.encode(shared.vae, image(1))), stages.encode_page)
    row("encode a patch", timed(lambda: walks.encode(shared.vae, image(0.5))), stages.encode_patch)
    eight = image(0.5).expand(8, -1, -1, -1).contiguous()
    row("encode 8 patches at once", timed(lambda: walks.encode(shared.vae, eight)), 8 * stages.encode_patch)
    row("record a patch", timed(lambda: networks.transformer.record(patch[:1], 0)), stages.record)
    row("record 8 patches", timed(lambda: networks.transformer.record(patch, 0)), 8 * stages.record)
    for pages in (1, 4):
        for patches in counts:
            if pages * patches > 100 and not CUDA:
                continue
            flop = pages * (stages.guider + stages.transformer[patches])
            row(f"step, {patches} patches, {pages} pages", timed(step_of(patches, pages)), flop)
    latents = torch.randn(1, 4, H // 8, W // 8, device=DEVICE, dtype=HALF)
    row("decode a page", timed(lambda: walks.decode(shared.vae, latents)), stages.decode)
    row("enlarge", timed(enlarge(), 5), stages.enlarge)
    black = walks.activations(shared.vae, image(1.5))
    for level in range(5):
        row(
            f"- of it GSRP level {level}",
            timed(partial(networks.gsrp.fuse, level, black[level], black[level]), 5),
        )
    row("- of it one encoding", timed(lambda: walks.encode(shared.vae, image(1.5)), 5))
    attention, x = shared.vae.encoder.mid_block.attentions[0], black[-1]
    row("- of it one attention of the middle block", timed(lambda: attention(x), 5))


def turn(network: Any, memory_format: torch.memory_format) -> None:
    network.to(memory_format=memory_format)


# -- what would help --------------------------------------------------------------------------------------


@part("Attention: which kernel", 20)
def _attention() -> None:
    for pages, patches in ((1, 12), (4, 12), (1, 80)):
        q = torch.randn(pages, TOKENS, shape.heads, shape.head_dim, device=DEVICE, dtype=HALF).transpose(1, 2)
        layer = filled(patches, pages).layer(0)
        flop = 4 * pages * TOKENS * layer.keys.shape[2] * shape.width
        for name, backends in (
            ("chosen by torch", None),
            ("flash", SDPBackend.FLASH_ATTENTION),
            ("cuDNN", SDPBackend.CUDNN_ATTENTION),
            ("memory-efficient", SDPBackend.EFFICIENT_ATTENTION),
        ):
            if backends is not None and not CUDA:
                continue
            try:
                with sdpa_kernel(backends) if backends else nullcontext():
                    seconds = timed(partial(F.scaled_dot_product_attention, q, layer.keys, layer.values))
                row(f"attention, {pages} x {patches} patches, {name}", seconds, flop)
            except RuntimeError as error:
                say(
                    f"| attention, {pages} x {patches} patches, {name} | refused: {str(error).splitlines()[0][:90]} |"
                )
    if not CUDA:
        return
    for name, backends in (("flash", SDPBackend.FLASH_ATTENTION), ("cuDNN", SDPBackend.CUDNN_ATTENTION)):
        with sdpa_kernel(backends):
            for pages in (1, 4):
                row(
                    f"step, 12 patches, {pages} pages, {name}",
                    timed(step_of(12, pages)),
                    pages * (stages.guider + stages.transformer[12]),
                )


@part("VAE and GSRP: layout, the middle attention", 25)
def _convolutions() -> None:
    class Plain(walks.ChunkedAttention):
        """Scores as products of matrices, in chunks: for one head of 512 channels."""

        def __call__(
            self,
            attn: Any,
            hidden_states: Tensor,
            encoder_hidden_states: None = None,
            attention_mask: None = None,
            temb: None = None,
        ) -> Tensor:
            tokens = attn.group_norm(hidden_states.flatten(2)).transpose(1, 2)
            q, k, v = attn.to_q(tokens), attn.to_k(tokens), attn.to_v(tokens)
            scale, rows = q.shape[-1] ** -0.5, max(1, walks.SCORE_LIMIT // k.shape[1])
            mixed = torch.cat(
                [torch.softmax((part * scale) @ k.transpose(1, 2), -1) @ v for part in q.split(rows, 1)], 1
            )
            out: Tensor = attn.to_out[0](mixed)
            return out.transpose(1, 2).reshape(hidden_states.shape) + hidden_states

    before = timed(enlarge(), 5)
    black = walks.activations(shared.vae, image(1.5))
    attention = shared.vae.encoder.mid_block.attentions[0]
    a = attention(black[-1])
    attention.set_processor(Plain())
    say(f"plain middle attention differs by {relative(attention(black[-1]), a):.1e}")
    row("middle attention, plain products", timed(lambda: attention(black[-1]), 5))
    shared.vae.decoder.mid_block.attentions[0].set_processor(Plain())
    row("enlarge, plain middle attention", timed(enlarge(), 5), stages.enlarge)

    try:
        for network in (shared.vae, networks.gsrp):
            turn(network, torch.channels_last)
        row("enlarge, and channels last", timed(enlarge(), 5), stages.enlarge)
        latents = torch.randn(1, 4, H // 8, W // 8, device=DEVICE, dtype=HALF)
        row("decode a page, channels last", timed(lambda: walks.decode(shared.vae, latents)), stages.decode)
        if CUDA:
            torch.backends.cudnn.benchmark = True
            row("enlarge, and cudnn.benchmark", timed(enlarge(), 5), stages.enlarge)
            torch.backends.cudnn.benchmark = False
        row("enlarge, before all that, again", before)
    finally:
        for network in (shared.vae, networks.gsrp):
            turn(network, torch.contiguous_format)
        for coder in (shared.vae.encoder, shared.vae.decoder):
            coder.mid_block.attentions[0].set_processor(walks.ChunkedAttention())


@part("CLIP and line extractor with TF32, CLIP in 16 bit", 10)
def _looking() -> None:
    side = shared.image_encoder.config.image_size
    crops = torch.rand(4, 3, side, side, device=DEVICE)
    exact = shared.image_encoder(crops).image_embeds
    if CUDA:
        torch.set_float32_matmul_precision("high")
        row(
            "CLIP, 4 crops, TF32",
            timed(lambda: shared.image_encoder(crops)),
            4 * stages.clip,
            f"differs by {relative(shared.image_encoder(crops).image_embeds, exact):.1e} ",
        )
        torch.set_float32_matmul_precision("highest")
        import copy

        half = copy.deepcopy(shared.image_encoder).half()
        row(
            "CLIP, 4 crops, float16",
            timed(lambda: half(crops.half())),
            4 * stages.clip,
            f"differs by {relative(half(crops.half()).image_embeds, exact):.1e} ",
        )


def picture_of(owner: Book, page: np.ndarray[Any, Any], digest: str, seed: int, steps: int) -> Picture:
    choice = owner.choose(page, digest, 3, lambda: None)
    gray = np.asarray(resized(Image.fromarray(page), choice.bucket).convert("L"))
    return Picture(gray, STYLE, seed, steps, choice)


@part("The same bytes again", 15)
def _again() -> None:
    images = [bench.page_image(n, (2 * W, 2 * H)) for n in range(4)]
    references = 3

    def book(budget: int) -> Book:
        made = Book(pipeline, budget)
        made.references = bench.Drawn(references)
        return made

    def picture(owner: Book, number: int) -> Picture:
        return picture_of(owner, images[number], f"page {number}", number, 2)

    kept = book(8 << 30 if CUDA else 1 << 30)
    width = 4 if CUDA else 2
    together = kept.color({n: picture(kept, n) for n in range(width)}, width, lambda _: None)
    again = kept.color({n: picture(kept, n) for n in range(width)}, width, lambda _: None)
    fresh = book(0)
    alone = [fresh.color({n: picture(fresh, n)}, width, lambda _: None)[0] for n in range(width)]
    single = [fresh.color({0: picture(fresh, n)}, 1, lambda _: None)[0] for n in range(width)]

    def worst(a: Sequence[Any], b: Sequence[Any]) -> int:
        return max(int(np.abs(x.astype(int) - y).max()) for x, y in zip(a, b, strict=True))

    found = {
        "kept against made anew": worst(together, again),
        "alone in its place against in the batch": worst(alone, together),
        "batch of one against of four": worst(single, together),
    }
    say("| " + " | ".join(f"{name}: {levels} levels" for name, levels in found.items()) + " |")
    numbers["again"] = found


@part("A book, seconds a page (Book alone: no files read or written)", 60)
def _book() -> None:
    images = [bench.page_image(n, (2 * W, 2 * H)) for n in range(4)]
    for top_k, references in ((3, 4), (20, 40)) if CUDA else ((3, 2),):
        for together in (1, 4) if CUDA else (1,):
            if left() < 45:
                say("no time left")
                return
            if CUDA:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            book = Book(pipeline, int(torch.cuda.mem_get_info()[0] * 0.4) if CUDA else 1 << 30)
            book.references = bench.Drawn(references)
            bench.color_book(book, images[:together], top_k, 1, together, forget=False)
            start = time.perf_counter()
            bench.color_book(book, images, top_k, 10, together, forget=False)
            sync()
            seconds = (time.perf_counter() - start) / len(images)
            flop = (
                stages.page(4 * top_k, 10, references, cached=True) if 4 * top_k in stages.transformer else 0
            )
            memory = torch.cuda.max_memory_allocated() / 1e9 if CUDA else 0
            row(
                f"page of a book, top_k {top_k}, {references} references, {together} together",
                seconds,
                flop,
                f"peak {memory:.1f} GB ",
            )
            del book


@part("Where the time of a page goes: launches, waits, copies", 30)
def _profile() -> None:
    from torch.profiler import ProfilerActivity, profile

    book = Book(pipeline, 4 << 30)
    book.references = bench.Drawn(3)
    page = bench.page_image(0, (2 * W, 2 * H))
    picture = picture_of(book, page, "page", 0, 4)
    book.color({0: picture}, 1, lambda _: None)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if CUDA else [])
    with profile(activities=activities) as seen:
        start = time.perf_counter()
        book.choose(page, "another", 3, lambda: None)
        book.color({0: picture}, 1, lambda _: None)
        sync()
        wall = time.perf_counter() - start
    averages: Any = seen.key_averages()
    device = sum(e.self_device_time_total for e in averages) / 1e6
    say(f"4 steps: {wall * 1000:.0f} ms, of it the GPU works {device * 1000:.0f} ms ({device / wall:.0%})")
    for name in (
        "cudaLaunchKernel",
        "cuLaunchKernelEx",
        "cudaLaunchKernelExC",
        "cudaStreamSynchronize",
        "cudaDeviceSynchronize",
        "cudaMemcpyAsync",
        "cudaMalloc",
        "cudaFree",
    ):
        for e in averages:
            if e.key == name:
                say(f"| {name} | {e.count} times | {e.self_cpu_time_total / 1000:.1f} ms |")
    if CUDA:
        for e in sorted(averages, key=lambda e: -e.self_device_time_total)[:14]:
            say(f"| {e.self_device_time_total / 1000:8.2f} ms | {e.count:5} | {e.key[:110]} |")


def replay(graph: Any) -> Callable[[], object]:
    replayed: Callable[[], object] = graph.replay
    return replayed


@part("A step as a CUDA graph, and compiled blocks", 100)
def _graph() -> None:
    if not CUDA:
        say("needs CUDA")
        return
    streams: Any = torch.cuda
    # Of a number of the host the modulation makes a tensor in each step, which a graph cannot hold: made before.
    for network in (networks.transformer, networks.guider):
        made = network.modulation(500, H // 16, W // 16, size)
        vars(network)["modulation"] = lambda *_, made=made: made
    try:
        for pages in (1, 4):
            work = step_of(12, pages)
            row(
                f"step, 12 patches, {pages} pages, modulation made before",
                timed(work),
                pages * (stages.guider + stages.transformer[12]),
            )
            stream: Any = streams.Stream()
            with torch.cuda.stream(stream):
                for _ in range(3):
                    work()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                work()
            row(
                f"step, 12 patches, {pages} pages, as a graph",
                timed(replay(graph)),
                pages * (stages.guider + stages.transformer[12]),
            )
        if left() > 80:
            for network in (networks.transformer, networks.guider):
                for block in network.transformer_blocks:
                    block.compile(dynamic=False)
            start = time.monotonic()
            for pages in (1, 4):
                work = step_of(12, pages)
                work()
                sync()
                say(f"compiled in {time.monotonic() - start:.0f} s")
                row(
                    f"step, 12 patches, {pages} pages, blocks compiled",
                    timed(work),
                    pages * (stages.guider + stages.transformer[12]),
                )
    finally:
        for network in (networks.transformer, networks.guider):
            vars(network).pop("modulation", None)


chosen.out.mkdir(parents=True, exist_ok=True)
(chosen.out / "gpu_cobra.json").write_text(json.dumps(numbers, indent=1, default=str))
(chosen.out / "gpu_cobra.md").write_text("\n".join(lines_said) + "\n")
say(f"\n{time.monotonic() - STARTED:.0f} s in all")
if failed:
    sys.exit(f"failed: {', '.join(failed)}")
