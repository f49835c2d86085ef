"""BatchProcessor: colour a list of images from Python, with pause, resume, cancel and preview.

A face of the comics application on the engine: what it starts is a job in the workspace's ledger,
seen by `lote status` and stopped by `lote cancel` like any other. Constructing one touches no path.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import BatchProcessingError, ValidationError
from ..io.naming import NameReservation
from ..io.scan import validate_image_file
from ..logging_config import get_logger
from ..memory import MemoryManager
from ..messages import Message
from . import applications
from .coordinator import run_job
from .model import EventKind, ItemState, JobState, Wish
from .queue import ImageQueue, ImageQueueItem
from .status import ProcessingState, Snapshot, StatusTracker
from .workspace import Workspace

if TYPE_CHECKING:
    from ..config import BatchConfig
    from .model import Event, Item

log = get_logger(__name__)

SUFFIX = "_colorized"


class BatchProcessor:
    """Colours the images it is given into `config.output_dir`, each as `<stem>_colorized.<format>`.

        processor = BatchProcessor(BatchConfig("pages", "out", ["cover.png"]))
        processor.add_images(["pages/1.png", "pages/2.png"])
        processor.start_processing()

    `queue` holds what waits, `status_tracker` the state of every image. `on_progress(snapshot)`, if
    set, is called four times a second while it runs. `start_processing` blocks; every other method
    may be called meanwhile from any thread."""

    def __init__(self, config: BatchConfig, workspace: str | Path | None = None) -> None:
        self.config = config
        self.queue = ImageQueue()
        self.status_tracker = StatusTracker()
        self.memory_manager = MemoryManager()
        self.on_progress: Callable[[Snapshot], None] | None = None
        self._workspace = Workspace(workspace)
        self._names = NameReservation()
        self._job: int | None = None
        self._lock = threading.Lock()
        self._active = self._paused = self._cancelled = False
        self._preview: ImageQueueItem | None = None
        self._approved = False

    def add_images(self, image_paths: Iterable[str | Path]) -> int:
        """Queue images; how many were taken. What is no readable image, or was added before, is skipped
        with a warning. ValidationError for an empty list, or one without a single valid image."""
        paths = [os.path.abspath(path) for path in image_paths]  # noqa: PTH100 - no resolving
        if not paths:
            raise ValidationError("image_paths list is empty: name at least one image.")
        from ..config.effective import Settings

        settings = Settings.of(self.config)
        added = 0
        for path in paths:
            if path in self.status_tracker:
                log.warning("%s was added before and is not added again", path)
            elif not validate_image_file(path):
                log.warning("%s is not a readable image and is skipped", path)
            elif settings.page(path).skip:
                log.info("%s is skipped, as the configuration file says", path)
            else:
                name = Path(path).name
                output = self._names.reserve(f"{Path(name).stem}{SUFFIX}.{self.config.format}")
                self.status_tracker.add_image(path)
                target = str(Path(self.config.output_dir).absolute() / output)
                priority = settings.page(path).priority
                self.queue.enqueue(ImageQueueItem(path, path, target, priority=priority))
                added += 1
        if not added:
            raise ValidationError(
                "No valid images added: none of the {paths} paths is a new, readable image.", paths=len(paths)
            )
        return added

    def start_processing(self) -> None:
        """Process what is queued, and return when it has ended; in preview mode the first start does one
        image only. One image's failure never stops the batch: see `status_tracker`.

        BatchProcessingError "queue is empty", or what makes the whole job impossible."""
        with self._lock:
            if self._active:
                raise BatchProcessingError("processing is active already: wait for it, or cancel it")
            if self.is_waiting_for_preview_approval():
                raise BatchProcessingError(
                    "a preview waits: call approve_preview() or reject_preview() before going on"
                )
            if not self.queue:
                raise BatchProcessingError("The queue is empty: call add_images() first.")
            self._active, self._paused, self._cancelled, self._job = True, False, False, None
            preview = self.config.preview_mode and not self._approved
            items = [self.queue.dequeue()] if preview else list(iter(self.queue.dequeue, None))
            batch = [item for item in items if item is not None]
            self._preview = batch[0] if preview else self._preview
        try:
            self._run(batch)
        except BaseException:
            self._requeue(batch)
            raise
        finally:
            self._active = self._paused = False

    def _run(self, batch: list[ImageQueueItem]) -> None:
        application = applications.first()
        ledger = self._workspace.ledger
        job = application.submit(
            self._workspace,
            [item.input_path for item in batch],
            self.config.output_dir,
            config={
                **self.config.model_dump(mode="json", exclude_unset=True),
                "as_lineart": ["*"],
                "overwrite": True,
                "preview_mode": False,  # this class shows the preview itself
            },
            suffix=SUFFIX,
            images={
                item.input_path: {
                    "output": item.output_path,
                    "priority": item.priority,
                    "config": item.config,
                }
                for item in batch
            },
        )
        with self._lock:  # what was asked for before the job had a number
            self._job = job.id
            if self._cancelled or self._paused:
                ledger.want(job.id, Wish.CANCEL if self._cancelled else Wish.PAUSE)
        by_path = {item.input_path: item for item in batch}

        def on_news(events: list[Event], snapshot: Snapshot) -> None:
            for row in ledger.items(job.id, ItemState.PROCESSING):
                self._show(row, by_path)
            for key in (event.key for event in events if event.kind == EventKind.PAGE):
                if key is not None and (settled := ledger.item(job.id, key)) is not None:
                    self._show(settled, by_path)
            if self.on_progress is not None:
                self.on_progress(snapshot)

        budget = self.memory_manager.budget()
        ended = run_job(
            self._workspace, job.id, application.application(self._workspace), on_news=on_news, budget=budget
        )
        for row in ledger.items(job.id):
            self._show(row, by_path)
        self._cancelled = ended.state == JobState.CANCELLED
        if self._cancelled:
            for item in batch:
                if not self.status_tracker.get_status(item.id).is_terminal_state():
                    self.status_tracker.update_status(item.id, ProcessingState.CANCELLED)
        ledger.say(job.id, EventKind.NOTE, Message("run by BatchProcessor"))

    def _show(self, row: Item, by_path: dict[str, ImageQueueItem]) -> None:
        """Bring the tracker up to date with one item of the ledger."""
        status = self.status_tracker.get_status(by_path[row.work["source"]].id)
        if row.state != status.state.value and not status.is_terminal_state():
            output = row.output if row.state == ItemState.COMPLETED else None
            self.status_tracker.update_status(
                status.id, row.state, str(row.error) if row.error else None, output
            )

    def _requeue(self, batch: list[ImageQueueItem]) -> None:
        """Nothing is lost when a run breaks off: what has not ended waits again."""
        for item in batch:
            if not self.status_tracker.get_status(item.id).is_terminal_state():
                self.queue.enqueue(item)

    # -- control ------------------------------------------------------------------------------------

    def pause_processing(self) -> None:
        """Finish what is in flight and then wait. Returns at once."""
        with self._lock:
            if not self._active:
                log.warning("Cannot pause: processing is not active")
                return
            self._paused = True
            self._want(Wish.PAUSE)

    def resume_processing(self) -> None:
        """Go on after a pause. Returns at once."""
        with self._lock:
            if not self._active or not self._is_paused():
                log.warning("Cannot resume: processing is not paused")
                return
            self._paused = False
            self._want(Wish.RUN)

    def cancel_processing(self) -> None:
        """Stop, paused or not; what was finished stays. Returns at once."""
        with self._lock:
            if not self._active:
                log.warning("Cannot cancel: processing is not active")
                return
            self._cancelled = True
            self._want(Wish.CANCEL)

    def _want(self, wish: Wish) -> None:
        """Tell the job; one that has no number yet is told when it has."""
        if self._job is not None and not (self._cancelled and wish != Wish.CANCEL):
            self._workspace.ledger.want(self._job, wish)

    def _is_paused(self) -> bool:
        """Also true when another process has paused the job."""
        return self._paused or (
            self._active and self._job is not None and self._workspace.ledger.wanted(self._job) == Wish.PAUSE
        )

    def get_status(self) -> dict[str, Any]:
        """Counts and flags of this moment; `success_rate` in percent, `elapsed_time` in seconds."""
        summary = self.status_tracker.get_summary()
        return {
            "summary": summary,
            "is_processing": self._active,
            "is_paused": self._is_paused(),
            "is_cancelled": self._cancelled,
            "queue_size": summary.pending,
            "total_images": summary.total,
            ItemState.COMPLETED.value: summary.completed,
            ItemState.FAILED.value: summary.failed,
            ItemState.PENDING.value: summary.pending,
            ItemState.PROCESSING.value: summary.processing,
            ItemState.CANCELLED.value: summary.cancelled,
            "success_rate": summary.success_rate,
            "elapsed_time": summary.elapsed_time,
        }

    # -- preview ------------------------------------------------------------------------------------

    def is_preview_mode(self) -> bool:
        return self.config.preview_mode

    def is_waiting_for_preview_approval(self) -> bool:
        """Whether a preview was made and neither approved nor rejected."""
        return (
            self.config.preview_mode and self._preview is not None and not self._approved and not self._active
        )

    def get_preview_result(self) -> dict[str, Any] | None:
        """input_path, output_path, status, image_id of the preview, and error if it failed; None before."""
        if self._preview is None:
            return None
        status = self.status_tracker.get_status(self._preview.id)
        result: dict[str, Any] = {
            "input_path": self._preview.input_path,
            "output_path": status.output_path or self._preview.output_path,
            "status": status.state.value,
            "image_id": self._preview.id,
        }
        if status.state is ProcessingState.FAILED:
            result["error"] = status.error_message
        return result

    def approve_preview(self) -> None:
        """The next start does the rest. A second approval is a warning."""
        self._need_preview()
        if self._approved:
            log.warning("The preview was approved before")
        self._approved = True

    def reject_preview(self) -> None:
        """The next start does this image again, with the settings `config` then has; the rest waits."""
        preview = self._need_preview()
        self._approved = False
        self._preview = None
        self.status_tracker.retry(preview.id)
        first = max((item.priority for item in self.queue), default=0) + 1
        preview.priority = max(preview.priority, first)
        self.queue.enqueue(preview)

    def _need_preview(self) -> ImageQueueItem:
        if not self.config.preview_mode:
            raise BatchProcessingError("preview mode is not enabled: set preview_mode=True")
        if self._preview is None:
            raise BatchProcessingError("no preview has been processed: call start_processing() first")
        return self._preview
