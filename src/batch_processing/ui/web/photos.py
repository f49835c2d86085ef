"""The photos tab: a scan of a folder, batch by batch, and what the library knows.

The scan is the command `lote photos scan`, in a process of its own: closing the page does not end it, and
what it says is read from its log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.workspace import Workspace
from ...exceptions import QueueError, ValidationError
from .. import background
from ..console import seconds, size
from .texts import Say
from .views import button, empty, esc, pager

if TYPE_CHECKING:
    from ...photos.store import Store

GROUPS = 20  # groups of duplicates in one window
BATCHES = 8  # newest batches shown
TAIL = 64 << 10  # bytes at the end of the log that are looked at: some hundred lines
LOG = "photos-web.log"


@contextmanager
def _library(place: Workspace) -> Iterator[Store]:
    from ...photos.store import Store, open_database

    opened = open_database(place.database)
    store = Store(opened)
    try:
        yield store
    finally:
        store.close()
        opened.close()


def scan(place: Workspace, folder: str, before: subprocess.Popen[bytes] | None) -> subprocess.Popen[bytes]:
    """Scan a folder in the background. QueueError while another scan of this workspace runs, or `before`, the one
    begun last, is about to."""
    if not Path(folder).is_dir():
        raise ValidationError(f"{folder} is not a folder.")
    if place.lock("photos").holder() is not None or (before is not None and before.poll() is None):
        raise QueueError("A scan is at work: wait for its end, or stop it.")
    return background.run(place, ["photos", "scan", folder, "--json"], place.folder("logs") / LOG, anew=True)


def stop(place: Workspace) -> None:
    """Ask the scan that runs to stop where it can go on later."""
    holder = place.lock("photos").holder()
    if holder is None:
        raise QueueError("No scan is at work.")
    os.kill(int(holder["pid"]), signal.SIGTERM)


def tab(say: Say, place: Workspace, start: int) -> tuple[dict[str, str], bool]:
    """The parts of the tab, and whether a scan is at work."""
    running = place.lock("photos").holder() is not None
    parts = {"scan": _scan(say, _said(place), running=running)}
    if not place.database.exists():
        return parts | {"library": "", "copies": ""}, running
    with _library(place) as store:
        from ...photos.audit import error_rows, statistics

        known = statistics(store)
        parts["library"] = _statistics(say, known) if known["photos"] or known["errors"] else ""
        parts["copies"] = _copies(say, store, start, known) + _errors(
            say, list(islice(error_rows(store), 50))
        )
    return parts, running


def form(say: Say) -> str:
    """Where a person says which folder."""
    return (
        f'<div class="drop plain"><div class="or"><label for="lote-folder">{esc(say("Folder of photos on this machine"))}</label>'
        '<div class="row"><input id="lote-folder" type="text" placeholder="~/Pictures" spellcheck="false" autocomplete="off">'
        f"{button(say('Scan'), 'scan', kind='primary')}</div></div></div>"
        '<div data-part="scan"></div><div data-part="library"></div><div data-part="copies"></div>'
    )


def _said(place: Workspace) -> list[dict[str, Any]]:
    """The last events of the last scan that the page started."""
    path = place.root / "logs" / LOG
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    events = []
    for line in lines:
        if line.startswith(b'{"event"') and line.endswith(b"}"):
            events.append(json.loads(line))
        elif line.startswith(b"lote: "):
            events.append({"event": "error", "text": line[6:].decode("utf-8", "replace")})
    return events


def _scan(say: Say, events: list[dict[str, Any]], *, running: bool) -> str:
    if not events and not running:
        return ""
    last: dict[str, Any] = next((event for event in reversed(events) if "files_seen" in event), {})
    facts = [f"<b>{last.get('files_seen', 0)}</b> {esc(say('files seen'))}"]
    if last:
        facts.append(esc(say("{count} already known", count=last.get("already_processed", 0))))
        facts.append(esc(say("{count} new copies", count=last.get("duplicates", 0))))
        if last.get("bytes_per_second"):
            facts.append(f"{esc(size(last['bytes_per_second']))}/s")
        if running and last.get("eta_seconds") is not None:
            facts.append(esc(say("{time} left", time=seconds(last["eta_seconds"]))))
        if last.get("errors"):
            facts.append(f'<span class="bad">{esc(say("{count} errors", count=last["errors"]))}</span>')
    bar = f'<div class="bar {"moving" if running else ""}"><i class="good" style="width:{0 if running else 100}%"></i></div>'
    end = button(say("Stop"), "scan-stop") if running else ""
    batches = [event for event in events if event["event"] == "batch"][-BATCHES:]
    rows = "".join(
        f'<tr><td class="num">{batch["number"]}</td><td class="num">{batch["photos"]}</td><td class="num">{batch["total"]}</td>'
        f'<td class="name">{esc(Path(batch["first_path"] or "").name)}</td><td class="num">{seconds(batch["seconds"])}</td></tr>'
        for batch in reversed(batches)
    )
    heads = "".join(f"<th>{esc(say(name))}</th>" for name in ("Batch", "Photos", "So far", "From", "Seconds"))
    table = (
        f'<table class="pages batches"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        if rows
        else ""
    )
    left = _left_alone(say, last)
    wrong = "".join(f'<p class="problem" role="alert">{esc(say(event["text"]))}</p>' for event in events[-1:] if event["event"] == "error")  # fmt: skip
    return f'{bar}<p class="facts">{" <span class=dot>·</span> ".join(facts)}</p>{wrong}<div class="controls">{end}</div>{left}{table}'


def _left_alone(say: Say, last: dict[str, Any]) -> str:
    """What the scan left alone, by reason, and the files that are no photos: nobody should believe that they are safe."""
    rows = [
        (say(reason), left["count"], say("the first is {path}", path=left["first"]))
        for reason, left in last.get("left_alone", {}).items()
    ]
    rows += [(kind, number, say("not recorded")) for kind, number in last.get("unhandled", {}).items()]
    if last.get("absent_originals"):
        text = say("their originals are not there now: plug in their drive, or scan their folder again")
        rows.append((say("copies"), last["absent_originals"], text))
    if not rows:
        return ""
    body = "".join(
        f'<tr><td class="name">{esc(what)}</td><td class="num">{number}</td><td>{esc(text)}</td></tr>'
        for what, number, text in rows
    )
    return f'<h3>{esc(say("Left alone"))}</h3><table class="pages left-alone"><tbody>{body}</tbody></table>'


def _statistics(say: Say, known: dict[str, Any]) -> str:
    tiles = [
        (known["photos"], say("photos")),
        (size(known["bytes"]), say("in all")),
        (known["duplicates"], say("copies")),
        (size(known["duplicate_bytes"]), say("to gain")),
        (known["missing"], say("missing")),
        (known["errors"], say("errors")),
        (known["damaged"], say("damaged")),
    ]
    return (
        '<div class="tiles">'
        + "".join(f"<p><b>{esc(value)}</b>{esc(name)}</p>" for value, name in tiles)
        + "</div>"
    )


def _copies(say: Say, store: Store, start: int, known: dict[str, Any]) -> str:
    from ...photos.duplicates import groups

    shown = list(islice(groups(store), start, start + GROUPS))
    if not shown:
        return (
            empty(say("No duplicates"), say("Photos that are on the disk twice appear here."))
            if known["photos"]
            else ""
        )
    more = start + len(shown) + (1 if len(shown) == GROUPS else 0)
    blocks = []
    for group in shown:
        members = sorted(group.members, key=lambda member: not member.is_original)
        cards = "".join(
            f'<figure class="card"><img loading="lazy" src="/lote/photos/{member.id}/thumb" alt="">'
            f'<figcaption><span class="{"ok" if member.is_original else "chip low"}">'
            f"{esc(say('original') if member.is_original else say('copy, costs {size}', size=size(group.size)))}</span>"
            f'<span class="path">{esc(os.fsdecode(member.path))}</span></figcaption></figure>'
            for member in members[:12]
        )
        left = len(members) - 12
        rest = f'<p class="muted">{esc(say("and {count} more", count=left))}</p>' if left > 0 else ""
        blocks.append(
            f'<section class="group"><h3>{esc(say("{count} alike", count=len(members)))} '
            f'<span class="count">{esc(say("{size} to gain", size=size(group.gain)))}</span></h3><div class="cards">{cards}</div>{rest}</section>'
        )
    return f"<h2>{esc(say('Duplicates'))}</h2>{''.join(blocks)}{pager(say, 'photos', start, GROUPS, more)}"


def _errors(say: Say, rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    shown = "".join(
        f'<tr><td class="name">{esc(row["path"])}</td><td>{esc(row["stage"])}</td><td class="error">{esc(say(row["text"]))}</td></tr>'
        for row in rows
    )
    return f'<h2>{esc(say("Errors"))}</h2><table class="pages"><tbody>{shown}</tbody></table>'


def path_of(place: Workspace, photo: int) -> str:
    """Where a photo of the library lies. FileNotFoundError if it is not in the library."""
    from ...photos.repository import Photo, open_library

    with open_library(place.database) as session:
        found = session.get(Photo, photo)
        if found is None:
            raise FileNotFoundError
        return str(found.path)
