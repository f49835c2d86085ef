"""ConfigurationHandler: what a file says, and what of it is left out with a warning."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_processing import ConfigurationHandler
from batch_processing.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

TOML = """
[default]
style = "line"
seed = 1

[images."page_001.png"]
seed = 7

[images."ch2/page_001.png"]
steps = 20
references = ["a.png"]
skip = true
priority = -2
"""
CONTENT: dict[str, Any] = {
    "default": {"style": "line", "seed": 1},
    "images": {
        "page_001.png": {"seed": 7},
        "ch2/page_001.png": {"steps": 20, "references": ["a.png"], "skip": True, "priority": -2},
    },
}


def loaded(path: Path, content: Any) -> ConfigurationHandler:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    handler = ConfigurationHandler()
    handler.load_config_file(str(path))
    return handler


@pytest.mark.parametrize(("name", "content"), [("c.json", CONTENT), ("c.toml", TOML), ("c.TOML", TOML)])
def test_json_and_toml_say_the_same(
    tmp_path: Path, name: str, content: Any, caplog: pytest.LogCaptureFixture
) -> None:
    handler = loaded(tmp_path / name, content)
    assert handler.load_config_file(tmp_path / name) == CONTENT
    assert handler.get_file_default() == {"style": "line", "seed": 1}
    assert handler.get_image_config("/books/in/page_001.png") == {"style": "line", "seed": 7}
    assert handler.get_image_config("/books/in/ch2/page_001.png") == {
        "style": "line",
        "seed": 1,
        "num_inference_steps": 20,
        "reference_images": ["a.png"],
        "skip": True,
        "priority": -2,
    }
    assert handler.get_image_config("page_002.png") == {"style": "line", "seed": 1}
    assert caplog.text == ""


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.data())
def test_the_longest_matching_path_wins(parts: list[str], data: st.DataObject) -> None:
    handler = ConfigurationHandler()
    keys = data.draw(st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)))
    handler._images = {key: {"seed": number} for number, key in enumerate(sorted(keys))}
    handler._keys = {tuple(key.split("/")): key for key in keys}
    path = "/".join(parts)
    fitting = [key for key in keys if f"/{path}".endswith(f"/{key}")]
    assert handler.entry_for(path) == max(fitting, key=len, default=None)
    assert handler.has_image_config(path) == bool(fitting)


def test_a_name_is_compared_as_a_person_reads_it(tmp_path: Path) -> None:
    handler = loaded(tmp_path / "c.json", {"images": {"./ch\u00e9\\p.png": {"seed": 2}}})
    assert handler.has_image_config("in/che\u0301/p.png")
    assert not handler.has_image_config("in/xch\u00e9/p.png")


def test_what_is_handed_out_is_a_copy(tmp_path: Path) -> None:
    handler = loaded(tmp_path / "c.json", CONTENT)
    handler.get_image_config("ch2/page_001.png")["reference_images"].append("b.png")
    for default in (handler.get_default_config(), handler.get_file_default()):
        default.clear()
    assert handler.get_image_config("ch2/page_001.png")["reference_images"] == ["a.png"]
    assert handler.get_file_default() == {"style": "line", "seed": 1}
    assert handler.get_default_config()["style"] == "line"


def test_one_wrong_line_costs_that_line_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    handler = loaded(
        tmp_path / "c.json",
        {
            "default": {"seed": 3, "top_k": 0, "sed": 1},
            "images": {"p.png": {"seed": -1, "style": "ink", "steps": 4, "refrences": [], "recursive": True}},
            "imges": {},
            "style": "line",
        },
    )
    assert handler.get_file_default() == {"seed": 3}
    assert handler.get_image_config("p.png") == {"seed": 3, "num_inference_steps": 4}
    for warning in (
        "default: top_k must be at least 1, got 0",
        "default: unknown setting 'sed': did you mean 'seed'?",
        "images/p.png: seed must be non-negative, got -1",
        "images/p.png: Invalid style 'ink'",
        "images/p.png: unknown setting 'refrences': did you mean 'references'?",
        "images/p.png: 'recursive' is a setting of the whole job, not of one image",
        "unknown section 'imges': did you mean 'images'?",
        "'style' stands outside of the sections: move it into 'default'",
    ):
        assert warning in caplog.text
    assert len(caplog.records) == 8


@pytest.mark.parametrize("right", [CONTENT, {"style": "line", "seed": 0}, {}])
def test_a_right_configuration_has_no_problems(right: dict[str, Any]) -> None:
    assert ConfigurationHandler().validate_config(right) is True
    assert ConfigurationHandler().problems(right) == []


@pytest.mark.parametrize(
    ("wrong", "problems"),
    [
        (
            {"default": {"seed": -1}, "images": {"a.png": {"top_k": 0}}},
            ["default: seed must be non-negative, got -1", "images/a.png: top_k must be at least 1, got 0"],
        ),
        ({"steps": 1, "num_inference_steps": 2}, ["'num_inference_steps' is set twice, under two names"]),
        (["seed"], ["the configuration must be a dictionary, got list"]),
        (None, ["the configuration must be a dictionary, got NoneType"]),
    ],
)
def test_a_wrong_configuration_is_told_in_whole(wrong: Any, problems: list[str]) -> None:
    handler = ConfigurationHandler()
    assert handler.problems(wrong) == problems
    with pytest.raises(ConfigurationError) as caught:
        handler.validate_config(wrong)
    assert [problem for problem in problems if problem not in str(caught.value)] == []


def test_merge_is_shallow_and_leaves_its_arguments_alone() -> None:
    base, override = {"a": {"x": 1}, "b": 1}, {"a": {"y": 2}}
    merged = ConfigurationHandler().merge_configs(base, override)
    assert merged == {"a": {"y": 2}, "b": 1}
    merged["a"]["y"] = 3
    assert (base, override) == ({"a": {"x": 1}, "b": 1}, {"a": {"y": 2}})


def test_clear_cache_forgets_and_loading_again_reads_again(tmp_path: Path) -> None:
    handler = loaded(tmp_path / "c.json", CONTENT)
    (tmp_path / "c.json").write_text('{"default": {"seed": 9}}')
    handler.load_config_file(tmp_path / "c.json")
    assert handler.get_image_config("page_001.png") == {"seed": 9}
    handler.clear_cache()
    assert handler.get_image_config("page_001.png") == {}
    assert not handler.has_image_config("page_001.png")


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("c.json", '{"default": {\n  "seed": }}', r"Failed to parse JSON in .*c\.json, line 2, column 11"),
        ("c.json", "", r"Failed to parse JSON in .*line 1, column 1"),
        ("c.toml", "[default]\nseed = \n", r"Failed to parse TOML in .*c\.toml: .*line 2, column"),
        ("c.json", "[1]", "must hold an object"),
        ("c.json", '{"default": 3}', "'default' in the configuration must be a table"),
        ("c.json", '{"images": {"p.png": 3}}', "'images/p.png' in the configuration must be a table"),
        ("c.json", "[" * 100_000, "Failed to parse"),
        ("c.json", '{"default": {"seed": ' + "9" * 5000 + "}}", "Failed to parse"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, content: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        loaded(tmp_path / name, content)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    handler = loaded(tmp_path / "c.json", CONTENT)
    with pytest.raises(ConfigurationError, match="Configuration file not found"):
        handler.load_config_file(tmp_path / "no.json")
    (tmp_path / "latin.json").write_bytes(b'{"default": "\xe9"}')
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        handler.load_config_file(tmp_path / "latin.json")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        handler.load_config_file(tmp_path)
    assert handler.has_image_config("page_001.png")  # the last good file still counts
