"""What the page shows, as HTML: galleries, the live table, a finished page, the history.

Promises that whatever comes from outside (names, paths, errors) is text: `esc` is the only way into a
page. Every list is a window, so that a book of a thousand pages costs what a screenful costs.
"""

from __future__ import annotations

import html
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ...config.settings import built_in
from ...exceptions import why
from ..console import safe, seconds
from . import jobs
from .drafts import NAME, ROLES, Draft, Picture
from .texts import Say

if TYPE_CHECKING:
    from ...core.ledger import Item, Job, Ledger
    from ...core.status import Snapshot
    from ...core.workspace import Workspace

CARDS = 60  # pictures in one window of a gallery
ROWS = 50  # pages in one window of the table
JOBS = 100  # newest jobs in the history
SHOWS = ("all", "processing", "completed", "failed", "pending", "cancelled")


def esc(text: object) -> str:
    """Text from outside, made harmless in HTML, in attributes and in Gradio's templates."""
    shown = html.escape(safe(str(text)), quote=True)
    return shown.replace("{", "&#123;").replace("$", "&#36;")


def _attributes(**values: Any) -> str:
    return "".join(f' data-{name.replace("_", "-")}="{esc(value)}"' for name, value in values.items())


def button(label: str, do: str, *, kind: str = "", title: str = "", off: bool = False, **data: Any) -> str:
    """A button that the page's script turns into a request."""
    extra = f' title="{esc(title)}" aria-label="{esc(title)}"' if title else ""
    return (
        f'<button type="button" class="lb {kind}" {"disabled" if off else ""}{extra}'
        f"{_attributes(do=do, **data)}>{esc(label)}</button>"
    )


def pager(say: Say, name: str, start: int, size: int, total: int) -> str:
    """Earlier and later windows of a list; nothing where one window holds all."""
    if total <= size:
        return ""
    last = min(start + size, total)
    back = button(
        "‹",
        "window",
        kind="quiet",
        title=say("Earlier"),
        off=start <= 0,
        name=name,
        start=max(0, start - size),
    )
    on = button("›", "window", kind="quiet", title=say("Later"), off=last >= total, name=name, start=last)
    return f'<nav class="pager" aria-label="{esc(say("Pages of the list"))}">{back}<span>{start + 1}–{last} / {total}</span>{on}</nav>'


def empty(title: str, text: str) -> str:
    """What stands where a list is empty."""
    return f'<div class="empty"><p class="empty-title">{esc(title)}</p><p>{esc(text)}</p></div>'


# -- a chapter before it is a job -----------------------------------------------------------------------


def draft(say: Say, chapter: Draft, windows: dict[str, int]) -> dict[str, str]:
    """The parts "inputs", "page", "reference" and "unreadable"."""
    return {
        "inputs": _inputs(say, chapter),
        **{role: _gallery(say, chapter, role, windows[role]) for role in ROLES},
        "unreadable": _unreadable(say, chapter),
    }


def _inputs(say: Say, chapter: Draft) -> str:
    if not chapter.inputs:
        return ""
    shown = []
    for path in chapter.inputs:
        name = Path(path).name
        if chapter.folder in Path(path).parents:
            name = say("dropped images") if Path(path).is_dir() else name
            shown.append(f"<li>{esc(name)}</li>")
        else:
            shown.append(f'<li title="{esc(path)}">{esc(path)}</li>')
    state = ""
    if chapter.busy:
        seen = sum(picture.facts is not None for picture in chapter.pictures)
        text = say("Looking at the images: {seen} of {total}", seen=seen, total=len(chapter.pictures) or "…")
        state = f'<p class="busy" role="status"><span class="spin"></span>{esc(text)}</p>'
    elif chapter.problem:
        lines = "<br>".join(esc(say(line)) for line in chapter.problem.split("\n"))
        state = f'<p class="problem" role="alert">{lines}</p>'
    clear = button(say("Start over"), "clear", kind="quiet")
    return f'<div class="inputs"><ul>{"".join(shown)}</ul>{clear}</div>{state}'


