"""From the tensors of the published files to the tensors of our networks, and what can be wrong with them.

* `differences` compares names and shapes, and says each difference in one sentence.
* `assemble_transformer` puts the base model, the adapters of one style and the prompt together: adapters
  (LoRA) are merged in float32, text that is constant is folded (see `transformer.ConstantText`).
* `assemble_guider` drops an alias that upstream's file holds by accident.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...messages import Message, joined
from .transformer import TransformerShape

Shapes = Mapping[str, Sequence[int]]

_ADAPTER = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight")
_NAMED = 5  # names said of a long list before "and N more"


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name to shape."""
    return {key: tuple(value.shape) for key, value in state.items()}


def differences(found: Shapes, expected: Shapes, file: str, *, what: Message) -> list[Message]:
    """One sentence for each kind of name missing or unknown and for each wrong shape; [] if all is right."""
    missing = [key for key in expected if key not in found]
    unknown = [key for key in found if key not in expected]
    sentences = []
    if missing:
        sentences.append(
            Message(
                "{file} lacks {missing}, which {part} needs.", file=file, missing=_listed(missing), part=what
            )
        )
    if unknown:
        sentences.append(
            Message(
                "{file} holds {unknown}, which {part} does not have.",
                file=file,
                unknown=_listed(unknown),
                part=what,
            )
        )
    sentences += [
        Message(
            "{file}: {key} has the shape {found}, {part} needs {shape}.",
            file=file,
            key=key,
            found=_shape(found[key]),
            part=what,
            shape=_shape(shape),
        )
        for key, shape in expected.items()
        if key in found and tuple(found[key]) != tuple(shape)
    ]
    return sentences


def _listed(names: Sequence[str]) -> Message:
    rest, named = len(names) - _NAMED, tuple(names[:_NAMED])
    return Message("{names} and {rest} more", names=named, rest=rest) if rest > 0 else joined(named)


def _shape(shape: Iterable[int]) -> Message:
    return joined(shape, " x ") or Message("one number")


def adapter_differences(found: Shapes, base: Shapes, file: str) -> tuple[list[Message], list[Message]]:
    """Problems, and remarks, about a file of adapters for a network of `base` names and shapes.

    Besides adapters the file may hold tensors that replace the base model's; a layer without an adapter
    keeps the base model's weights, which is worth a remark."""
    problems: list[Message] = []
    sides: dict[str, dict[str, tuple[int, ...]]] = {}
    replaced = []
    for key, shape in found.items():
        match = _ADAPTER.fullmatch(key)
        name = _base_name(key)
        if match and f"{match['module']}.weight" in base:
            sides.setdefault(match["module"], {})[match["side"]] = tuple(shape)
        elif name not in base:
            problems.append(
                Message(
                    "{file} holds {key}, which belongs to no layer of the transformer.", file=file, key=key
                )
            )
        elif tuple(shape) != tuple(base[name]):
            problems.append(
                Message(
                    "{file}: {key} has the shape {shape}, the transformer needs {base}.",
                    file=file,
                    key=key,
                    shape=_shape(shape),
                    base=_shape(base[name]),
                )
            )
        else:
            replaced.append(key)
    if not sides:
        return [
            *problems,
            Message(
                "{file} holds no adapter (lora_A, lora_B) at all: it is another kind of file.", file=file
            ),
        ], []
    for module, pair in sides.items():
        weight = tuple(base[f"{module}.weight"])
        if set(pair) != {"A", "B"}:
            absent = "B" if "A" in pair else "A"
            problems.append(
                Message(
                    "{file} lacks {module}.lora_{absent}.default.weight, the other half of an adapter.",
                    file=file,
                    module=module,
                    absent=absent,
                )
            )
            continue
        rank = pair["A"][0] if pair["A"] else 0
        wanted = {"A": (rank, *weight[1:]), "B": (weight[0], rank, *(1 for _ in weight[2:]))}
        problems += [
            Message(
                "{file}: {module}.lora_{side}.default.weight has the shape {pair}, the transformer needs "
                "{wanted}.",
                file=file,
                module=module,
                side=side,
                pair=_shape(pair[side]),
                wanted=_shape(wanted[side]),
            )
            for side in "AB"
            if pair[side] != wanted[side]
        ]
    remarks = []
    bare = [
        key.removesuffix(".weight")
        for key in base
        if key.endswith(".weight") and key.removesuffix(".weight") not in sides
    ]
    if bare:
        remarks.append(
            Message(
                "{file} has no adapter for {bare}: the base model's weights stay there.",
                file=file,
                bare=_listed(bare),
            )
        )
    if replaced:
        remarks.append(
            Message("{file} replaces {replaced} of the base model.", file=file, replaced=_listed(replaced))
        )
    return problems, remarks


def _base_name(key: str) -> str:
    return key.replace(".base_layer.", ".")


def assemble_transformer(
    base: Mapping[str, Tensor],
    adapters: Mapping[str, Tensor],
    text_rows: Tensor,
    shape: TransformerShape,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """The state of `CobraTransformer(shape, len(text_rows))`.

    `text_rows` (K, caption channels) are the rows of the prompt that its mask keeps. Tensors are taken
    from `base` one at a time, so that a memory-mapped file is never wholly in memory."""
    pairs: dict[str, dict[str, Tensor]] = {}
    replacing: dict[str, Tensor] = {}
    for key, value in adapters.items():
        match = _ADAPTER.fullmatch(key)
        if match:
            pairs.setdefault(match["module"], {})[match["side"]] = value
        else:
            replacing[_base_name(key)] = value

    def merged(key: str) -> Tensor:
        weight = replacing.get(key, base[key]).float()
        pair = pairs.get(key.removesuffix(".weight")) if key.endswith(".weight") else None
        if pair is None:
            return weight
        # alpha equals the rank, so the scale is 1.
        return weight + (pair["B"].float().flatten(1) @ pair["A"].float().flatten(1)).reshape(weight.shape)

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, merged(f"{name}.weight"), merged(f"{name}.bias"))

    text = F.gelu(linear("caption_projection.linear_1", text_rows.float()), approximate="tanh")
    text = linear("caption_projection.linear_2", text)
    folded = len(text_rows) == 1
    state = {
        key: merged(key).to(dtype)
        for key in base
        if not key.startswith("caption_projection.") and not (folded and ".attn2." in key)
    }
    if folded:
        for index in range(shape.layers):
            attention = f"transformer_blocks.{index}.attn2"
            value = linear(f"{attention}.to_out.0", linear(f"{attention}.to_v", text[0]))
            state[f"{attention}.value"] = value.to(dtype)
    else:
        state["text"] = text[None].to(dtype)
    return state


def assemble_guider(file: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of `LineArtGuider`: `after_proj` repeats the last `adapter_linear`, which wins."""
    return {key: value for key, value in file.items() if not key.startswith("after_proj.")}
