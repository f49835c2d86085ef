"""The compatibility suite: what people who already use these modules rely on.

Every import path, name, signature, default and message of the documented interface stands here. A
change that breaks one of these tests breaks somebody's program.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import pickle
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import batch_processing
from batch_processing.exceptions import (
    BatchProcessingError,
    ClassificationError,
    ConfigurationError,
    ImageProcessingError,
    ValidationError,
    ZIPExtractionError,
)

PATHS: dict[str, list[str]] = {
    "batch_processing": [
        "BatchProcessor", "BatchConfig", "ConfigurationHandler", "ImageQueue", "ImageQueueItem", "StatusTracker",
        "ProcessingState", "MemoryManager", "ImageClassifier", "ImageType", "setup_logging", "get_logger",
        "BatchProcessingError", "ImageProcessingError", "ConfigurationError", "ResourceError", "QueueError",
        "ValidationError", "ZIPExtractionError", "ClassificationError", "__version__", "colorize_comic",
    ],
    "batch_processing.exceptions": [
        "BatchProcessingError", "ImageProcessingError", "ConfigurationError", "ResourceError", "QueueError",
        "ValidationError", "ZIPExtractionError", "ClassificationError",
    ],
    "batch_processing.logging_config": [
        "setup_logging", "get_logger", "configure_component_logger", "DEFAULT_LOG_FORMAT", "DEFAULT_DATE_FORMAT",
        "LOG_LEVELS",
    ],
    "batch_processing.config": ["BatchConfig", "ConfigurationHandler"],
    "batch_processing.config.config_handler": ["ConfigurationHandler"],
    "batch_processing.core": [
        "ImageQueue", "ImageQueueItem", "StatusTracker", "ProcessingStatus", "ProcessingState", "StatusSummary",
        "BatchProcessor",
    ],
    "batch_processing.core.queue": ["ImageQueue", "ImageQueueItem"],
    "batch_processing.core.status": ["StatusTracker", "ProcessingStatus", "ProcessingState", "StatusSummary"],
    "batch_processing.processor": ["BatchProcessor"],
    "batch_processing.classification": ["ImageClassifier", "ImageType"],
    "batch_processing.classification.classifier": ["ImageClassifier", "ImageType"],
    "batch_processing.io": [
        "is_zip_file", "extract_zip_file", "cleanup_temp_directory", "create_output_zip",
        "separate_line_art_and_references", "SUPPORTED_IMAGE_FORMATS", "scan_directory", "validate_image_file",
        "create_output_path", "handle_filename_collision",
    ],
    "batch_processing.io.file_handler": [
        "SUPPORTED_IMAGE_FORMATS", "scan_directory", "validate_image_file", "create_output_path",
        "handle_filename_collision",
    ],
    "batch_processing.io.zip_handler": [
        "is_zip_file", "extract_zip_file", "cleanup_temp_directory", "create_output_zip",
        "separate_line_art_and_references",
    ],
    "batch_processing.memory": ["MemoryManager"],
    "batch_processing.memory.memory_manager": ["MemoryManager"],
    "batch_processing.ui": ["ReferencePreviewGallery", "filter_references", "create_reference_preview_ui"],
    "batch_processing.ui.reference_preview": [
        "ReferencePreviewGallery", "filter_references", "create_reference_preview_ui",
    ],
    "batch_processing.photos": [
        "load_images_from_folder", "scan_images_recursively", "calculate_file_hash", "is_valid_image_file",
        "PhotoRepository", "DuplicateRepository", "Photo", "Duplicate", "ScanStats",
    ],
    "app.image.loader": [
        "load_images_from_folder", "scan_images_recursively", "calculate_file_hash", "is_valid_image_file",
    ],
}  # fmt: skip

REQUIRED = inspect.Parameter.empty
SIGNATURES: list[tuple[str, str, dict[str, Any]]] = [
    ("batch_processing", "colorize_comic", {
        "inputs": REQUIRED, "output": REQUIRED, "references": (), "config": None,
    }),
    ("batch_processing", "BatchConfig", {
        "input_dir": REQUIRED, "output_dir": REQUIRED, "reference_images": ..., "style": "line + shadow", "seed": 0,
        "num_inference_steps": 10, "top_k": 3, "recursive": False, "overwrite": False, "preview_mode": False,
        "max_concurrent": 1, "input_is_zip": False, "output_as_zip": False, "zip_output_name": None,
    }),
    ("batch_processing", "BatchProcessor", {"config": REQUIRED}),
    ("batch_processing", "MemoryManager", {"device": "cpu", "memory_threshold": 0.8}),
    ("batch_processing", "MemoryManager.estimate_memory_required", {
        "self": REQUIRED, "image_size": ..., "references": 4, "backend": None,
    }),
    ("batch_processing", "ImageQueueItem", {
        "id": REQUIRED, "input_path": REQUIRED, "output_path": REQUIRED, "config": None, "priority": 0,
        "image_type": None, "classification_confidence": None,
    }),
    ("batch_processing", "ImageType", {"type": REQUIRED, "confidence": REQUIRED, "metrics": ...}),
    ("batch_processing", "ImageClassifier", {
        "saturation_threshold": 0.15, "color_count_threshold": 1000, "edge_ratio_threshold": 0.3,
    }),
    ("batch_processing", "setup_logging", {
        "log_level": "INFO", "log_file": None, "log_dir": None, "console_output": True, "log_format": None,
        "date_format": None,
    }),
    ("batch_processing.logging_config", "configure_component_logger", {
        "name": REQUIRED, "log_level": None, "log_file": None,
    }),
    ("batch_processing.core", "StatusTracker.update_status", {
        "self": REQUIRED, "id": ..., "state": REQUIRED, "error_message": None, "output_path": None,
    }),
    ("batch_processing.core", "ProcessingStatus", {
        "id": REQUIRED, "state": ..., "start_time": ..., "end_time": ..., "error_message": ..., "output_path": ...,
    }),
    ("batch_processing.core", "StatusSummary", {
        "total": ..., "pending": ..., "processing": ..., "completed": ..., "failed": ..., "cancelled": ...,
        "start_time": ..., "end_time": ...,
    }),
    ("batch_processing.io", "scan_directory", {"directory": REQUIRED, "recursive": False, "supported_formats": None}),
    ("batch_processing.io", "create_output_path", {
        "input_path": REQUIRED, "output_dir": REQUIRED, "suffix": "_colorized", "prefix": "",
    }),
    ("batch_processing.io", "handle_filename_collision", {"path": ..., "overwrite": False}),
    ("batch_processing.io", "extract_zip_file", {"zip_path": REQUIRED, "extract_dir": None}),
    ("batch_processing.io", "create_output_zip", {
        "output_dir": REQUIRED, "zip_name": REQUIRED, "metadata": None, "preserve_structure": True,
    }),
    ("batch_processing.io", "separate_line_art_and_references", {"paths": ..., "classifier": None}),
    ("batch_processing.io.zip_handler", "separate_line_art_and_references", {"paths": ..., "classifier": None}),
    ("batch_processing.photos", "scan_images_recursively", {
        "root_path": REQUIRED, "photo_repo": REQUIRED, "batch_size": 100, "duplicate_repo": None, "start_batch": 1,
    }),
    ("batch_processing.photos", "load_images_from_folder", {"folder_path": REQUIRED, "batch_size": 100}),
    ("batch_processing.photos", "calculate_file_hash", {"path": ...}),
    ("batch_processing.photos", "is_valid_image_file", {"path": ...}),
    ("batch_processing.photos", "DuplicateRepository.create_duplicate", {
        "self": REQUIRED, "photo_id": REQUIRED, "duplicate_of_id": REQUIRED, "reason": ...,
    }),
    ("batch_processing.ui", "ReferencePreviewGallery.auto_select_best", {
        "self": REQUIRED, "choices": REQUIRED, "threshold": 0.7,
    }),
]  # fmt: skip

ATTRIBUTES: list[tuple[str, str, str]] = [
    ("batch_processing", "ImageQueue", "enqueue dequeue peek size clear __len__ __bool__ __iter__"),
    (
        "batch_processing",
        "StatusTracker",
        (
            "add_image update_status get_status get_all_statuses get_summary get_images_by_state clear retry __len__ "
            "__contains__"
        ),
    ),
    ("batch_processing.core", "ProcessingStatus", "processing_time is_terminal_state"),
    ("batch_processing.core", "StatusSummary", "is_complete success_rate elapsed_time"),
    (
        "batch_processing",
        "ImageClassifier",
        (
            "classify classify_batch get_classification_confidence analyze_color_saturation count_unique_colors "
            "calculate_edge_density clear_cache"
        ),
    ),
    (
        "batch_processing",
        "MemoryManager",
        "clear_cache check_memory_usage trigger_gc_if_needed estimate_memory_required host_usage rss",
    ),
    (
        "batch_processing",
        "ConfigurationHandler",
        (
            "load_config_file get_image_config get_default_config has_image_config validate_config merge_configs "
            "clear_cache"
        ),
    ),
    (
        "batch_processing",
        "BatchProcessor",
        (
            "add_images start_processing pause_processing resume_processing cancel_processing get_status "
            "is_preview_mode is_waiting_for_preview_approval get_preview_result approve_preview reject_preview"
        ),
    ),
    ("batch_processing.photos", "PhotoRepository", "get list_all create delete get_by_hash get_by_path"),
    (
        "batch_processing.photos",
        "DuplicateRepository",
        (
            "get list_all create delete create_duplicate get_by_photo get_by_original get_duplicates_count "
            "get_duplicates_summary get_duplicate_groups exists_duplicate"
        ),
    ),
    (
        "batch_processing.ui",
        "ReferencePreviewGallery",
        (
            "load_references select_all deselect_all auto_select_best update_selection get_confidence_display "
            "create_gallery_component"
        ),
    ),
]


@pytest.fixture(autouse=True)
def _own_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOTE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("LOTE_DATABASE", raising=False)


def line_art(path: Path, offset: int = 0) -> str:
    """A small page of black lines on white paper."""
    page = Image.new("RGB", (240, 320), "white")
    draw = ImageDraw.Draw(page)
    draw.rectangle((20, 20, 220, 300), outline="black", width=3)
    draw.ellipse((60 + offset, 80, 160 + offset, 180), outline="black", width=2)
    draw.line((20, 240, 220, 200 + offset), fill="black", width=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)
    return str(path)


def colored(path: Path) -> str:
    """A small page of bright areas in many colours."""
    page = Image.new("RGB", (240, 320))
    for y in range(320):
        for x in range(0, 240, 4):
            page.paste((x, (y * 3) % 256, 255 - y * 255 // 320), (x, y, x + 4, y + 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)
    return str(path)


class TestDoors:
    @pytest.mark.parametrize("module", PATHS)
    def test_every_documented_name_is_found_where_it_was(self, module: str) -> None:
        door = importlib.import_module(module)
        assert [name for name in PATHS[module] if not hasattr(door, name)] == []

    @pytest.mark.parametrize(
        "module",
        [
            name
            for name in PATHS
            if name not in {"batch_processing", "app.image.loader"} and name.count(".") == 1
        ],
    )
    def test_star_import_gives_the_documented_names(self, module: str) -> None:
        door = importlib.import_module(module)
        assert set(PATHS[module]) <= set(door.__all__)
        assert [name for name in door.__all__ if not hasattr(door, name)] == []

    def test_the_public_door_holds_exactly_the_public_names(self) -> None:
        assert sorted(batch_processing.__all__) == sorted(
            PATHS["batch_processing"]
            + ["JobResult", "LibraryResult", "PageResult", "PaletteEntry", "Region"]
            + ["colorize_library", "layers", "palette", "recolor", "review"]
        )
        assert set(batch_processing.__all__) <= set(dir(batch_processing))

    def test_the_same_class_through_every_door(self) -> None:
        for name in ("ImageQueue", "BatchProcessor", "ImageClassifier", "ConfigurationError"):
            homes = [importlib.import_module(module) for module, names in PATHS.items() if name in names]
            assert len({id(getattr(home, name)) for home in homes}) == 1

    def test_an_unknown_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="no_such_name"):
            _ = batch_processing.no_such_name

    def test_the_version_is_a_version(self) -> None:
        assert [part.isdigit() for part in batch_processing.__version__.split(".")] == [True, True, True]

    @pytest.mark.parametrize(("module", "name", "expected"), SIGNATURES, ids=lambda value: str(value)[:60])
    def test_signature(self, module: str, name: str, expected: dict[str, Any]) -> None:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        parameters = list(inspect.signature(found).parameters.values())
        for position, (wanted, default) in enumerate(expected.items()):
            by_position = parameters[position].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            parameter = next((p for p in parameters if p.name == wanted), None)
            if default is ...:  # the name is not documented, or has no documented default
                parameter = parameter or parameters[position]
            assert parameter is not None, f"{name} has no parameter {wanted}"
            if by_position and default is not ...:
                assert parameters[position].name == wanted
            if default is not ...:
                assert parameter.default == default, f"{name}: default of {wanted}"

    @pytest.mark.parametrize(("module", "name", "members"), ATTRIBUTES, ids=lambda value: str(value)[:40])
    def test_members(self, module: str, name: str, members: str) -> None:
        cls = getattr(importlib.import_module(module), name)
        fields = getattr(cls, "__dataclass_fields__", {})
        assert [m for m in members.split() if not hasattr(cls, m) and m not in fields] == []


def _loaded_after(statement: str, heavy: list[str]) -> str:
    code = f"{statement}\nimport sys\nprint(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestLightImports:
    def test_the_package_alone_loads_nothing_heavy(self) -> None:
        heavy = ["torch", "cv2", "gradio", "pandas", "ray", "sqlalchemy", "pydantic", "numpy", "PIL", "rich"]
        assert _loaded_after("import batch_processing", heavy) == ""

    def test_no_import_path_loads_torch_cv2_gradio_pandas_or_ray(self) -> None:
        statements = "\n".join(
            f"from {module} import {', '.join(names)}" for module, names in PATHS.items() if module
        )
        assert _loaded_after(statements, ["torch", "cv2", "gradio", "pandas", "ray"]) == ""

    def test_importing_sets_up_no_logging_and_makes_no_folder(self, tmp_path: Path) -> None:
        code = (
            "import batch_processing, logging\n"
            "import batch_processing.core, batch_processing.photos, batch_processing.io\n"
            "print(len(logging.getLogger().handlers), logging.getLogger().level)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
        )
        assert done.stdout.split() == ["0", str(logging.WARNING)]
        assert list(tmp_path.iterdir()) == []


class TestExceptions:
    def test_image_processing_error(self) -> None:
        error = ImageProcessingError("a/p1.png", "is broken")
        assert (error.image_path, error.message) == ("a/p1.png", "is broken")
        assert "Error processing a/p1.png: is broken" in str(error)

    def test_a_classification_failure_is_caught_both_ways(self) -> None:
        for kind in (ClassificationError, ImageProcessingError, BatchProcessingError):
            with pytest.raises(kind):
                raise ClassificationError("p.png", "cannot be measured")

    @pytest.mark.parametrize("name", PATHS["batch_processing.exceptions"])
    def test_every_error_is_a_batch_processing_error_and_survives_pickling(self, name: str) -> None:
        cls = getattr(batch_processing, name)
        assert issubclass(cls, BatchProcessingError)
        error = cls("p.png", "text") if issubclass(cls, ImageProcessingError) else cls("text")
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert type(again) is cls
        assert str(again) == str(error)
        assert vars(again) == vars(error)


class TestQueue:
    @staticmethod
    def item(name: str, **values: Any) -> Any:
        return batch_processing.ImageQueueItem(name, f"{name}.png", f"{name}_out.png", **values)

    def test_highest_priority_first_then_first_in_first_out(self) -> None:
        queue = batch_processing.ImageQueue()
        assert not queue
        assert queue.dequeue() is None
        assert queue.peek() is None
        for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
            queue.enqueue(self.item(name, priority=priority))
        assert (len(queue), queue.size(), bool(queue)) == (4, 4, True)
        assert [item.id for item in queue] == ["b", "d", "a", "c"]
        assert queue.peek().id == "b"
        assert [queue.dequeue().id for _ in range(4)] == ["b", "d", "a", "c"]
        queue.enqueue(self.item("e"))
        queue.clear()
        assert queue.size() == 0

    def test_iteration_is_over_a_snapshot(self) -> None:
        queue = batch_processing.ImageQueue()
        for name in "abc":
            queue.enqueue(self.item(name))
        assert [queue.dequeue().id for _ in queue] == ["a", "b", "c"]

    def test_only_items_enter(self) -> None:
        with pytest.raises(TypeError, match="Expected ImageQueueItem"):
            batch_processing.ImageQueue().enqueue("page.png")

    @pytest.mark.parametrize("kind", ["line_art", "colored", None])
    def test_the_documented_image_types(self, kind: str | None) -> None:
        assert self.item("a", image_type=kind, classification_confidence=1.0).image_type == kind

    def test_another_image_type_is_refused(self) -> None:
        with pytest.raises(ValueError, match="Invalid image_type"):
            self.item("a", image_type="photo")

    @pytest.mark.parametrize("confidence", [-0.01, 1.01, float("nan"), float("inf")])
    def test_a_confidence_out_of_range_is_refused(self, confidence: float) -> None:
        with pytest.raises(ValueError, match="classification_confidence must be between 0 and 1"):
            self.item("a", classification_confidence=confidence)

    def test_threads_lose_and_double_nothing(self) -> None:
        queue = batch_processing.ImageQueue()
        taken: list[str] = []

        def feed(start: int) -> None:
            for number in range(start, start + 100):
                queue.enqueue(self.item(str(number)))

        def take() -> None:
            while len(taken) < 400:
                if item := queue.dequeue():
                    taken.append(item.id)
                else:
                    time.sleep(0.001)

        threads = [threading.Thread(target=feed, args=(n * 100,)) for n in range(4)]
        threads += [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(map(int, taken)) == list(range(400))


class TestStatus:
    def test_the_states_are_their_words(self) -> None:
        words = ["pending", "processing", "completed", "failed", "cancelled"]
        assert [state.value for state in batch_processing.ProcessingState] == words

    def test_a_life(self) -> None:
        tracker = batch_processing.StatusTracker()
        tracker.add_image("a")
        assert len(tracker) == 1
        assert "a" in tracker
        assert "b" not in tracker
        assert tracker.get_status("a").state == batch_processing.ProcessingState.PENDING
        tracker.update_status("a", "processing")
        assert not tracker.get_status("a").is_terminal_state()
        tracker.update_status("a", batch_processing.ProcessingState.COMPLETED, output_path="out/a.png")
        status = tracker.get_status("a")
        assert status.is_terminal_state()
        assert status.output_path == "out/a.png"
        assert status.processing_time is not None
        assert status.processing_time >= 0
        assert tracker.get_images_by_state("completed") == ["a"]
        tracker.clear()
        assert len(tracker) == 0

    @pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
    def test_pending_may_end_directly_and_the_end_is_left_by_retry_alone(self, end: str) -> None:
        tracker = batch_processing.StatusTracker()
        tracker.add_image("a")
        tracker.update_status("a", end, error_message="why")
        for state in ("pending", "processing"):
            with pytest.raises(ValueError, match=r".+"):
                tracker.update_status("a", state)
        assert tracker.get_status("a").state.value == end
        tracker.retry("a")
        assert tracker.get_status("a").state.value == "pending"

    def test_the_messages(self) -> None:
        tracker = batch_processing.StatusTracker()
        tracker.add_image("a")
        with pytest.raises(ValueError, match="already being tracked"):
            tracker.add_image("a")
        with pytest.raises(KeyError, match="not being tracked"):
            tracker.update_status("b", "completed")
        with pytest.raises(ValueError, match="Invalid state"):
            tracker.update_status("a", "done")

    def test_the_summary(self) -> None:
        tracker = batch_processing.StatusTracker()
        for name, state in {
            "a": "completed",
            "b": "failed",
            "c": "cancelled",
            "d": "processing",
            "e": None,
        }.items():
            tracker.add_image(name)
            if state:
                tracker.update_status(name, state)
        summary = tracker.get_summary()
        counts = (summary.total, summary.pending, summary.processing, summary.completed, summary.failed)
        assert (*counts, summary.cancelled) == (5, 1, 1, 1, 1, 1)
        assert summary.success_rate == pytest.approx(20.0)
        assert not summary.is_complete
        assert summary.elapsed_time is not None

    def test_what_is_handed_out_is_a_copy(self) -> None:
        tracker = batch_processing.StatusTracker()
        tracker.add_image("a")
        tracker.get_all_statuses().clear()
        assert "a" in tracker
        assert list(tracker.get_all_statuses()) == ["a"]


class TestIo:
    def test_supported_formats(self) -> None:
        from batch_processing.io import SUPPORTED_IMAGE_FORMATS

        assert {".png", ".jpg", ".jpeg", ".webp"} <= set(SUPPORTED_IMAGE_FORMATS)
        assert all(ending == ending.lower() for ending in SUPPORTED_IMAGE_FORMATS)

    def test_scan_directory(self, tmp_path: Path) -> None:
        from batch_processing.io import scan_directory

        for name in (
            "p10.png",
            "p2.PNG",
            "p1.png",
            "sub/p3.png",
            "__MACOSX/p4.png",
            "._p1.png",
            ".hidden.png",
        ):
            line_art(tmp_path / "in" / name)
        for name in ("notes.txt", "Thumbs.db", "desktop.ini", ".DS_Store"):
            (tmp_path / "in" / name).write_text("x")
        found = scan_directory(str(tmp_path / "in"))
        assert [Path(path).name for path in found] == ["p1.png", "p2.PNG", "p10.png"]
        assert all(isinstance(path, str) and Path(path).is_absolute() for path in found)
        below = scan_directory(str(tmp_path / "in"), recursive=True)
        assert {Path(path).name for path in below} == {"p1.png", "p2.PNG", "p10.png", "p3.png"}
        assert scan_directory(str(tmp_path / "in"), supported_formats=[".webp"]) == []
        with pytest.raises(ValidationError, match="does not exist"):
            scan_directory(str(tmp_path / "no"))
        with pytest.raises(ValidationError, match="not a directory"):
            scan_directory(found[0])

    def test_validate_image_file(self, tmp_path: Path) -> None:
        from batch_processing.io import validate_image_file

        assert validate_image_file(line_art(tmp_path / "a.png"))
        (tmp_path / "broken.png").write_bytes(b"no image")
        (tmp_path / "empty.png").write_bytes(b"")
        assert validate_image_file(str(tmp_path / "broken.png"))
        assert not validate_image_file(str(tmp_path / "broken.png"), deep=True)
        for bad in (tmp_path / "empty.png", tmp_path / "none.png", tmp_path, "", "\0.png"):
            assert not validate_image_file(str(bad))

    def test_create_output_path(self, tmp_path: Path) -> None:
        from batch_processing.io import create_output_path

        page = line_art(tmp_path / "p1.PNG")
        out = create_output_path(page, str(tmp_path / "new" / "out"))
        assert out == str(tmp_path / "new" / "out" / "p1_colorized.PNG")
        assert (tmp_path / "new" / "out").is_dir()
        assert Path(create_output_path(page, str(tmp_path), suffix="", prefix="x_")).name == "x_p1.PNG"
        with pytest.raises(ValidationError, match="does not exist"):
            create_output_path(str(tmp_path / "no.png"), str(tmp_path))
        with pytest.raises(ValidationError, match="not a file"):
            create_output_path(str(tmp_path), str(tmp_path))
        for bad in ({"prefix": "../"}, {"suffix": "/x"}):
            with pytest.raises(ValidationError):
                create_output_path(page, str(tmp_path), **bad)

    def test_handle_filename_collision(self, tmp_path: Path) -> None:
        from batch_processing.io import handle_filename_collision

        page = line_art(tmp_path / "p.png")
        assert handle_filename_collision(str(tmp_path / "free.png")) == str(tmp_path / "free.png")
        assert handle_filename_collision(page) == str(tmp_path / "p_1.png")
        line_art(tmp_path / "p_1.png")
        assert handle_filename_collision(page) == str(tmp_path / "p_2.png")
        assert handle_filename_collision(page, overwrite=True) == page

    def test_is_zip_file(self, tmp_path: Path) -> None:
        from batch_processing.io import is_zip_file

        with zipfile.ZipFile(tmp_path / "a.cbz", "w") as archive:
            archive.writestr("a.txt", "x")
        (tmp_path / "fake.zip").write_bytes(b"PK\x03\x04 not a zip")
        assert is_zip_file(str(tmp_path / "a.cbz"))
        for bad in (tmp_path / "fake.zip", tmp_path / "no.zip", tmp_path, "", "\0.zip"):
            assert not is_zip_file(str(bad))

    def test_extract_zip_file(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        from batch_processing.io import cleanup_temp_directory, extract_zip_file

        page = Path(line_art(tmp_path / "page.png"))
        with zipfile.ZipFile(tmp_path / "inner.zip", "w") as archive:
            archive.write(page, "deep.png")
        (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 broken")
        with zipfile.ZipFile(tmp_path / "book.cbz", "w") as archive:
            for name in ("b.png", "a.png", "__MACOSX/._a.png"):
                archive.write(page, name)
            archive.write(tmp_path / "inner.zip", "inner.zip")
            archive.write(tmp_path / "bad.zip", "bad.zip")
        folder, images = extract_zip_file(str(tmp_path / "book.cbz"))
        relative = [Path(image).relative_to(folder).as_posix() for image in images]
        assert relative[:2] == ["b.png", "a.png"]
        assert relative[2:] == ["inner_extracted/deep.png"]
        assert all(Path(image).read_bytes() == page.read_bytes() for image in images)
        assert "bad.zip" in caplog.text
        cleanup_temp_directory(folder)
        assert not Path(folder).exists()
        given = str(tmp_path / "to")
        assert extract_zip_file(str(tmp_path / "book.cbz"), given)[0] == given

    def test_an_archive_that_is_none_or_not_safe(self, tmp_path: Path) -> None:
        from batch_processing.io import extract_zip_file

        (tmp_path / "text.zip").write_text("no archive")
        with pytest.raises(ValidationError):
            extract_zip_file(str(tmp_path / "text.zip"))
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
            archive.writestr("../../evil.png", "x")
        with pytest.raises(ZIPExtractionError, match=r"evil\.png"):
            extract_zip_file(str(tmp_path / "evil.zip"), str(tmp_path / "out"))
        assert not (tmp_path.parent / "evil.png").exists()

    def test_cleanup_refuses_what_is_not_temporary(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from batch_processing.io import cleanup_temp_directory

        home, here = tmp_path / "home", tmp_path / "here"
        for folder in (home, here):
            folder.mkdir()
            (folder / "keep.txt").write_text("x")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.chdir(here)
        cleanup_temp_directory(str(tmp_path / "missing"))
        cleanup_temp_directory(str(home))
        cleanup_temp_directory(str(here))
        assert (home / "keep.txt").exists()
        assert (here / "keep.txt").exists()

    def test_create_output_zip(self, tmp_path: Path) -> None:
        from batch_processing.io import create_output_zip

        line_art(tmp_path / "out" / "b" / "page1.png")
        line_art(tmp_path / "out" / "a" / "page1.png", 10)
        metadata = {"style": "line"}
        path = create_output_zip(str(tmp_path / "out"), "book", metadata)
        assert path == str(tmp_path / "out" / "book.zip")
        assert metadata == {"style": "line"}
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            facts = json.loads(archive.read("processing_metadata.json"))
        assert [name for name in names if name.endswith(".png")] == ["a/page1.png", "b/page1.png"]
        assert facts["style"] == "line"
        assert {"created_at", "cobra_version", "software"} <= set(facts)
        assert facts["created_at"].endswith("Z") or "+" in facts["created_at"]
        second = create_output_zip(str(tmp_path / "out"), "book.zip", {}, preserve_structure=False)
        assert second not in {path, str(tmp_path / "out" / "book.zip")}
        with zipfile.ZipFile(second) as archive:
            names = archive.namelist()
        assert "processing_metadata.json" in names
        assert sorted(name for name in names if name.endswith(".png")) == ["page1.png", "page1_1.png"]
        third = create_output_zip(str(tmp_path / "out"), "plain")
        with zipfile.ZipFile(third) as archive:
            assert "processing_metadata.json" not in archive.namelist()

    def test_separate_line_art_and_references(self, tmp_path: Path) -> None:
        from batch_processing import io
        from batch_processing.io import zip_handler

        paths = [line_art(tmp_path / "2.png"), colored(tmp_path / "1.png"), line_art(tmp_path / "0.png", 5)]
        lines, references, kinds = io.separate_line_art_and_references(paths)
        assert lines == [paths[0], paths[2]]
        assert references == [paths[1]]
        assert [kinds[path].type for path in paths] == ["line_art", "colored", "line_art"]
        assert zip_handler.separate_line_art_and_references(paths) == (lines, references)


class TestClassification:
    def test_a_kind_is_checked(self) -> None:
        kind = batch_processing.ImageType("line_art", 0.5, {"saturation": 0.0})
        assert (kind.type, kind.confidence) == ("line_art", 0.5)
        for bad in (("photo", 0.5), ("colored", 1.5), ("colored", float("nan"))):
            with pytest.raises(ValueError, match=r".+"):
                batch_processing.ImageType(*bad, {})

    def test_the_classifier(self, tmp_path: Path) -> None:
        classifier = batch_processing.ImageClassifier()
        page, cover = line_art(tmp_path / "page.png"), colored(tmp_path / "cover.png")
        kind = classifier.classify(page)
        assert kind.type == "line_art"
        assert {"saturation", "color_count", "edge_density"} <= set(kind.metrics)
        assert 0 <= classifier.get_classification_confidence(cover) <= 1
        assert classifier.classify(cover).type == "colored"
        assert len(classifier.classify_batch([page, cover])) == 2
        with Image.open(cover) as image:
            for picture in (np.asarray(image), image):  # an array or a Pillow image
                assert classifier.analyze_color_saturation(picture) > 0.15
                assert classifier.count_unique_colors(picture) > 100
                assert 0 <= classifier.calculate_edge_density(picture) <= 1
        classifier.clear_cache()

    def test_a_changed_file_is_seen(self, tmp_path: Path) -> None:
        classifier = batch_processing.ImageClassifier()
        path = line_art(tmp_path / "page.png")
        assert classifier.classify(path).type == "line_art"
        colored(tmp_path / "page.png")
        assert classifier.classify(path).type == "colored"

    def test_a_broken_image_is_a_classification_error(self, tmp_path: Path) -> None:
        (tmp_path / "broken.png").write_bytes(b"nothing")
        with pytest.raises(ClassificationError, match=r"broken\.png"):
            batch_processing.ImageClassifier().classify(str(tmp_path / "broken.png"))


STATUS_KEYS = {
    "summary", "is_processing", "is_paused", "is_cancelled", "queue_size", "total_images", "completed", "failed",
    "pending", "processing", "cancelled", "success_rate", "elapsed_time",
}  # fmt: skip


class TestBatchProcessor:
    @staticmethod
    def processor(tmp_path: Path, **settings: Any) -> Any:
        config = batch_processing.BatchConfig(
            str(tmp_path / "in"), str(tmp_path / "out"), [], backend="noop", **settings
        )
        return batch_processing.BatchProcessor(config)

    def test_construction_touches_no_path(self, tmp_path: Path) -> None:
        processor = self.processor(tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert processor.config.backend == "noop"
        assert isinstance(processor.queue, batch_processing.ImageQueue)
        assert isinstance(processor.status_tracker, batch_processing.StatusTracker)
        assert isinstance(processor.memory_manager, batch_processing.MemoryManager)
        assert set(processor.get_status()) >= STATUS_KEYS
        assert processor.get_status()["total_images"] == 0

    def test_a_batch_with_a_broken_image(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        processor = self.processor(tmp_path)
        pages = [line_art(tmp_path / "in" / f"p{n}.png", n) for n in range(3)]
        (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
        processor.add_images([*pages, str(tmp_path / "in" / "broken.png"), str(tmp_path / "in" / "none.png")])
        assert "none.png" in caplog.text
        assert processor.queue.size() == 4
        processor.start_processing()
        status = processor.get_status()
        assert set(status) >= STATUS_KEYS
        assert (status["total_images"], status["completed"], status["failed"]) == (4, 3, 1)
        assert status["success_rate"] == pytest.approx(75.0)
        assert status["queue_size"] == 0
        assert not status["is_processing"]
        statuses = list(processor.status_tracker.get_all_statuses().values())
        causes = [one.error_message for one in statuses if one.state.value == "failed"]
        assert len(causes) == 1
        assert causes[0]
        for number in range(3):
            with (
                Image.open(tmp_path / "out" / f"p{number}_colorized.png") as out,
                Image.open(pages[number]) as page,
            ):
                assert out.convert("RGB").tobytes() == page.convert("RGB").tobytes()
        outputs = {Path(one.output_path).name for one in statuses if one.state.value == "completed"}
        assert outputs == {f"p{number}_colorized.png" for number in range(3)}

    def test_two_inputs_of_one_name_give_two_files(self, tmp_path: Path) -> None:
        processor = self.processor(tmp_path)
        processor.add_images(
            [line_art(tmp_path / "in" / "a" / "p.png"), line_art(tmp_path / "in" / "b" / "p.png", 9)]
        )
        processor.start_processing()
        assert len([path for path in (tmp_path / "out").rglob("*.png") if "_lote" not in path.parts]) == 2

    def test_the_messages(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        processor = self.processor(tmp_path)
        with pytest.raises(ValidationError, match="image_paths list is empty"):
            processor.add_images([])
        with pytest.raises(ValidationError, match="No valid images added"):
            processor.add_images([str(tmp_path / "none.png")])
        with pytest.raises(BatchProcessingError, match="queue is empty"):
            processor.start_processing()
        processor.pause_processing()
        processor.resume_processing()
        processor.cancel_processing()
        for text in (
            "Cannot pause: processing is not active",
            "Cannot resume: processing is not paused",
            "Cannot cancel: processing is not active",
        ):
            assert text in caplog.text
        with pytest.raises(BatchProcessingError, match="preview mode is not enabled"):
            processor.approve_preview()
        with pytest.raises(BatchProcessingError, match="preview mode is not enabled"):
            processor.reject_preview()
        assert not processor.is_preview_mode()
        assert processor.get_preview_result() is None

    def test_pause_then_cancel_from_another_thread(self, tmp_path: Path) -> None:
        processor = self.processor(tmp_path)
        processor.add_images([line_art(tmp_path / "in" / f"p{n}.png", n % 50) for n in range(60)])
        run = threading.Thread(target=processor.start_processing)
        run.start()
        try:
            assert _within(30, lambda: processor.get_status()["completed"] >= 1)
            processor.pause_processing()
            assert _within(10, lambda: processor.get_status()["is_paused"])
            processor.cancel_processing()
        finally:
            run.join(60)
        assert not run.is_alive()
        status = processor.get_status()
        assert status["is_cancelled"]
        assert not status["is_processing"]
        assert status["completed"] + status["cancelled"] == 60
        assert status["cancelled"] > 0

    def test_pause_then_resume_finishes(self, tmp_path: Path) -> None:
        processor = self.processor(tmp_path)
        processor.add_images([line_art(tmp_path / "in" / f"p{n}.png", n) for n in range(20)])
        run = threading.Thread(target=processor.start_processing)
        run.start()
        assert _within(30, lambda: processor.get_status()["completed"] >= 1)
        processor.pause_processing()
        time.sleep(0.5)
        processor.resume_processing()
        run.join(60)
        assert not run.is_alive()
        assert processor.get_status()["completed"] == 20

    def test_settings_of_one_image_take_effect(self, tmp_path: Path) -> None:
        file = tmp_path / "book.json"
        file.write_text(json.dumps({"images": {"p1.png": {"skip": True}, "p2.png": {"priority": 9}}}))
        processor = self.processor(tmp_path, config_file=str(file))
        processor.add_images([line_art(tmp_path / "in" / f"p{n}.png", n) for n in range(3)])
        first = processor.queue.peek()
        assert Path(first.input_path).name == "p2.png"
        processor.start_processing()
        assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
            "p0_colorized.png",
            "p2_colorized.png",
        }

    def test_output_as_zip(self, tmp_path: Path) -> None:
        processor = self.processor(tmp_path, output_as_zip=True)
        processor.add_images([line_art(tmp_path / "in" / f"p{n}.png", n) for n in range(2)])
        processor.start_processing()
        archives = list(tmp_path.rglob("out_colorized.zip"))
        assert len(archives) == 1
        with zipfile.ZipFile(archives[0]) as archive:
            assert archive.testzip() is None
            assert len([name for name in archive.namelist() if name.endswith(".png")]) == 2
            assert "processing_metadata.json" in archive.namelist()


class TestPreview:
    @staticmethod
    def processor(tmp_path: Path, pages: int = 3) -> Any:
        processor = TestBatchProcessor.processor(tmp_path, preview_mode=True)
        processor.add_images([line_art(tmp_path / "in" / f"p{n}.png", n) for n in range(pages)])
        return processor

    def test_one_page_then_the_rest(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        processor = self.processor(tmp_path)
        assert processor.is_preview_mode()
        assert processor.get_preview_result() is None
        assert not processor.is_waiting_for_preview_approval()
        with pytest.raises(BatchProcessingError, match="no preview has been processed"):
            processor.approve_preview()
        with pytest.raises(BatchProcessingError, match="no preview has been processed"):
            processor.reject_preview()
        processor.start_processing()
        assert processor.is_waiting_for_preview_approval()
        result = processor.get_preview_result()
        assert {"input_path", "output_path", "status", "image_id"} <= set(result)
        assert Path(result["input_path"]).name == "p0.png"
        assert result["status"] == "completed"
        assert Path(result["output_path"]).is_file()
        assert "error" not in result
        assert processor.get_status()["completed"] == 1
        processor.approve_preview()
        assert not processor.is_waiting_for_preview_approval()
        caplog.clear()
        processor.approve_preview()
        assert [record for record in caplog.records if record.levelno == logging.WARNING]
        processor.start_processing()
        assert processor.get_status()["completed"] == 3

    def test_a_rejected_page_is_done_again(self, tmp_path: Path) -> None:
        processor = self.processor(tmp_path)
        processor.start_processing()
        rejected = processor.get_preview_result()["input_path"]
        processor.reject_preview()
        assert not processor.is_waiting_for_preview_approval()
        assert processor.get_status()["queue_size"] == 3
        processor.start_processing()
        if processor.is_waiting_for_preview_approval():  # the redone page is a preview again
            assert processor.get_preview_result()["input_path"] == rejected
            processor.approve_preview()
            processor.start_processing()
        assert processor.get_status()["completed"] == 3

    def test_a_failed_preview_says_why(self, tmp_path: Path) -> None:
        processor = TestBatchProcessor.processor(tmp_path, preview_mode=True)
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
        processor.add_images([str(tmp_path / "in" / "a.png"), line_art(tmp_path / "in" / "b.png")])
        processor.start_processing()
        result = processor.get_preview_result()
        assert result["status"] == "failed"
        assert result["error"]


class TestColorizeComic:
    def test_a_folder_becomes_a_folder(self, tmp_path: Path) -> None:
        pages = [Path(line_art(tmp_path / "in" / "ch1" / f"p{n}.png", n)) for n in (2, 10)]
        result = batch_processing.colorize_comic(
            tmp_path / "in", tmp_path / "out", config={"backend": "noop", "recursive": True}
        )
        assert isinstance(result, batch_processing.JobResult)
        assert (result.state, result.total, result.completed, result.failed) == ("done", 2, 2, 0)
        for page in pages:
            with Image.open(tmp_path / "out" / "ch1" / page.name) as out, Image.open(page) as was:
                assert out.convert("RGB").tobytes() == was.convert("RGB").tobytes()

    def test_an_archive_becomes_an_archive(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "book.cbz", "w") as archive:
            for name in ("p2.png", "p10.png", "p1.png"):
                archive.write(line_art(tmp_path / "page.png"), name)
        result = batch_processing.colorize_comic(
            str(tmp_path / "book.cbz"), str(tmp_path / "done.cbz"), config={"backend": "noop"}
        )
        assert result.output == str(tmp_path / "done.cbz")
        with zipfile.ZipFile(tmp_path / "done.cbz") as archive:
            assert archive.testzip() is None
            pages = [name for name in archive.namelist() if name.endswith(".png")]
        assert pages == ["p1.png", "p2.png", "p10.png"]

    @pytest.mark.parametrize("as_mapping", [False, True])
    def test_the_default_of_a_config_file_takes_effect(self, tmp_path: Path, as_mapping: bool) -> None:
        line_art(tmp_path / "in" / "p1.png")
        (tmp_path / "book.toml").write_text('[default]\nformat = "webp"\n')
        given = {"backend": "noop", "config_file": str(tmp_path / "book.toml")}
        config = (
            given if as_mapping else batch_processing.BatchConfig(tmp_path / "in", tmp_path / "out", **given)
        )
        batch_processing.colorize_comic(tmp_path / "in", tmp_path / "out", config=config)
        assert (tmp_path / "out" / "p1.webp").is_file()


class TestPhotos:
    def test_load_images_from_folder(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        from batch_processing.photos import calculate_file_hash, is_valid_image_file, load_images_from_folder

        paths = [line_art(tmp_path / "pics" / f"p{n}.PNG", n) for n in range(3)]
        (tmp_path / "pics" / "copy.png").write_bytes(Path(paths[0]).read_bytes())
        (tmp_path / "pics" / "empty.png").write_bytes(b"")
        records = load_images_from_folder(str(tmp_path / "pics"))
        assert len(records) == 3
        for record in records:
            assert set(record) == {"filename", "path", "hash", "size", "extension"}
            assert Path(record["path"]).is_absolute()
            assert record["hash"] == calculate_file_hash(record["path"])
            assert record["size"] == Path(record["path"]).stat().st_size
            assert record["extension"] == ".png"
        assert load_images_from_folder(str(tmp_path / "pics")) == []
        assert load_images_from_folder(str(tmp_path / "none")) == []
        assert "none" in caplog.text
        with pytest.raises(ValidationError):
            load_images_from_folder(str(tmp_path / "pics"), batch_size=0)
        assert is_valid_image_file(paths[0])
        assert not is_valid_image_file(str(tmp_path / "none.png"))

    def test_scan_stats_has_the_documented_fields(self) -> None:
        from batch_processing.photos import ScanStats

        documented = (
            "files_seen registered already_processed duplicates moved changed missing errors facts_errors batches "
            "bytes_read seconds seconds_per_batch peak_memory"
        )
        stats = ScanStats()
        assert [name for name in documented.split() if not hasattr(stats, name)] == []

    def test_the_old_import_path_is_the_same_code(self) -> None:
        from app.image import loader

        photos = importlib.import_module("batch_processing.photos")
        assert loader.scan_images_recursively is photos.scan_images_recursively
        assert loader.load_images_from_folder is photos.load_images_from_folder


class TestConfigMessages:
    """The fragments that other programs look for; the rest is in tests/config."""

    @pytest.mark.parametrize(
        ("values", "text"),
        [
            ({"input_dir": ""}, "input_dir cannot be empty"),
            ({"output_dir": " "}, "output_dir cannot be empty"),
            ({"style": "watercolour"}, "Invalid style"),
            ({"seed": -1}, "seed must be non-negative"),
            ({"num_inference_steps": 0}, "num_inference_steps must be at least 1"),
            ({"top_k": 0}, "top_k must be at least 1"),
            ({"max_concurrent": 0}, "max_concurrent must be at least 1"),
        ],
    )
    def test_fragment(self, values: dict[str, Any], text: str) -> None:
        with pytest.raises(ConfigurationError, match=text):
            batch_processing.BatchConfig(
                **{"input_dir": "i", "output_dir": "o", "reference_images": []} | values
            )


def _within(seconds: float, condition: Any) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
