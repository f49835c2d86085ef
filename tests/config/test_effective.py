"""Which layer wins, and that every value says where it came from."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from batch_processing.config import BatchConfig, Effective, Settings, photo_settings
from batch_processing.config.settings import FLAGS, env_name
from batch_processing.exceptions import ConfigurationError

JOB = {"input_dir": "in", "output_dir": "out"}


def book(folder: Path, **content: Any) -> str:
    path = folder / "book.json"
    path.write_text(json.dumps(content))
    return str(path)


LAYERS = ["book.json: default", "LOTE_SEED", "--seed", "book.json: images/p.png"]


@pytest.mark.parametrize("present", list(itertools.product([False, True], repeat=4)))
def test_the_stronger_layer_wins_in_every_combination(tmp_path: Path, present: tuple[bool, ...]) -> None:
    default, env, flag, image = present
    content = {"default": {"seed": 1} if default else {}, "images": {"p.png": {"seed": 4} if image else {}}}
    settings = Settings(
        JOB | {"config_file": book(tmp_path, **content), "seed": 3 if flag else None},
        {"LOTE_SEED": "2"} if env else {},
    )
    strongest = max((number for number, there in enumerate(present, 1) if there), default=0)
    found = settings.effective("x/p.png")["seed"]
    assert (found.value, found.origin) == (strongest, ["built-in", *LAYERS][strongest])
    assert settings.page("x/p.png").seed == strongest
    of_job = max((number for number, there in enumerate(present[:3], 1) if there), default=0)
    assert settings.batch_config().seed == of_job
    assert settings.page("other.png").seed == of_job


TEXTS = {
    "input_dir": ("a b", "a b"),
    "output_dir": ("o.cbz", "o.cbz"),
    "reference_images": ("r1.png:r2.png", ["r1.png", "r2.png"]),
    "style": ("line+shadow", "line + shadow"),
    "seed": ("7", 7),
    "num_inference_steps": ("20", 20),
    "top_k": ("5", 5),
    "recursive": ("yes", True),
    "overwrite": ("TRUE", True),
    "preview_mode": ("1", True),
    "max_concurrent": ("4", 4),
    "input_is_zip": ("on", True),
    "output_as_zip": ("false", False),
    "zip_output_name": ("b.zip", "b.zip"),
    "format": ("webp", "webp"),
    "quality": ("80", 80),
    "layers": ("psd, ora", ("psd", "ora")),
    "layers_by": ("panel,color", ("panel", "color")),
    "right_to_left": ("yes", True),
    "backend": ("flats", "flats"),
    "drop_references": ("true", True),
    "flats": ("true", True),
    "keep_ink": ("true", True),
    "as_lineart": ("a*,b?", ("a*", "b?")),
    "as_reference": ("c*", ("c*",)),
    "keep": ("z*", ("z*",)),
    "pages": ("3-7,12", "3-7,12"),
    "hints": ("hints", "hints"),
    "palette": ("series.json", "series.json"),
    "name_encoding": ("Shift-JIS", "shift_jis"),
    "worker_memory": ("1.5G", 3 * 2**29),
    "timeout": ("2.5", 2.5),
    "engine": ("ray", "ray"),
    "ray_address": ("head:6379", "head:6379"),
    "files": ("shared", "shared"),
}


def test_every_setting_has_an_environment_variable(tmp_path: Path) -> None:
    file = book(tmp_path)
    environ = {env_name(name): text for name, (text, _) in TEXTS.items()} | {"LOTE_CONFIG": file}
    settings = Settings({}, environ).effective()
    assert set(settings) == {*TEXTS, "config_file"} == set(BatchConfig.model_fields)
    for name, (_, value) in TEXTS.items():
        assert (settings[name].value, settings[name].origin) == (value, env_name(name))
    assert settings["config_file"].value == file


@pytest.mark.parametrize("size", ["1.5G", "1.5 gib", "1536M", "1610612736", "1572864kb"])
def test_sizes(size: str) -> None:
    assert Settings({"worker_memory": size}, {}).effective()["worker_memory"].value == 3 * 2**29


def test_every_wrong_flag_and_variable_is_named_at_once() -> None:
    environ = {
        "LOTE_STEPS": "x",
        "LOTE_RECURSIVE": "maybe",
        "LOTE_WORKERS": "0",
        "LOTE_WORKER_MEMORY": "lots",
    }
    with pytest.raises(ConfigurationError) as caught:
        Settings({"seed": -1, "style": "ink"}, environ)
    for text in (
        "LOTE_STEPS must be a whole number, got 'x'",
        "LOTE_RECURSIVE must be true or false, got 'maybe'",
        "LOTE_WORKERS must be at least 1, got 0",
        "LOTE_WORKER_MEMORY must be a size such as 2G or 512M, got 'lots'",
        "--seed must be non-negative, got -1",
        "Invalid --style 'ink'",
    ):
        assert text in str(caught.value)


def test_what_was_not_given_does_not_count() -> None:
    settings = Settings({"seed": None, "reference_images": [], "layers": ()}, {"LOTE_SEED": ""})
    assert {effective.origin for effective in settings.effective().values()} == {"built-in"}
    with pytest.raises(ConfigurationError, match="input_dir is missing"):
        settings.batch_config()


def test_a_nearly_right_variable_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    Settings(JOB, {"LOTE_SEEDS": "3", "LOTE_WORKSPACE": "w", "LOTE_DATABASE": "d", "SEED": "4"})
    assert [record.getMessage() for record in caplog.records] == [
        "Unknown environment variable 'LOTE_SEEDS': did you mean 'LOTE_SEED'?"
    ]


def test_paths_in_a_file_are_meant_from_its_folder(tmp_path: Path) -> None:
    file = book(
        tmp_path,
        default={"references": ["refs/a.png"], "hints": "/h"},
        images={"p.png": {"references": ["b.png"]}, "q.png": {"seed": 1}},
    )
    settings = Settings(JOB | {"config_file": file}, {})
    assert settings.batch_config().reference_images == [str(tmp_path / "refs/a.png")]
    assert settings.batch_config().hints == "/h"
    assert settings.page("p.png").references == (str(tmp_path / "b.png"),)
    assert settings.page("q.png").references is None


def test_page_options_hold_all_that_can_be_set_for_one_image(tmp_path: Path) -> None:
    entry = {"style": "line", "seed": 5, "steps": 6, "top_k": 7, "priority": 8, "skip": True}
    options = Settings(JOB | {"config_file": book(tmp_path, images={"p.png": entry})}, {}).page(Path("p.png"))
    assert vars(options) == {
        "style": "line",
        "seed": 5,
        "num_inference_steps": 6,
        "top_k": 7,
        "references": None,
        "priority": 8,
        "skip": True,
    }


def test_settings_made_in_code_see_the_file_but_not_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTE_SEED", "99")
    file = book(tmp_path, default={"seed": 1, "top_k": 2}, images={"p.png": {"top_k": 9}})
    settings = Settings.of(BatchConfig("in", "out", seed=3, config_file=file))
    assert (settings.batch_config().seed, settings.batch_config().top_k) == (3, 2)
    assert settings.page("p.png").top_k == 9
    again = Settings.of(settings.batch_config())  # what is resolved once stays as it is
    assert again.batch_config() == settings.batch_config()
    assert again.page("p.png") == settings.page("p.png")


def test_describe_shows_every_value_and_origin(tmp_path: Path) -> None:
    file = book(tmp_path, images={"p.png": {"skip": True}})
    settings = Settings(JOB | {"config_file": file, "as_lineart": ["a*", "b*"]}, {"LOTE_SEED": "4"})
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in settings.describe("p.png").splitlines()}
    assert set(lines) == {*BatchConfig.model_fields, "priority", "skip"}
    assert lines["seed"] == "4 (LOTE_SEED)"
    assert lines["as_lineart"] == "a*, b* (--as-lineart)"
    assert lines["skip"] == "yes (book.json: images/p.png)"
    assert lines["pages"] == "- (built-in)"
    assert "skip" not in settings.describe()


def test_entries_for_no_image_are_pointed_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = book(tmp_path, images={"page_01.png": {"seed": 1}, "cover.png": {"seed": 1}})
    Settings(JOB | {"config_file": file}, {}).warn_unused(["in/page_001.png", "in/cover.png"])
    assert len(caplog.records) == 1
    assert "no image is called 'page_01.png': did you mean 'page_001.png'?" in caplog.text


def test_every_flag_belongs_to_a_setting() -> None:
    assert set(FLAGS) == set(BatchConfig.model_fields) - {"input_is_zip"}
    assert len(set(FLAGS.values())) == len(FLAGS)


def test_photo_settings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = book(tmp_path, photos={"root": "pics", "batch_size": 50, "batch_sise": 3})
    assert {name: found.origin for name, found in photo_settings({}, None, {}).items()} == {
        "root": "built-in",
        "batch_size": "built-in",
        "videos": "built-in",
    }
    assert photo_settings({}, None, {"LOTE_VIDEOS": "yes"})["videos"].value is True
    with pytest.raises(ConfigurationError, match="LOTE_VIDEOS: videos must be true or false"):
        photo_settings({}, None, {"LOTE_VIDEOS": "maybe"})
    found = photo_settings({}, file, {})
    assert found["root"].value == str(tmp_path / "pics")
    assert (found["batch_size"].value, found["batch_size"].origin) == (50, "book.json: photos")
    assert "unknown setting 'batch_sise': did you mean 'batch_size'?" in caplog.text
    assert photo_settings({}, None, {"LOTE_CONFIG": file, "LOTE_BATCH_SIZE": "20"})["batch_size"].value == 20
    found = photo_settings({"batch_size": 7}, file, {"LOTE_BATCH_SIZE": "20"})
    assert (found["batch_size"].value, found["batch_size"].origin) == (7, "--batch-size")


def test_what_fits_the_machine(tmp_path: Path) -> None:
    """`auto`: nothing is set, and it is known who said so. In a file, the weakest, it is as if nobody had said anything."""
    assert photo_settings({"batch_size": "auto"}, None, {})["batch_size"] == Effective(
        None, "--batch-size: auto"
    )
    assert photo_settings({"batch_size": "7"}, None, {"LOTE_BATCH_SIZE": "auto"})["batch_size"].value == 7
    file = tmp_path / "a.toml"
    file.write_text('[default]\nworkers = "auto"\nworker_memory = "auto"\n')
    found = Settings({"config_file": str(file)}, {"LOTE_WORKERS": "4"}).effective()
    assert (found["max_concurrent"], found["worker_memory"].value) == (Effective(4, "LOTE_WORKERS"), None)
    found = Settings({"config_file": str(file), "max_concurrent": "auto"}, {"LOTE_WORKERS": "4"}).effective()
    assert found["max_concurrent"] == Effective(None, "--workers")
    with pytest.raises(ConfigurationError, match="--steps must be a whole number"):
        Settings({"num_inference_steps": "auto"}, {})


@pytest.mark.parametrize("size", ["0", "x", "-3", "1.5"])
def test_a_wrong_batch_size_is_named(size: str) -> None:
    with pytest.raises(
        ConfigurationError, match="LOTE_BATCH_SIZE: batch_size must be auto or a whole number"
    ):
        photo_settings({}, None, {"LOTE_BATCH_SIZE": size})
