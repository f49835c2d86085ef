"""The bridge to a cluster: a child of the coordinator in which alone Ray lives.

Ray prints to stdout even when told not to, replaces signal handlers, waits a minute for what is not there, and ends its process
when it loses its cluster: here that costs nothing but the bridge, and the coordinator starts another. The bridge reads what
tasks need and writes what they made; only plain messages pass.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ...exceptions import ConfigurationError
from ...logging_config import WorkerHandler
from ...messages import Message
from ..processes import die_with_parent
from .slots import Slots, Wanted

log = logging.getLogger(__name__)

PROBE_S = 3.0
WATCH_EVERY_S = 2.0
# The head of the cluster is gone when it takes no connection for so long, or Ray does not answer for so long.
HEAD_GONE_S = 15.0
NEWS_EVERY_S = 0.5
_TURN_S = 0.25
DEFAULT_PORT = 6379


@dataclass(frozen=True)
class ClusterOptions:
    """Where the cluster is ("auto": where Ray on this machine belongs to, or HOST:PORT), and which slots of it."""

    address: str
    wanted: Wanted


def serve(descriptor: int, options: ClusterOptions | None = None) -> None:
    """The life of a bridge: the first message says which cluster."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    connection = Connection(descriptor)
    lock = threading.Lock()

    def send(*message: Any) -> None:
        with lock, contextlib.suppress(OSError):
            connection.send(message)

    root = logging.getLogger()
    root.addHandler(WorkerHandler(lambda record: send("log", record)))
    root.setLevel(logging.INFO)
    if options is None:
        options = connection.recv()
    try:
        ray, head = _connect(options.address)
    except ConfigurationError as error:
        send("cannot", error.sentence)
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.environ.get("RAY_AUTH_MODE", "disabled") != "token":
        send("note", Message("this cluster has no token: whoever reaches its ports can run programs on it"))
    slots = Slots(ray, options.wanted)
    threading.Thread(target=_listen, args=(connection, slots), daemon=True).start()
    watcher = _Watcher(ray, head, slots)
    threading.Thread(target=watcher.watch, daemon=True).start()
    _pass_on(slots, watcher, send)


def _connect(address: str) -> tuple[Any, tuple[str, int]]:
    """Ray, connected; and where its head is. ConfigurationError in a sentence where it is not."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Lote tells nobody what it does
    try:
        import ray
    except ImportError:
        raise ConfigurationError("Ray is not installed: pip install '.[ray]' in Lote's folder.") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    found = os.environ.get("RAY_ADDRESS") or _own_cluster() if address == "auto" else address
    if not found:
        raise ConfigurationError(
            "This machine is part of no Ray cluster: start one with `ray start --head`, or name one with --ray-address."
        )
    host, _, port = found.rpartition(":")
    head = (host or found, int(port) if host and port.isdigit() else DEFAULT_PORT)
    named = f"{head[0]}:{head[1]}"
    if not _answers(head):
        raise ConfigurationError(
            "No Ray cluster answers at {address}: start one with `ray start --head`.", address=named
        )
    package = Path(__file__).parents[2]
    try:
        ray.init(
            named,
            namespace="lote",
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
            runtime_env={"py_modules": [str(package)]},
        )
    except (ConnectionError, RuntimeError, OSError, ValueError) as error:
        text = str(error)
        if "node" in text.lower() or "raylet" in text.lower():
            raise ConfigurationError(
                "This machine is not part of the cluster: `ray start --address={address} --num-cpus=0` here, then again.",
                address=named,
            ) from error
        raise ConfigurationError(
            "The Ray cluster at {address} cannot be used: {error}", address=named, error=text.splitlines()[0]
        ) from error
    return ray, head


def _own_cluster() -> str:
    """The address that Ray on this machine has written down."""
    with contextlib.suppress(OSError):
        return Path("/tmp/ray/ray_current_cluster").read_text(encoding="utf-8").strip()  # noqa: S108 - Ray's own place
    return ""


def _answers(head: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(head, PROBE_S):
            return True
    except OSError:
        return False


class _Watcher:
    """Asks, in a thread of its own, what the cluster has: Ray may take a minute to answer."""

    def __init__(self, ray: Any, head: tuple[str, int], slots: Slots) -> None:
        self._ray, self._head, self._slots = ray, head, slots
        self.seen = time.monotonic()

    def watch(self) -> None:
        while True:
            if _answers(self._head):
                try:
                    has = self._ray.cluster_resources()
                except self._ray.exceptions.RayError as error:
                    log.info("the cluster does not say what it has: %s", error)
                else:
                    self.seen = time.monotonic()
                    self._slots.later(self._slots.has_room, has.get("CPU", 0.0), has.get("GPU", 0.0))
            time.sleep(WATCH_EVERY_S)


def _listen(connection: Connection, slots: Slots) -> None:
    """Take what the coordinator says, until it is gone."""
    doors: dict[str, Callable[..., None]] = {
        "tasks": slots.submit,
        "stop": slots.stop,
        "want": slots.want,
        "withdraw": slots.withdraw,
    }
    while True:
        try:
            kind, *rest = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        if kind == "close":
            slots.later(_leave, slots)
        else:
            slots.later(doors[kind], *rest)


def _leave(slots: Slots) -> None:
    slots.close()
    os._exit(0)


def _pass_on(slots: Slots, watcher: _Watcher, send: Callable[..., None]) -> None:
    """The main loop."""
    up, told_at = -1, 0.0
    shown: dict[str, tuple[int, int]] = {}
    while True:
        ended = slots.turn(_TURN_S)
        # Before the results: who takes them asks at once what is free.
        if slots.up != up:
            up = slots.up
            send("slots", up)
        if ended:
            send("end", ended)
        if slots.stay:
            send("here", slots.stay)
            slots.stay = []
        for note in slots.notes:
            send("note", note)
        slots.notes.clear()
        now = time.monotonic()
        if now - told_at > NEWS_EVERY_S:
            told_at = now
            if (progress := slots.progress()) != shown:  # nobody may be listening: a job that is paused
                send("progress", progress)
                shown = progress
        if now - watcher.seen > HEAD_GONE_S:
            send("note", Message("the head of the cluster does not answer"))
            os._exit(1)
