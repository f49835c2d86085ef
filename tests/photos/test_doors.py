"""Import paths, and the command line from outside."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from batch_processing.exceptions import ConfigurationError, ValidationError
from batch_processing.photos.progress import eta
from batch_processing.ui.cli.photos import photos_app
from photos_help import write

SOURCE = Path(__file__).resolve().parents[2] / "src"
RACY_S = 2.1


def python(code: str, *path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_older_import_path_alone_and_beside_another_app(tmp_path: Path) -> None:
    code = "from app.image.loader import load_images_from_folder as f; print(f.__module__)"
    assert python(code, SOURCE) == "batch_processing.photos.loader"
    write(tmp_path / "app" / "views.py", b"NAME = 'other'\n")
    both = "from app.views import NAME; import app.image.loader as l; print(NAME, l.calculate_file_hash.__name__)"
    assert python(both, tmp_path, SOURCE) == python(both, SOURCE, tmp_path) == "other calculate_file_hash"


def test_doors_are_light() -> None:
    code = "import sys, batch_processing.photos, batch_processing.ui.cli.photos; print(*sys.modules)"
    loaded = set(python(code, SOURCE).split())
    assert not loaded & {"sqlalchemy", "numpy", "PIL", "torch", "cv2", "gradio", "psutil"}


@pytest.fixture
def lote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("LOTE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("LOTE_DATABASE", raising=False)

    def run(*arguments: str | Path, code: int = 0) -> Result:
        result = CliRunner().invoke(photos_app, [str(argument) for argument in arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run


def last(result: Result) -> dict[str, object]:
    line: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    assert line.pop("event") == "summary"
    return line


def test_a_library_from_first_scan_to_last_copy(tmp_path: Path, lote) -> None:  # type: ignore[no-untyped-def]
    tree = tmp_path / "tree"
    for number in range(5):
        write(tree / "a" / f"{number}.jpg", b"photo %d" % number)
    for name in ("b/0.jpg", "b/longer.jpg"):
        write(tree / name, b"photo 0")
    time.sleep(RACY_S)
    assert last(lote("scan", tree, "--dry-run", "--json"))["to_read"] == 7
    assert last(lote("stats", "--json"))["photos"] == 0
    summary = last(lote("scan", tree, "--json", "--no-facts", "--batch-size", "2"))
    assert (summary["registered"], summary["duplicates"], summary["batches"]) == (5, 2, 3)
    assert (summary["files_seen"], summary["errors"], summary["state"]) == (7, 0, "done")
    shown = lote("scan", tree, "--no-facts")
    assert "known already  7" in shown.stdout
    assert lote("scan", tree, "--no-facts", "--quiet").output == ""
    assert last(lote("stats", "--json"))["duplicate_bytes"] == 14
    assert "3 x 7 B" in lote("duplicates").stdout
    rows = list(csv.DictReader(io.StringIO(lote("duplicates", "--format", "csv").stdout)))
    assert [row["role"] for row in rows] == ["keep", "copy", "copy"]
    plan = lote("duplicates", "--hardlink", "--keep", "under", tree / "b")
    assert "add --yes" in plan.stdout
    assert (tree / "a" / "0.jpg").stat().st_nlink == 1
    log = tmp_path / "log.jsonl"
    lote("duplicates", "--hardlink", "--keep", "under", tree / "b", "--yes", "--log", log)
    deeds = [json.loads(line) for line in log.read_text().splitlines()]
    assert {deed["kept"] for deed in deeds} == {str(tree / "b" / "0.jpg")}
    numbers = [(tree / name).stat().st_ino for name in ("a/0.jpg", "b/0.jpg", "b/longer.jpg")]
    assert numbers[0] == numbers[1] != numbers[2]  # nothing below the protected folder is touched
    assert last(lote("duplicates", "--json"))["copies"] == 1  # both lie in the protected folder
    assert last(lote("scan", tree, "--json", "--no-facts"))["duplicates"] == 0
    assert [json.loads(line)["number"] for line in lote("batches", "--json").stdout.splitlines()[:-1]] == [
        1,
        2,
        3,
    ]
    card = tmp_path / "card"
    write(card / "old.jpg", b"photo 3")
    write(card / "new.jpg", b"photo 9")
    said = last(lote("known", card, "--json", code=3))
    assert [said[name] for name in ("files", "known", "unknown", "unreadable", "all_known")] == [
        2,
        1,
        1,
        0,
        False,
    ]
    assert last(lote("forget", tree / "a", "--json")) == {"photos": 5, "done": False}
    assert last(lote("forget", tree / "a", "--json", "--yes")) == {"photos": 5, "done": True}
    assert last(lote("stats", "--json"))["photos"] == 2


def test_a_copy_that_changed_is_left_alone(tmp_path: Path, lote) -> None:  # type: ignore[no-untyped-def]
    tree = tmp_path / "tree"
    one, two = write(tree / "1.jpg", b"same"), write(tree / "2.jpg", b"same")
    lote("scan", tree, "--no-facts")
    two.write_bytes(b"diff")
    result = lote("duplicates", "--trash", "--yes", code=3)
    assert "other bytes" in result.stderr
    assert (one.read_bytes(), two.read_bytes()) == (b"same", b"diff")


def test_verify_tells_corrupt_from_changed(tmp_path: Path, lote) -> None:  # type: ignore[no-untyped-def]
    tree = tmp_path / "tree"
    paths = [write(tree / f"{number}.jpg", b"photo %d" % number) for number in range(4)]
    lote("scan", tree, "--no-facts")
    before = paths[1].stat()
    paths[1].write_bytes(b"rotten!")
    os.utime(paths[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    paths[2].write_bytes(b"edited, and longer")
    paths[3].unlink()
    result = lote("verify", "--json", code=3)
    counts = last(result)
    assert [counts[name] for name in ("ok", "corrupt", "changed", "missing")] == [1, 1, 1, 1]
    assert f"{paths[1]}: is corrupt" in lote("errors").stdout
    paths[1].write_bytes(b"photo 1")
    os.utime(paths[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert last(lote("verify", "--json", "--sample", "100%", code=3))["corrupt"] == 0  # one is missing still
    assert lote("errors").stdout == ""


def test_a_card_is_not_known_by_itself(tmp_path: Path, lote) -> None:  # type: ignore[no-untyped-def]
    """Whoever is told that a card is known wipes it."""
    path = write(tmp_path / "card" / "1.jpg", b"one")
    (tmp_path / "way").symlink_to(tmp_path / "card")
    lote("scan", tmp_path / "card", tmp_path / "way", "--no-facts")
    (said,) = (
        json.loads(line)
        for line in lote("known", tmp_path / "card", "--json", code=3).stdout.splitlines()[:-1]
    )
    assert (said["result"], said["known_as"]) == ("unknown", None)
    write(tmp_path / "library" / "1.jpg", path.read_bytes())
    lote("scan", tmp_path / "library", "--no-facts")
    result = lote("known", tmp_path / "card")
    assert result.stdout == f"known  {path}  = {tmp_path / 'library' / '1.jpg'}\n"


def test_wrong_uses_are_said_in_one_sentence(tmp_path: Path, lote) -> None:  # type: ignore[no-untyped-def]
    tree, typo = tmp_path / "tree", tmp_path / "typo"
    paths = [write(tree / f"{number}.jpg", b"photo %d" % number) for number in range(4)]
    lote("scan", tree, "--no-facts", "--batch-size", "2")

    def refused(*arguments: str | Path, by: type[Exception]) -> str:
        error = lote(*arguments, code=1).exception
        assert isinstance(error, by)
        return str(error)

    assert "No photo is known below" in refused("verify", typo, by=ValidationError)
    assert "is not a directory" in refused("known", paths[0], by=ValidationError)
    assert "folder is empty" in refused("scan", "", by=ConfigurationError)
    assert "from 1 to 32" in refused("scan", tree, "--readers", "0", by=ConfigurationError)
    for url in ("nothing://x", "sqlite://:::/"):
        assert "name an SQLite file" in refused("scan", tree, "--database", url, by=ConfigurationError)
    lote("scan", tree, "--from-batch", "0", code=2)
    assert "2 photos seen" in lote("scan", tree, "--dry-run", "--from-batch", "2").stdout


def test_no_estimate_without_a_scan_before() -> None:
    assert eta(None, 10, 1.0) is None
    assert eta(100, 10, 1.0) == 9.0
    assert eta(100, 200, 1.0) is None
