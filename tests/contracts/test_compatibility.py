"""Details of the documented interface that programs rely on, each as they use it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import batch_processing
import batch_processing.io
from batch_processing.config import ConfigurationHandler
from batch_processing.core import ProcessingState, ProcessingStatus, StatusTracker
from batch_processing.exceptions import ConfigurationError, ValidationError
from batch_processing.ui import ReferencePreviewGallery
from shared_data import needed_module


def page(path: Path, *, color: bool = False) -> str:
    image = Image.new("RGB", (160, 200), "white")
    for x in range(160):
        image.paste((x, 255 - x, 40) if color else "black", (x, 20, x + 1, 180 if color else 22))
    image.save(path)
    return str(path)


class TestFiles:
    @pytest.mark.parametrize("spelling", ["io", "io.file_handler"])
    def test_three_values_of_line_art_and_references(self, spelling: str, tmp_path: Path) -> None:
        door = __import__(f"batch_processing.{spelling}", fromlist=["_"])
        paths = [page(tmp_path / "1.png"), page(tmp_path / "2.png", color=True)]
        lines, references, kinds = door.separate_line_art_and_references(paths)
        assert (lines, references) == (paths[:1], paths[1:])
        assert {path: kind.type for path, kind in kinds.items()} == {
            paths[0]: "line_art",
            paths[1]: "colored",
        }

    @pytest.mark.parametrize("spelling", ["io", "io.file_handler", "io.zip_handler"])
    @pytest.mark.parametrize("nothing", [[], (), iter(())])
    def test_an_empty_list_is_refused(self, spelling: str, nothing: Any) -> None:
        door = __import__(f"batch_processing.{spelling}", fromlist=["_"])
        with pytest.raises(ValidationError, match="paths list is empty"):
            door.separate_line_art_and_references(nothing)

    @pytest.mark.parametrize(
        ("name", "told"),
        [("a.zip", True), ("a.CBZ", True), ("a.docx", False), ("a", False), ("zip", False), (".zip", False)],
    )
    def test_an_archive_is_told_by_its_name_and_its_content(
        self, name: str, told: bool, tmp_path: Path
    ) -> None:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("a.txt", "x")
        (tmp_path / "text").mkdir()
        (tmp_path / "text" / name).write_text("no archive")
        assert batch_processing.io.is_zip_file(str(tmp_path / name)) is told
        assert not batch_processing.io.is_zip_file(tmp_path / "text" / name)


class TestMemory:
    @pytest.mark.parametrize(
        ("named", "kind", "index"),
        [("cpu", "cpu", None), ("cuda", "cuda", None), ("cuda:1", "cuda", 1), (" CUDA:0 ", "cuda", 0)],
    )
    def test_the_device(self, named: str, kind: str, index: int | None) -> None:
        device = batch_processing.MemoryManager(named).device
        text = named.strip().lower()
        assert (device.type, device.index, str(device)) == (kind, index, text)
        assert device == text
        assert text == device
        assert device != "cuda:7"
        assert device == batch_processing.MemoryManager(text).device
        assert {text: 1}[device] == 1  # type: ignore[index]
        assert (device == 1) is False

    def test_the_device_equals_that_of_torch_and_loads_no_torch(self) -> None:
        class device:  # noqa: N801 - as torch has it
            def __init__(self, text: str) -> None:
                self.text = text

            def __str__(self) -> str:
                return self.text

        device.__module__ = "torch"
        ours = batch_processing.MemoryManager(device("cuda:1")).device  # type: ignore[arg-type]
        assert ours == device("cuda:1")
        assert device("cuda:1") == ours
        assert ours != device("cuda:2")
        code = (
            "import sys; from batch_processing import MemoryManager; "
            "assert MemoryManager('cuda:1').device == 'cuda:1'; print('torch' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.strip() == "False"

    def test_the_device_equals_a_real_one_of_torch(self) -> None:
        torch: Any = needed_module("torch")
        for text in ("cpu", "cuda", "cuda:1"):
            ours = batch_processing.MemoryManager(torch.device(text)).device
            assert ours == torch.device(text)
            assert torch.device(text) == ours
            assert ours != torch.device("cuda:3")

    @pytest.mark.parametrize("threshold", [0, 0.0, -0.5, 1.0001, 2])
    def test_a_threshold_that_cannot_be(self, threshold: float) -> None:
        with pytest.raises(ValueError, match="memory_threshold must be between 0 and 1"):
            batch_processing.MemoryManager(memory_threshold=threshold)

    def test_a_threshold_that_can_be(self) -> None:
        assert batch_processing.MemoryManager(memory_threshold=1.0).memory_threshold == 1.0

    def test_the_estimate_of_a_page_alone(self) -> None:
        manager = batch_processing.MemoryManager()
        small, large = (manager.estimate_memory_required((side, side)) for side in (512, 1024))
        assert 0 < small < 100e6
        assert 3 <= large / small <= 5
        assert manager.estimate_memory_required((512, 512), backend="flats") > 100e6

    def test_the_device_of_a_processor(self, tmp_path: Path) -> None:
        processor = batch_processing.BatchProcessor(
            batch_processing.BatchConfig(tmp_path, tmp_path / "out", [])
        )
        assert processor.memory_manager.device.type in {"cuda", "mps", "cpu"}


class TestConfiguration:
    @pytest.mark.parametrize(
        ("settings", "name"),
        [
            ({"output_as_zip": True}, "my_output_colorized.zip"),
            ({"output_as_zip": True, "zip_output_name": "book.cbz"}, "book.cbz"),
            ({}, None),
        ],
    )
    def test_the_name_of_the_archive(self, settings: dict[str, Any], name: str | None) -> None:
        config = batch_processing.BatchConfig("in", "/my_output", [], **settings)
        assert config.zip_output_name == name
        assert config.to_dict()["zip_output_name"] == name
        assert batch_processing.BatchConfig(**config.to_dict()) == config

    def test_the_archive_has_that_name_where_the_output_is_named_apart(self, tmp_path: Path) -> None:
        page(tmp_path / "1.png")
        config = batch_processing.BatchConfig(
            str(tmp_path / "1.png"), str(tmp_path / "first"), backend="noop", output_as_zip=True
        )
        batch_processing.colorize_comic(
            tmp_path / "1.png", tmp_path / "second", config=config, workspace=tmp_path / "ws"
        )
        assert (tmp_path / "second" / "second_colorized.zip").is_file()

    def test_a_configuration_is_validated(self) -> None:
        handler = ConfigurationHandler()
        assert handler.validate_config({"default": {"seed": 1}}) is True
        with pytest.raises(ConfigurationError) as caught:
            handler.validate_config({"style": "ink", "seed": -1, "top_k": 0})
        for word in ("style", "seed", "top_k"):
            assert word in str(caught.value)
        for other in ([], None, "seed"):
            with pytest.raises(ConfigurationError, match="must be a dictionary"):
                handler.validate_config(other)  # type: ignore[arg-type]

    def test_the_default_holds_every_field(self, tmp_path: Path) -> None:
        file = tmp_path / "c.json"
        file.write_text(json.dumps({"default": {"style": "ink", "seed": -5, "top_k": 7, "overwrite": 3}}))
        handler = ConfigurationHandler()
        handler.load_config_file(file)
        default = handler.get_default_config()
        built_in = batch_processing.BatchConfig("in", "out")
        assert default["top_k"] == 7
        for name in ("style", "seed", "overwrite", "num_inference_steps", "max_concurrent", "format"):
            assert default[name] == getattr(built_in, name)
        again = batch_processing.BatchConfig("in", "out", **default)
        assert again == batch_processing.BatchConfig("in", "out", top_k=7)


class TestStatus:
    def test_a_state_that_there_is_not(self) -> None:
        with pytest.raises(ValueError, match="Invalid state"):
            ProcessingStatus(id="a", state="bogus")  # type: ignore[arg-type]
        assert ProcessingStatus("a", "failed").state is ProcessingState.FAILED  # type: ignore[arg-type]

    def test_a_summary_starts_with_the_first_image(self) -> None:
        tracker = StatusTracker()
        assert tracker.get_summary().start_time is None
        before = time.time()
        tracker.add_image("a")
        start = tracker.get_summary().start_time
        assert start is not None
        assert before <= start <= time.time()
        tracker.add_image("b")
        tracker.update_status("a", "processing")
        assert tracker.get_summary().start_time == start
        assert (tracker.get_summary().elapsed_time or 0) >= 0
        tracker.clear()
        assert tracker.get_summary().start_time is None


class TestGallery:
    @pytest.fixture
    def gallery(self, tmp_path: Path) -> ReferencePreviewGallery:
        gallery = ReferencePreviewGallery()
        assert gallery.selected_indices == set()
        paths = [page(tmp_path / f"{number}.png", color=True) for number in range(3)]
        kinds = {
            path: batch_processing.ImageType("colored", confidence, {})
            for path, confidence in zip(paths, (0.9, 0.2, 0.7), strict=True)
        }
        images, choices, selected = gallery.load_references(paths, kinds)
        assert (len(images), len(choices), selected) == (3, 3, [0, 1, 2])
        return gallery

    def test_everything_goes_by_index(self, gallery: ReferencePreviewGallery) -> None:
        words = ["a word", "another", "a third"]
        assert gallery.selected_indices == {0, 1, 2}
        assert gallery.deselect_all() == []
        assert gallery.selected_indices == set()
        assert gallery.auto_select_best(words, 0.7) == [0, 2]
        assert gallery.auto_select_best(words[:1], 0.7) == [0]
        assert gallery.select_all(words) == [0, 1, 2]
        assert gallery.selected_indices == {0, 1, 2}

    def test_an_index_is_taken_as_it_is(self, gallery: ReferencePreviewGallery) -> None:
        for one in (gallery, ReferencePreviewGallery()):
            one.update_selection([1, 3, 5])
            assert one.selected_indices == {1, 3, 5}
        assert isinstance(gallery.selected_indices, set)
