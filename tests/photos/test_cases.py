"""The trees of the shared acceptance cases, and the shared set of real and hostile files."""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from batch_processing.photos import ScanStats
from photos_help import Library
from shared_data import require_shared

# Between writing a file and a scan that trusts it unread; the rule says 2 s.
RACY_S = 2.1
# SHA-256 of nothing: one of the shared files is empty, and empty files are no photos.
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _builder() -> ModuleType:
    path = require_shared("data", "photos", "build_cases.py")
    spec = importlib.util.spec_from_file_location("build_cases", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("scan", [Library.scan, Library.command_scan], ids=["session", "command"])
def test_every_tree_gives_its_counts(tmp_path: Path, scan: Callable[[Library, Path], ScanStats]) -> None:
    builder = _builder()
    names = {"seen": "files_seen", "new": "registered", "dup": "duplicates", "skip": "already_processed"}
    names |= {"err": "errors", "moved": "moved", "missing": "missing", "batches": "batches"}
    assert len(builder.C) >= 10
    wrong = []
    for name, _, steps, _, build in builder.C:
        tree = tmp_path / name / "tree"
        tree.mkdir(parents=True)
        build(str(tree))
        with Library(tmp_path / name / "photos.db") as library:
            for number, step in enumerate(steps):
                if step[0] != "scan":
                    builder.act(str(tree), step)
                    continue
                began = time.monotonic()
                stats = scan(library, tree)
                took = time.monotonic() - began
                got = {key: getattr(stats, names[key]) for key in step[1] if key in names}
                wanted = {key: value for key, value in step[1].items() if key in names}
                if got != wanted or took > step[1].get("max_seconds", 60):
                    wrong.append((name, number, wanted, got, took))
    assert wrong == []


def test_real_and_hostile_files(tmp_path: Path) -> None:
    source = require_shared("data", "photos", "files")
    facts = json.loads(require_shared("data", "photos", "facts.json").read_text(encoding="utf-8"))
    tree = tmp_path / "tree"
    shutil.copytree(source, tree)
    expected = {}
    from batch_processing.photos import is_valid_image_file

    for fact in facts:
        path = tree / Path(fact["path"]).relative_to("files")
        path.chmod(0o644)
        if not is_valid_image_file(path):
            path = path.rename(path.with_name(path.name + ".jpg"))
        expected[str(path)] = fact["sha256"]
    assert len(expected) == 225
    with Library(tmp_path / "photos.db") as library:
        stats = library.scan(tree)
        empty = next(path for path, digest in expected.items() if digest == EMPTY)
        del expected[empty]
        assert (stats.files_seen, stats.errors, stats.facts_errors) == (224, 0, 1)
        assert (stats.registered, stats.duplicates) == (222, 2)
        assert library.hashes() == expected
        assert library.errors() == [(empty, "facts", "empty")]


def test_an_unchanged_tree_is_not_read_again(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(250):
        path = tree / str(number % 7) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"photo %d" % number)
    time.sleep(RACY_S)
    with Library(tmp_path / "photos.db") as library:
        first = library.scan(tree)
        before = library.dump()
        second = library.scan(tree)
        assert (first.registered, first.batches) == (250, 3)
        assert (second.bytes_read, second.batches, second.already_processed) == (0, 0, 250)
        assert library.dump() == before
