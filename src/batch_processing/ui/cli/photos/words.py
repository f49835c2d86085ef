"""The words of the commands `lote photos ...` for what the photo application tells by name, each in one table.

Promises: every state, result and reason has its words (tests/ui/test_i18n.py compares the tables with the enumerations,
whose values are the keys: importing these would bring in the database). What is counted agrees with its number.
"""

from __future__ import annotations

from collections.abc import Mapping

from ....i18n import N_, P_, _, ngettext, pgettext
from ....messages import Message

# How a scan stands (`tables.ScanState`), in the context "scan".
SCAN_WORDS = {
    "running": P_("scan", "running"),
    "stopped": P_("scan", "stopped"),
    "finished": P_("scan", "finished"),
}
# How a batch of one stands (`tables.BatchState`), in the context "batch".
BATCH_WORDS = {"open": P_("batch", "open"), "settled": P_("batch", "settled"), "taken": P_("batch", "taken")}
# What is known of a file (`knowledge.Result`).
KNOWN_WORDS = {
    "known": N_("known"),
    "unknown": N_("unknown"),
    "same file": N_("same file"),
    "not there": N_("not there"),
    "not told apart": N_("not told apart"),
    "unreadable": N_("unreadable"),
    "left alone": N_("left alone"),
}
# What to do about what a scan has left alone, by `kinds.Reason`; about files that are no photos; and about damage.
TO_DO = {
    "links": N_("Links are not followed: scan the folders that they lead to."),
    "folders with .nomedia": N_(
        "The file .nomedia asks programs to keep out: delete it to have the folder scanned."
    ),
    "ignored": N_("A file .lote-ignore says so: change what it says to have them scanned."),
    "bins": N_("They are trash: put back what you want to keep, and scan again."),
    "machine folders": N_("Programs keep thumbnails, snapshots and the like there: there is nothing to do."),
    "macOS side files": N_("macOS keeps there what other disks cannot hold: there is nothing to do."),
    "no regular files": N_("They are pipes, sockets or devices: there is nothing to do."),
}
NO_PHOTOS = N_("They are no photos that Lote records (--videos takes videos): keep them safe in another way.")
IF_DAMAGED = N_("Bring them back from a backup: Lote never changes a photo.")
AFTER_ERRORS = N_(
    "Once the cause is gone, the next scan reads them; what is broken comes back from a backup."
)
# What is wrong with a file as a whole, by `photo_facts.damaged` (`damage.Damage`).
DAMAGE_WORDS = {
    "cut off": Message("is cut off: it ends before its picture does; restore it from a backup"),
    "tail of zeros": Message("ends in zeros: its end was never written; restore it from a backup"),
    "holes": Message("has holes: a part of it was never written; restore it from a backup"),
    "broken": Message("is broken: from some place on its picture makes no sense; restore it from a backup"),
    "gray tail": Message(
        "ends in gray: the rest of its picture was lost before it was saved; restore it from a backup"
    ),
}
# How photos show the same picture (`pixels.similar.Kind`).
KIND_WORDS = {
    "metadata": N_("the same picture, other metadata"),
    "same picture": N_("the same picture, compressed or resized anew"),
    "cropped": N_("cropped"),
    "turned": N_("turned or mirrored"),
    "burst": N_("a burst"),
}
# What becomes of a photo in a group of copies, and how copies are removed (`removal.How`).
ROLE_WORDS = {"keep": N_("keep"), "copy": N_("copy"), "stays": N_("stays"), "not there": N_("not there now")}
HOW_WORDS = {"trash": N_("to the trash"), "hardlink": N_("to a link"), "reflink": N_("to share")}


def word(words: Mapping[str, str], name: str, *, of: str = "") -> str:
    """What a person reads for it. `of`: the context in which the word is translated."""
    return pgettext(of, words[name]) if of else _(words[name])


def verified(result: str, count: int) -> str:
    """How many photos are as they were, or are not. `result`: a `verify.Result`."""
    words = {
        "ok": ngettext("{count} as it was", "{count} as they were", count),
        "changed": ngettext("{count} changed", "{count} changed", count),
        "corrupt": ngettext("{count} corrupt", "{count} corrupt", count),
        "missing": ngettext("{count} missing", "{count} missing", count),
        "unreadable": ngettext("{count} unreadable", "{count} unreadable", count),
    }
    return words[result].format(count=count)


def known(result: str, count: int) -> str:
    """Of how many files that is known. `result`: a `knowledge.Result`."""
    words = {
        "known": ngettext("{count} known", "{count} known", count),
        "unknown": ngettext("{count} unknown", "{count} unknown", count),
        "same file": ngettext("{count} same file", "{count} same files", count),
        "not there": ngettext("{count} not there", "{count} not there", count),
        "not told apart": ngettext("{count} not told apart", "{count} not told apart", count),
        "unreadable": ngettext("{count} unreadable", "{count} unreadable", count),
        "left alone": ngettext("{count} left alone", "{count} left alone", count),
    }
    return words[result].format(count=count)


def photos(count: int, shown: str | None = None) -> str:
    """A number of photos; `shown`: the number as it is to be written."""
    return ngettext("{count} photo", "{count} photos", count).format(count=shown or count)


def faces(count: int) -> str:
    """A number of faces."""
    return ngettext("{count} face", "{count} faces", count).format(count=count)


def counted(reason: str, count: int) -> str:
    """What was left alone, in words: "1 link", "12 macOS side files". `reason`: a `kinds.Reason` or a `card.Left`."""
    words = {
        "links": ngettext("{count} link", "{count} links", count),
        "folders with .nomedia": ngettext(
            "{count} folder with .nomedia", "{count} folders with .nomedia", count
        ),
        "ignored": ngettext(
            "{count} that .lote-ignore or --exclude names",
            "{count} that .lote-ignore or --exclude name",
            count,
        ),
        "bins": ngettext("{count} trash can", "{count} trash cans", count),
        "machine folders": ngettext("{count} machine folder", "{count} machine folders", count),
        "macOS side files": ngettext("{count} macOS side file", "{count} macOS side files", count),
        "no regular files": ngettext(
            "{count} that is no regular file", "{count} that are no regular files", count
        ),
        "files of the system": ngettext("{count} file of the system", "{count} files of the system", count),
        "empty files": ngettext("{count} empty file", "{count} empty files", count),
        "sidecars without a photo": ngettext(
            "{count} sidecar without a photo", "{count} sidecars without a photo", count
        ),
        "other files": ngettext("{count} other file", "{count} other files", count),
    }
    return words[reason].format(count=count)