def _gallery(say: Say, chapter: Draft, role: str, start: int) -> str:
    pictures = chapter.gallery(role)
    total = len(pictures)
    start = min(start, max(0, (total - 1) // CARDS * CARDS))
    title = say("Line art") if role == "page" else say("References")
    tools = ""
    if role == "reference" and total:
        ticked = sum(map(chapter.chosen, pictures))
        order = say("In page order") if chapter.sort == "confidence" else say("Surest first")
        tools = (
            f'<div class="tools"><span class="muted">{esc(say("{count} used", count=ticked))}</span>'
            + button(say("All"), "all", kind="quiet", title=say("Use all references"))
            + button(say("None"), "none", kind="quiet", title=say("Use no reference"))
            + button(
                say("Best"),
                "best",
                kind="quiet",
                title=say("Use references from the confidence beside this button on"),
            )
            + f'<input class="threshold" type="number" min="0" max="100" step="5" value="70" aria-label="{esc(say("Least confidence in percent"))}"><span class="muted">%</span>'
            + button(order, "sort", kind="quiet")
            + "</div>"
        )
    if not pictures:
        text = (
            say("Pages in black and white appear here.")
            if role == "page"
            else say("Coloured pages, covers and model sheets appear here.")
        )
        body = empty(say("None yet"), text)
    else:
        index = {id(picture): number for number, picture in enumerate(chapter.pictures)}
        cards = (
            _card(say, chapter, role, picture, index[id(picture)])
            for picture in pictures[start : start + CARDS]
        )
        body = f'<div class="cards">{"".join(cards)}</div>{pager(say, role, start, CARDS, total)}'
    return (
        f'<section class="gallery {role}"><header><h3>{esc(title)} <span class="count">{total}</span></h3>'
        f"{tools}</header>{body}</section>"
    )


def _card(say: Say, chapter: Draft, role: str, picture: Picture, index: int) -> str:
    name = picture.key
    src = f"/lote/draft/{chapter.folder.name}/thumb/{index}?k={abs(hash(picture.source.identity)) % 10**8}"
    image = f'<img loading="lazy" decoding="async" src="{esc(src)}" alt="{esc(name)}">'
    if picture.facts is None:
        # Its picture comes with the facts: nothing is shown that no worker has looked at.
        image = f'<div class="img" role="img" aria-label="{esc(name)}"></div>'
        sure = f'<span class="chip">{esc(say("being looked at"))}</span>'
    else:
        low = " low" if picture.confidence < 0.7 else ""
        sure = (
            f'<span class="chip{low}" title="{esc(say("How sure Lote is"))}">{picture.confidence:.0%}</span>'
        )
    other = say("to references") if role == "page" else say("to line art")
    arrow = "→" if role == "page" else "←"
    move = button(arrow, "move", kind="icon", title=f"{name}: {other}", key=name)
    if role == "reference":
        ticked = chapter.chosen(picture)
        own = (
            f'<label class="tick"><input type="checkbox" {"checked" if ticked else ""}{_attributes(do="tick", key=name)} '
            f'aria-label="{esc(say("Use {name}", name=name))}"><span>{esc(say("use"))}</span></label>'
        )
        kind = "" if ticked else " off"
    else:
        own = button(
            "⚙",
            "settings",
            kind="icon" + (" set" if name in chapter.pages else ""),
            title=f"{name}: {say('own settings')}",
            key=name,
        )
        own += button("▷", "preview", kind="icon", title=f"{name}: {say('try this page')}", key=name)
        kind = ""
    return (
        f'<figure class="card{kind}">{image}'
        f'<figcaption><span class="name" title="{esc(name)}">{esc(name)}</span>'
        f'<span class="row">{sure}<span class="grow"></span>{own}{move}</span></figcaption></figure>'
    )


def page_form(say: Say, chapter: Draft, key: str) -> str:
    """The settings of one page, in a dialog."""
    values = chapter.pages.get(key, {})
    used = set(values.get("reference_images", []))
    boxes = "".join(
        f'<label><input type="checkbox" name="reference_images" value="{esc(picture.key)}" '
        f"{'checked' if picture.source.path in used else ''}> {esc(picture.key)}</label>"
        for picture in chapter.gallery("reference")
    )
    return (
        f'<h3>{esc(key)}</h3><p class="muted">{esc(say("What is left empty is taken from the settings of the chapter."))}</p>'
        + _fields(say, values, priority=True)
        + (
            f'<fieldset><legend>{esc(say("References for this page alone"))}</legend><div class="boxes">{boxes}</div></fieldset>'
            if boxes
            else ""
        )
        + f'<div class="actions">{button(say("Take back"), "page-clear", kind="quiet", key=key)}'
        + f"{button(say('Keep'), 'page-keep', kind='primary', key=key)}</div>"
    )


def _fields(say: Say, values: dict[str, Any], *, priority: bool) -> str:
    style = values.get("style", "")
    options = "".join(
        f'<option value="{name}" {"selected" if style == name else ""}>{esc(say(name) if name else "–")}</option>'
        for name in ("", "line", "line + shadow")
    )
    fields = f'<label>{esc(say("Style"))}<select name="style">{options}</select></label>'
    numbers = [("seed", say("Seed"), 0), ("num_inference_steps", say("Steps"), 1), ("top_k", "Top k", 1)]
    if priority:
        numbers.append(("priority", say("Priority"), -1000))
    for name, label, least in numbers:
        default = built_in(name) if name != "priority" else 0
        fields += (
            f'<label>{esc(label)}<input type="number" name="{name}" min="{least}" step="1" '
            f'value="{esc(values.get(name, ""))}" placeholder="{esc(default)}"></label>'
        )
    return f'<div class="fields">{fields}</div>'


def _unreadable(say: Say, chapter: Draft) -> str:
    bad = chapter.unreadable()
    if not bad:
        return ""
    rows = "".join(
        f"<li><strong>{esc(picture.key)}</strong> {esc(say(picture.error or ''))}</li>"
        for picture in bad[:CARDS]
    )
    more = (
        f'<li class="muted">{esc(say("and {count} more", count=len(bad) - CARDS))}</li>'
        if len(bad) > CARDS
        else ""
    )
    return f'<section class="unreadable" role="alert"><h3>{esc(say("Cannot be read"))} <span class="count">{len(bad)}</span></h3><ul>{rows}{more}</ul></section>'


# -- a job ----------------------------------------------------------------------------------------------


def state_of(job: Job) -> str:
    """The job's state as the page names it: nobody has a job that was only just started."""
    if job.state == "interrupted" and job.owner is None:
        return "starting"
    if job.state == "running" and job.wanted in ("pause", "cancel"):
        return {"pause": "pausing", "cancel": "cancelling"}[job.wanted]
    return job.state


def _shown(output: str) -> str:
    """Where a job writes: of results of uploads the name alone, which is all a person can use of it."""
    path = Path(output)
    return path.name if NAME.fullmatch(path.parent.parent.name) else output


def job_head(say: Say, snapshot: Snapshot) -> dict[str, str]:
    """The parts "title", "numbers" and "controls" of a job."""
    job, counts, total = snapshot.job, snapshot.counts, snapshot.total
    state = state_of(job)
    name = Path(job.inputs[0]).name
    title = (
        f'<div class="job-title"><span class="state {esc(state)}">{esc(say(state, of="job"))}</span>'
        f'<h2>{esc(name)}</h2><span class="muted">{esc(say("job {number}", number=job.id))}</span></div>'
        f'<p class="muted path" title="{esc(job.output)}">→ {esc(_shown(job.output))}</p>'
    )
    done = counts["completed"] + counts["failed"]
    share = (done / total) if total else 0.0
    facts = [f"<b>{done}</b> / {total} {esc(say('pages'))}"]
    if snapshot.rate and state == "running":
        facts.append(esc(say("{rate} a minute", rate=f"{60 * snapshot.rate:.1f}")))
    if snapshot.eta is not None:
        facts.append(esc(say("{time} left", time=seconds(snapshot.eta))))
    elif job.finished_at and job.started_at:
        facts.append(esc(say("in {time}", time=seconds(job.finished_at - job.started_at))))
    if counts["failed"]:
        facts.append(f'<span class="bad">{esc(say("{count} failed", count=counts["failed"]))}</span>')
    if job.phase:
        facts.append(esc(say(job.phase)))
    bad = 100 * counts["failed"] / total if total else 0
    good = 100 * counts["completed"] / total if total else 0
    moving = (
        " moving"
        if state in ("starting", "planning", "finishing") or (state == "queued" and job.alive)
        else ""
    )
    numbers = (
        f'<div class="bar{moving}" role="progressbar" aria-label="{esc(say("Progress"))}" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{100 * share:.0f}">'
        f'<i class="good" style="width:{good:.2f}%"></i><i class="bad" style="width:{bad:.2f}%"></i></div>'
        f'<p class="facts">{" <span class=dot>·</span> ".join(facts)}</p>'
    )
    if job.error:
        numbers += f'<p class="problem" role="alert">{esc(say(job.error))}</p>'
    return {"title": title, "numbers": numbers, "controls": _controls(say, job, state, counts)}


def _controls(say: Say, job: Job, state: str, counts: dict[str, int]) -> str:
    shown = []
    if state in ("planning", "running", "finishing", "starting", "queued"):
        shown.append(button(say("Pause"), "pause", off=state == "starting"))
    if state in ("paused", "interrupted", "pausing"):
        shown.append(button(say("Resume"), "resume", kind="primary"))
    if not job.ended:
        shown.append(button(say("Cancel"), "cancel", kind="danger", off=state in ("cancelling", "starting")))
    again = counts["failed"] + counts["cancelled"]
    if job.ended and (again or job.state != "done"):
        label = say("Do the rest") if job.state == "cancelled" or counts["cancelled"] else say("Retry failed")
        shown.append(button(f"{label} ({again})" if again else label, "retry", kind="primary"))
    if job.ended and counts["completed"]:
        base = f"/lote/job/{job.id}/download"
        forms = ("cbz", "zip")
        shown.extend(f'<a class="lb" href="{base}/{form}" download>↓ {form.upper()}</a>' for form in forms)
        if kinds := job.config["settings"].get("layers"):
            label = " + ".join(map(str.upper, kinds))
            shown.append(f'<a class="lb" href="{base}/layers" download>↓ {esc(label)}</a>')
        shown.append(f'<a class="lb quiet" href="{base}/report" download>{esc(say("Report"))}</a>')
    return "".join(shown)


def job_body(say: Say, ledger: Ledger, snapshot: Snapshot, show: str, start: int) -> dict[str, str]:
    """The parts "filters", "rows" (the table) and "results" (the pictures) of a job."""
    job, counts = snapshot.job, snapshot.counts
    show = show if show in SHOWS else "all"
    total = snapshot.total if show == "all" else counts[show]
    start = min(start, max(0, (total - 1) // ROWS * ROWS))
    items = ledger.window(job.id, start, ROWS, state=None if show == "all" else show)
    filters = "".join(
        button(
            f"{say(name)} {snapshot.total if name == 'all' else counts[name]}",
            "show",
            kind="tab" + (" on" if name == show else ""),
            name=name,
        )
        for name in SHOWS
        if name in ("all", show) or counts[name]
    )
    if not items:
        rows = empty(say("No pages here"), say("They appear as soon as the chapter has been looked at."))
        return {"filters": filters if snapshot.total else "", "rows": rows, "results": ""}
    body = "".join(_row(say, job, item) for item in items)
    heads = "".join(
        f"<th>{esc(say(name))}</th>" for name in ("Page", "State", "Progress", "Seconds", "Error")
    )
    more = pager(say, "rows", start, ROWS, total)
    table = f'<table class="pages"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{more}'
    done = [item for item in items if item.state == "completed"]
    results = ""
    if done:
        results = f'<div class="cards results">{"".join(_result(say, job, item) for item in done)}</div>'
    return {"filters": filters, "rows": table, "results": results}


def _row(say: Say, job: Job, item: Item) -> str:
    name = (
        f'<button type="button" class="link"{_attributes(do="open", item=item.id)}>{esc(item.key)}</button>'
    )
    if item.state != "completed":
        name = esc(item.key)
    progress = {"completed": "100", "failed": "100", "processing": "0"}.get(item.state, "0")
    kind = item.state
    bar = f'<span class="mini {esc(kind)}"><i style="width:{progress}%"></i></span>'
    took = ""
    if item.seconds:
        took = seconds(item.seconds)
    elif item.state == "processing" and item.started_at:
        took = f'<span data-since="{item.started_at:.1f}">{seconds(max(0.0, time.time() - item.started_at))}</span>'
    again = ""
    if item.state in ("failed", "cancelled") and job.ended:
        again = button(say("Retry"), "retry", kind="quiet small", key=item.key)
    state = say("reused") if item.reused and item.state == "completed" else say(item.state, of="page")
    if item.approved:
        state += " ✓"
    return (
        f'<tr class="{esc(kind)}"><td class="name">{name}</td><td>{esc(state)}</td><td>{bar}</td>'
        f'<td class="num">{took}</td><td class="error">{esc(say(why(item.error, item.key)))}{again}</td></tr>'
    )


def _result(say: Say, job: Job, item: Item) -> str:
    query = urlencode({"w": "thumb", "v": (item.output_hash or "")[:12]})
    src = f"/lote/job/{job.id}/page/{item.id}/after?{query}"
    return (
        f'<figure class="card"><button type="button" class="shot"{_attributes(do="open", item=item.id)}>'
        f'<img loading="lazy" decoding="async" src="{esc(src)}" alt="{esc(say("{name}, coloured", name=item.key))}"></button>'
        f'<figcaption><span class="name" title="{esc(item.key)}">{esc(item.key)}</span>'
        f"{'<span class=ok>✓</span>' if item.approved else ''}</figcaption></figure>"
    )


# -- one page -------------------------------------------------------------------------------------------


def viewer(say: Say, place: Workspace, job: Job, item: Item) -> str:
    """Before and after of one page, with zoom, hints, another try and download."""
    base = f"/lote/job/{job.id}/page/{item.id}"
    mark = (item.output_hash or "")[:12]
    done = item.state == "completed"
    palette = "".join(
        f'<img loading="lazy" class="pick" src="/lote/job/{job.id}/reference/{index}" alt="{esc(source.key)}" title="{esc(say("Click a colour in {name}", name=Path(source.key).name))}">'
        for index, source in enumerate(jobs.references(place, job.id)[:12])
    )
    resting = not job.alive
    tools = [
        button("−", "zoom", kind="icon", title=say("Smaller"), by="-1"),
        button("+", "zoom", kind="icon", title=say("Larger"), by="1"),
        button(
            say("Draw hints"),
            "draw",
            kind="",
            off=not (done and resting),
            title=say("Paint colours where they belong; the page is then done again"),
        ),
        button(
            say("Approved ✓") if item.approved else say("Approve"),
            "approve",
            key=item.key,
            on="" if item.approved else "1",
            off=not done,
        ),
        f'<a class="lb" href="{base}/file" download>↓ {esc(say("Download"))}</a>' if done else "",
    ]
    before, after = f"{base}/before", f"{base}/after?v={mark}"
    if not done:
        after = before
    return (
        f'<header class="v-head"><button type="button" class="lb icon" data-do="step" data-by="-1" title="{esc(say("Previous page"))}">‹</button>'
        f'<h3 title="{esc(item.key)}">{esc(item.key)}</h3>'
        f'<button type="button" class="lb icon" data-do="step" data-by="1" title="{esc(say("Next page"))}">›</button>'
        f'<span class="grow"></span>{"".join(tools)}'
        f'<button type="button" class="lb icon" data-do="close" title="{esc(say("Close"))}">✕</button></header>'
        f'<div class="stage"><div class="compare" style="--at:50%"><img class="after" src="{esc(after)}" alt="{esc(say("after"))}">'
        f'<img class="before" src="{esc(before)}" alt="{esc(say("before"))}"><canvas class="ink" hidden></canvas>'
        f'<span class="line" aria-hidden="true"></span></div></div>'
        f'<input class="wipe" type="range" min="0" max="100" step="0.5" value="50" aria-label="{esc(say("Before and after"))}">'
        f'<div class="drawing" hidden><div class="row"><label>{esc(say("Colour"))} <input type="color" class="colour" value="#d9480f"></label>'
        f'<label>{esc(say("Brush"))} <input type="range" class="size" min="2" max="60" value="14"></label>'
        + button(say("Eraser"), "eraser", kind="quiet")
        + button(say("Undo"), "undo", kind="quiet")
        + button(say("Clear"), "wipe-hints", kind="quiet")
        + '<span class="grow"></span>'
        + button(say("Leave"), "draw-end", kind="quiet")
        + button(say("Do the page again"), "hints", kind="primary", key=item.key)
        + f'</div><div class="palette">{palette}</div></div>'
        f'<details class="again"><summary>{esc(say("Try again with other settings"))}</summary><form class="redo">'
        + _fields(say, item.work.get("settings", {}), priority=False)
        + f'<div class="actions">{button(say("Do the page again"), "redo", kind="primary", key=item.key, off=not resting)}</div></form></details>'
    )


# -- history --------------------------------------------------------------------------------------------


def history(say: Say, place: Workspace) -> str:
    """All jobs of the workspace, newest first."""
    found = [
        job
        for job in reversed(place.ledger.jobs())
        if job.kind == "comics" and not jobs.is_preview(place, job)
    ]
    if not found:
        return empty(say("No jobs yet"), say("What you colour here or on the command line is listed here."))
    rows = "".join(_past(say, place, job) for job in found[:JOBS])
    heads = "".join(f"<th>{esc(say(name))}</th>" for name in ("Job", "State", "Chapter", "Pages", "When"))
    return f'<table class="pages jobs"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _past(say: Say, place: Workspace, job: Job) -> str:
    counts = place.ledger.counts(job.id)
    state = state_of(job)
    when = datetime.fromtimestamp(job.submitted_at).astimezone().strftime("%Y-%m-%d %H:%M")
    failed = (
        f' <span class="bad">{esc(say("{count} failed", count=counts["failed"]))}</span>'
        if counts["failed"]
        else ""
    )
    name = Path(job.inputs[0]).name
    return (
        f'<tr><td class="num">{job.id}</td><td><span class="state {esc(state)}">{esc(say(state, of="job"))}</span></td>'
        f'<td class="name"><button type="button" class="link"{_attributes(do="job", job=job.id)}>{esc(name)}</button>'
        f'<span class="muted path" title="{esc(job.output)}">{esc(_shown(job.output))}</span></td>'
        f'<td class="num">{counts["completed"]} / {sum(counts.values())}{failed}</td><td class="when">{esc(when)}</td></tr>'
    )


# -- the frame ------------------------------------------------------------------------------------------


def frame(say: Say, formats: str) -> dict[str, str]:
    """The parts that never change: the head of the page, and where pages are dropped."""
    top = (
        '<div class="top"><span class="mark" aria-hidden="true"></span><h1>Lote</h1>'
        f'<span class="muted motto">{esc(say("Colour a whole chapter from its own coloured pages."))}</span>'
        f'<span class="grow"></span><button type="button" class="lb icon" data-do="theme" title="{esc(say("Light or dark"))}" aria-label="{esc(say("Light or dark"))}">◐</button></div>'
    )
    drop = (
        f'<div class="drop"><div class="drop-in"><p class="drop-title">{esc(say("Drop pages here"))}</p>'
        f'<p class="muted">{esc(say("images, a ZIP or a CBZ: line art and coloured references together"))}</p>'
        f'<button type="button" class="lb primary" data-do="browse">{esc(say("Choose files"))}</button>'
        f'<input id="lote-files" type="file" multiple accept="{esc(formats)}" tabindex="-1" aria-label="{esc(say("Choose files"))}"></div>'
        f'<div class="or"><label for="lote-path">{esc(say("or a folder or file on this machine"))}</label><div class="row">'
        f'<input id="lote-path" type="text" placeholder="~/comics/chapter-12" spellcheck="false" autocomplete="off">'
        f'<label class="check"><input id="lote-recursive" type="checkbox"> {esc(say("with subfolders"))}</label>'
        f"{button(say('Add'), 'add')}</div></div></div>"
    )
    return {"top": top, "drop": drop}


def preview(say: Say, place: Workspace, snapshot: Snapshot, key: str) -> str:
    """The page that was tried: before, after, and what to do with it."""
    job = snapshot.job
    items = place.ledger.window(job.id, 0, 1)
    item = items[0] if items else None
    if job.error or (item is not None and item.state == "failed"):
        text = job.error or (item.error if item else "") or ""
        body = f'<p class="problem" role="alert">{esc(say(text))}</p>'
    elif item is None or item.state != "completed" or not job.ended:
        body = f'<p class="busy" role="status"><span class="spin"></span>{esc(say("Trying {name}", name=key))}</p>'
    else:
        base = f"/lote/job/{job.id}/page/{item.id}"
        mark = (item.output_hash or "")[:12]
        body = (
            f'<div class="pair"><img src="{base}/before?v={esc(item.input_hash[:12])}" alt="{esc(say("before"))}">'
            f'<img src="{base}/after?v={esc(mark)}" alt="{esc(say("after"))}"></div>'
            f'<p class="muted">{esc(say("Like it? Colour the chapter. If not: change the settings or the references, and try again."))}</p>'
        )
    close = button("✕", "preview-close", kind="icon", title=say("Close"))
    actions = button(
        say("Approve and colour the chapter"),
        "preview-approve",
        kind="primary",
        off=item is None or item.state != "completed",
    )
    again = button(say("Try again"), "preview", key=key)
    return (
        f'<section class="trial"><header><h3>{esc(say("One page, to look at"))}: {esc(key)}</h3>'
        f'<span class="grow"></span>{close}</header>{body}<div class="actions">{again}{actions}</div></section>'
    )
