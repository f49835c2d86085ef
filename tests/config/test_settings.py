"""BatchConfig: strict, all problems at once, plain data out."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_processing.config import BatchConfig, parse_pages
from batch_processing.exceptions import ConfigurationError


def config(**values: Any) -> BatchConfig:
    return BatchConfig(**{"input_dir": "in", "output_dir": "out"} | values)


def test_the_documented_defaults() -> None:
    values = config().to_dict()
    documented = {
        "reference_images": [],
        "style": "line + shadow",
        "seed": 0,
        "num_inference_steps": 10,
        "top_k": 3,
        "recursive": False,
        "overwrite": False,
        "preview_mode": False,
        "max_concurrent": 1,
        "input_is_zip": False,
        "output_as_zip": False,
        "zip_output_name": None,
    }
    assert {name: values[name] for name in documented} == documented


def test_positions_names_and_paths() -> None:
    by_position = BatchConfig(Path("in"), "out", (Path("r.png"),), "line", 7)
    assert by_position == config(reference_images=["r.png"], style="line", seed=7)
    assert by_position.input_dir == "in"
    with pytest.raises(ConfigurationError, match="Set twice, by position and by name: output_dir"):
        BatchConfig("in", "out", output_dir="elsewhere")
    with pytest.raises(ConfigurationError, match="by position"):
        BatchConfig(*["x"] * 15)


def test_it_goes_through_json_and_pickle_unchanged() -> None:
    first = config(layers=["psd", "ora"], as_lineart=("a*",), worker_memory=2**30, pages="1,3-4", timeout=5)
    assert BatchConfig(**json.loads(json.dumps(first.to_dict()))) == first
    assert pickle.loads(pickle.dumps(first)) == first  # noqa: S301 - our own bytes


def test_it_cannot_be_changed() -> None:
    settings = config()
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 3
    assert settings.seed == 0


@pytest.mark.parametrize("written", ["line+shadow", "line + shadow", " line +shadow"])
def test_the_style_may_be_written_without_spaces(written: str) -> None:
    assert config(style=written).style == "line + shadow"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"seed": True}, "seed must be a whole number, got True (bool)"),
        ({"seed": 1.0}, "seed must be a whole number, got 1.0 (float)"),
        ({"seed": "1"}, "seed must be a whole number, got '1' (str)"),
        ({"seed": 2**63}, "seed must be at most 9223372036854775807"),
        ({"recursive": 1}, "recursive must be true or false, got 1 (int)"),
        ({"input_dir": None}, "input_dir must be text, got None (NoneType)"),
        ({"reference_images": "a.png"}, "reference_images must be a list, got 'a.png' (str)"),
        ({"reference_images": ["a.png", ""]}, "reference_images[1] cannot be empty"),
        ({"style": None}, "Invalid style None: choose 'line' or 'line + shadow'"),
        ({"format": "gif"}, "Invalid format 'gif': choose 'png', 'jpg', 'webp', 'tif' or 'same'"),
        ({"quality": 0}, "quality must be at least 1, got 0"),
        ({"quality": 101}, "quality must be at most 100, got 101"),
        ({"quality": True}, "quality must be a whole number, got True (bool)"),
        ({"layers": ["kra"]}, "Invalid layers 'kra': choose 'psd', 'ora', 'png' or 'json'"),
        ({"backend": "magic"}, "Invalid backend 'magic'"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"timeout": float("inf")}, "timeout must be a finite number"),
        ({"worker_memory": 1000}, "worker_memory must be at least 67108864"),
        ({"zip_output_name": "../a.zip"}, "zip_output_name must be a plain file name"),
        ({"zip_output_name": ".."}, "zip_output_name must be a plain file name"),
        ({"pages": "7-3"}, "pages counts from 1 and upwards, got '7-3'"),
        ({"pages": "one"}, "pages must be page numbers such as 3-7,12, got 'one'"),
        ({"sed": 1}, "Unknown setting 'sed': did you mean 'seed'?"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config(**values)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_all_problems_at_once() -> None:
    wrong = {"input_dir": "", "seed": -1, "style": "x", "top_k": 0, "max_concurrent": 0, "stile": 1}
    with pytest.raises(ConfigurationError) as caught:
        BatchConfig(**wrong)
    text = str(caught.value)
    assert text.startswith("7 settings are wrong:\n")
    assert "output_dir is missing" in text
    assert all(name in text for name in wrong)


def fits(name: str, value: bool | int | None) -> bool:
    """Whether a setting may have this value, said without the code under test."""
    if value is None:
        return name in {
            "zip_output_name",
            "pages",
            "hints",
            "name_encoding",
            "palette",
            "worker_memory",
            "config_file",
            "quality",
        }
    flags = {
        "recursive",
        "overwrite",
        "preview_mode",
        "input_is_zip",
        "output_as_zip",
        "drop_references",
        "flats",
        "keep_ink",
        "right_to_left",
    }
    if isinstance(value, bool):
        return name in flags
    least = {
        "seed": 0,
        "num_inference_steps": 1,
        "top_k": 1,
        "max_concurrent": 1,
        "worker_memory": 2**26,
        "timeout": 1,
        "quality": 1,
    }
    most = {"seed": 2**63 - 1, "quality": 100}
    return name in least and least[name] <= value <= most.get(name, value)


@given(
    st.dictionaries(
        st.sampled_from(sorted(BatchConfig.model_fields)),
        st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.integers(-2, 2),
    )
)
def test_exactly_the_values_of_the_wrong_kind_are_refused(values: dict[str, Any]) -> None:
    wrong = {name for name, value in values.items() if not fits(name, value)}
    if wrong:
        with pytest.raises(ConfigurationError) as caught:
            config(**values)
        lines = str(caught.value).splitlines()[-len(wrong) :]
        assert {line.removeprefix("  ").removeprefix("Invalid ").split()[0] for line in lines} == wrong
    else:
        if values.get("output_as_zip") and values.get("zip_output_name", "") is None:
            values["zip_output_name"] = "out_colorized.zip"
        assert {name: getattr(config(**values), name) for name in values} == values


@pytest.mark.parametrize(
    ("output", "name", "expected"),
    [("a/out", None, "out_colorized.zip"), ("out", "book", "book.zip"), ("out", "book.CBZ", "book.CBZ")],
)
def test_the_name_of_the_archive(output: str, name: str | None, expected: str) -> None:
    assert config(output_dir=output, zip_output_name=name).zip_name == expected


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 50)), min_size=1, max_size=6))
def test_page_selections(spans: list[tuple[int, int]]) -> None:
    text = ",".join(f"{start}-{start + length}" if length else str(start) for start, length in spans)
    chosen = {page for part in parse_pages(text) for page in part}
    assert chosen == {page for start, length in spans for page in range(start, start + length + 1)}
