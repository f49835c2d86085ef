"""What a hostile page, a hostile file, another user of the machine and a colleague on the network get: nothing."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import stat
import subprocess
import time
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from batch_processing.core.workspace import Workspace
from command import lote
from pages import book, colored, line_art
from web_server import Server, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("attack"))
    yield running
    running.stop()
    assert "Traceback" not in running.said.read_text()


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the page may not use, with a picture and a palette in it."""
    folder = tmp_path_factory.mktemp("outside")
    colored(folder / "secret.png", 7)
    (folder / "palette.json").write_text('{"colors": []}')
    return folder


@pytest.fixture(scope="module")
def job(server: Server) -> int:
    """A finished job of the command line."""
    done = server.lote("colorize", book(server.folder / "done", 2), "--backend", "noop")
    assert done.code == 0, done.err
    return 1


class Draft:
    """A chapter being put together by one tab."""

    def __init__(self, server: Server, *inputs: Path) -> None:
        self.server, self.name = server, str(uuid.uuid4())
        self.path = f"/lote/draft/{self.name}"
        for path in inputs:
            assert self.do(do="add", path=str(path))[0] == 200
        if inputs:
            self.looked_at()

    def do(self, **wish: Any) -> tuple[int, Any]:
        return self.server.post(f"{self.path}/do", wish)

    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.server.get(self.path)[1]))

    def looked_at(self) -> None:
        until(lambda: not self.state()["busy"])

    def start(self, **values: Any) -> tuple[int, Any]:
        return self.do(do="start", values={"backend": "noop"} | values)

    def upload(self, name: str, data: bytes) -> tuple[int, bytes]:
        return self.server.get(f"{self.path}/files?name={name}", method="PUT", data=data, X_Lote="1")


def settings_of(server: Server, number: int) -> dict[str, Any]:
    place = Workspace(server.workspace)
    try:
        return dict(place.ledger.job(number).config["settings"])
    finally:
        place.close()


# -- row 1: requests are typed, references are keys, paths stay below the roots -------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"reference_images": ["{outside}/secret.png"]},
        {"config_file": "{outside}/x.json"},
        {"hints": "{outside}"},
        {"style": "line", "output": "{outside}"},
        {"seed": [1]},
        {"seed": "1; drop"},
        {"style": "oil"},
        [],
        "x",
    ],
)
def test_redo_takes_the_fields_of_its_form_only(server: Server, job: int, outside: Path, values: Any) -> None:
    before = settings_of(server, job)
    told = json.loads(json.dumps(values).replace("{outside}", str(outside)))
    status, answer = server.post(f"/lote/job/{job}/do", {"do": "redo", "key": "1.png", "values": told})
    assert status == 400
    assert str(outside) not in answer["error"]
    assert settings_of(server, job) == before
    assert server.job(job)["state"] == "done"
    assert not (server.workspace / "jobs" / str(job) / "settings.json").exists()


def test_redo_of_a_page_that_there_is_not_keeps_no_settings(server: Server, job: int) -> None:
    status, _ = server.post(f"/lote/job/{job}/do", {"do": "redo", "key": "9.png", "values": {"seed": 5}})
    assert status == 400
    assert not (server.workspace / "jobs" / str(job) / "settings.json").exists()


def test_references_of_a_page_are_keys_of_its_chapter(server: Server, outside: Path) -> None:
    draft = Draft(server, book(server.folder / "keys", 2))
    for reference in (str(outside / "secret.png"), str(server.folder / "keys" / "0_cover.png"), "1.png"):
        status, answer = draft.do(do="page", key="1.png", values={"reference_images": [reference]})
        assert status == 400, answer
    assert (
        draft.do(do="page", key="1.png", values={"reference_images": ["0_cover.png"], "seed": "3"})[0] == 200
    )


@pytest.mark.parametrize("name", ["output", "palette", "config_file"])
def test_paths_of_the_form_stay_below_the_roots(server: Server, outside: Path, name: str) -> None:
    draft = Draft(server, book(server.folder / f"form-{name}", 1))
    told = {draft.start(**{name: str(outside / file)})[1]["error"].replace(file, "")
            for file in ("palette.json", "missing.json")}  # fmt: skip
    assert len(told) == 1  # whether it exists is not said
    assert "--root" in told.pop()
    assert draft.start(hints=str(outside))[0] == 400
    assert not (server.folder / f"form-{name}_colorized.cbz").exists()


# -- row 2: configuration files ------------------------------------------------------------------------


def test_paths_in_a_configuration_file_are_checked_like_typed_ones(server: Server, outside: Path) -> None:
    draft = Draft(server, book(server.folder / "config", 2))
    file = server.folder / "series.json"
    secret, far = str(outside / "secret.png"), os.path.relpath(outside, server.folder)
    for content in (
        {"default": {"reference_images": [secret]}},
        {"default": {"reference_images": [f"{far}/secret.png"]}},
        {"default": {"hints": str(outside)}},
        {"default": {"palette": f"{far}/palette.json"}},
        {"images": {"1.png": {"reference_images": [secret]}}},
        {"default": {"palette": "~no-such-user/palette.json"}},
        {"default": {"palette": "a\0b"}},
    ):
        file.write_text(json.dumps(content))
        for what in ("start", "try"):
            status, answer = draft.do(do=what, values={"backend": "noop", "config_file": str(file)})
            assert status == 400, (content, answer)
    colored(server.folder / "mine.png", 3)
    file.write_text('{"default": {"reference_images": ["mine.png"], "seed": 4}}')
    status, answer = draft.start(config_file=str(file))
    assert status == 200, answer
    until(lambda: server.job(answer["job"])["state"] == "done", 60)
    assert settings_of(server, answer["job"])["reference_images"] == [str(server.folder / "mine.png")]


def test_an_upload_is_no_configuration_file(server: Server) -> None:
    draft = Draft(server)
    content = json.dumps({"default": {"seed": 9}}).encode()
    assert draft.upload("settings.png", content)[0] == 200
    draft.upload("page.png", line_art(server.folder / "one" / "p.png", 1).read_bytes())
    stored = server.workspace / "uploads" / draft.name / "pages" / "settings.png"
    assert stored.read_bytes() == content
    link = server.folder / "innocent.json"
    link.symlink_to(stored)
    for path in (stored, link):
        status, answer = draft.start(config_file=str(path))
        assert status == 400
        assert "workspace" in answer["error"]


# -- row 4: nothing is decoded in the server -----------------------------------------------------------


def png(width: int, height: int) -> bytes:
    """A white page of one byte a pixel, in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    packer = zlib.compressobj(1)
    row = b"\0" + b"\xff" * width
    data = b"".join(packer.compress(row * 64) for _ in range(height // 64)) + packer.flush()
    header = width.to_bytes(4, "big") + (height // 64 * 64).to_bytes(4, "big") + b"\x08\0\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def peak(server: Server) -> int:
    """Bytes of memory that the server has had at most; what it has now where the system does not keep the peak."""
    try:
        text = Path(f"/proc/{server.pid}/status").read_text()
    except OSError:
        return int(psutil.Process(server.pid).memory_info().rss)
    return int(re.findall(r"VmHWM:\s+(\d+)", text)[0]) << 10


def test_a_large_picture_costs_the_server_nothing(server: Server) -> None:
    folder = server.folder / "large"
    line_art(folder / "2.png", 1)
    (folder / "1.png").write_bytes(png(15_000, 15_000))
    draft = Draft(server, folder)
    before = peak(server)
    with ThreadPoolExecutor(45) as pool:
        asked = [pool.submit(server.get, f"{draft.path}/thumb/0") for _ in range(45)]
        began = time.monotonic()
        assert server.get("/lote/jobs")[0] == 200  # others are answered meanwhile
        assert time.monotonic() - began < 5
        answers = {future.result()[0] for future in asked}
    assert len(answers) == 1
    assert answers <= {200, 400}
    assert peak(server) - before < 100_000_000
    assert server.get(f"{draft.path}/thumb/1")[0] == 200


def test_no_thumbnail_before_a_worker_has_looked(server: Server) -> None:
    folder = server.folder / "broken"
    line_art(folder / "2.png", 1)
    (folder / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    draft = Draft(server, folder)
    assert server.get(f"{draft.path}/thumb/0")[0] == 404
    assert server.get(f"{draft.path}/thumb/1")[0] == 200


def test_hints_that_are_no_drawing_are_refused(server: Server, job: int) -> None:
    before = peak(server)
    for data in (b"", b"no picture", b"\x89PNG\r\n\x1a\n", png(12_800, 12_800)):
        status, body = server.get(f"/lote/job/{job}/page/1/hints", method="PUT", data=data, X_Lote="1")
        assert status == 400
        assert b"hints" in body
    assert peak(server) - before < 100_000_000
    assert server.get(f"/lote/job/{job}/page/1/hints")[0] == 204


# -- row 8: the password ---------------------------------------------------------------------------------


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def test_guessing_a_password_gets_slower(tmp_path: Path) -> None:
    own = Server(tmp_path, LOTE_AUTH="ana:s3cret")
    try:
        assert own.entrance == own.address  # no token beside a password
        began = time.monotonic()
        told = [own.ask("/lote/jobs", Authorization=basic(f"ana:{n}")) for n in range(100)]
        took = time.monotonic() - began
        looked_at = sum(answer.status == 401 for answer in told)
        assert looked_at <= 4 + took
        assert {answer.status for answer in told} == {401, 429}
        assert int(told[-1].headers["Retry-After"]) >= 1
        assert own.ask("/lote/jobs", Authorization=basic("ana:s3cret")).status == 429
        assert own.ask("/lote/jobs").status == 401  # asked without a password: no guess
        until(lambda: own.ask("/lote/jobs", Authorization=basic("ana:s3cret")).status == 200)
        welcome = own.ask("/lote/jobs", Authorization=basic("ana:s3cret"))
        for n in range(20):
            own.ask("/lote/jobs", Authorization=basic(f"ana:{n}"))
        # Who is in stays in, however others guess.
        assert own.ask("/lote/jobs", cookie=welcome.headers["Set-Cookie"].partition(";")[0]).status == 200
        if (environ := Path(f"/proc/{own.pid}/cmdline")).exists():
            assert b"s3cret" not in environ.read_bytes()
    finally:
        own.stop()


def test_a_password_in_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("ana:from the file\n")
    file.chmod(0o644)
    done = lote("ui", "--no-browser", "--auth-file", file, workspace=tmp_path / "ws")
    assert done.code == 2
    assert "chmod 600" in done.err
    for wrong in (tmp_path / "none", tmp_path):
        assert lote("ui", "--no-browser", "--auth-file", wrong, workspace=tmp_path / "ws").code == 2
    done = lote("ui", "--no-browser", "--auth", "ana", workspace=tmp_path / "ws")
    assert done.code == 2
    assert "terminal" in done.err
    file.chmod(0o600)
    own = Server(tmp_path / "own", "--auth-file", str(file))
    try:
        assert own.ask("/lote/jobs", Authorization=basic("ana:from the file")).status == 200
        assert own.ask("/lote/jobs", Authorization=basic("ana:")).status == 401
        assert "can read" not in own.said.read_text()
    finally:
        own.stop()


def test_a_password_on_the_command_line_is_warned_of(tmp_path: Path) -> None:
    own = Server(tmp_path, "--auth", "ana:s3cret")
    try:
        assert own.ask("/lote/jobs", Authorization=basic("ana:s3cret")).status == 200
        assert "can read the password" in own.said.read_text()
    finally:
        own.stop()


# -- row 9: other users of this machine ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/lote/jobs", "/lote/assets/page.js", "/config", "/?token=", "/?token=x",
                                  "/lote/jobs?token={token}"])  # fmt: skip
def test_nobody_is_answered_without_the_printed_address(server: Server, path: str) -> None:
    token = server.entrance.partition("token=")[2]
    assert len(token) >= 32
    told = server.ask(path.format(token=token), cookie="")
    assert told.status == 401
    assert b"address" in told.body
    assert server.ask(path.format(token=token), cookie=server.cookie + "x").status == 401


def test_the_token_becomes_a_cookie_and_leaves_the_address(server: Server) -> None:
    told = server.ask(f"{server.entrance[len(server.address) - 1 :]}&job=3", cookie="")
    assert told.status == 303
    assert told.headers["Location"] == "/?job=3"
    assert "HttpOnly" in told.headers["Set-Cookie"]
    assert "SameSite" in told.headers["Set-Cookie"]
    assert server.ask("/", cookie=told.headers["Set-Cookie"].partition(";")[0]).status == 200


def test_a_tab_outlives_the_server_and_its_token_does_not(tmp_path: Path) -> None:
    own = Server(tmp_path)
    try:
        cookie, entrance = own.cookie, own.entrance
        own.kill()
        own.start()
        assert own.ask("/lote/jobs", cookie=cookie).status == 200
        assert own.ask(entrance[len(own.address) - 1 :], cookie="").status == 401
    finally:
        own.stop()


def test_the_address_given_to_the_browser_opens_the_page_once(tmp_path: Path) -> None:
    """Other users can read the command line of the browser."""
    told = tmp_path / "address"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {told}.part; mv {told}.part {told}\n')
    browser.chmod(0o700)
    own = Server(tmp_path / "own", BROWSER=f"{browser} %s")
    try:
        until(told.exists)
        path = told.read_text().strip()[len(own.address) - 1 :]
        assert "token=" in path
        assert path not in own.entrance
        assert own.ask(path, cookie="").status == 303
        assert own.ask(path, cookie="").status == 401
    finally:
        own.stop()


def test_others_cannot_read_the_workspace(server: Server, job: int) -> None:
    assert stat.S_IMODE(server.workspace.stat().st_mode) == 0o700
    for name in ("lote.db", "page.key", "comics.lock"):
        assert stat.S_IMODE((server.workspace / name).stat().st_mode) == 0o600
    assert Draft(server).upload("a.png", b"x")[0] == 200
    assert stat.S_IMODE((server.workspace / "uploads").stat().st_mode) == 0o700


def test_a_workspace_that_others_could_read_is_closed(tmp_path: Path) -> None:
    other = tmp_path / "other"  # a folder with something else in it stays as open as it was
    other.mkdir(mode=0o755)
    (other / "letter.txt").write_text("x")
    own = tmp_path / "ws"
    for folder, mode in ((own, 0o700), (own, 0o700), (other, 0o755)):
        place = Workspace(folder)
        place.ledger.jobs()
        place.close()
        assert stat.S_IMODE(folder.stat().st_mode) == mode
        assert stat.S_IMODE((folder / "lote.db").stat().st_mode) == 0o600
        folder.chmod(0o755)
        (folder / "lote.db").chmod(0o644)


# -- row 10: other sites ---------------------------------------------------------------------------------


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_can_neither_show_nor_cause_anything(server: Server, job: int, site: str) -> None:
    zipped = server.workspace / "cache" / "web" / f"job-{job}.zip"
    zipped.unlink(missing_ok=True)
    image = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}
    visit = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    for path in (f"/lote/job/{job}/page/1/after", f"/lote/job/{job}/download/zip", "/lote/jobs"):
        for headers in (image, visit):
            assert server.get(path, **headers)[0] == 403
    assert server.get("/", **image)[0] == 403
    assert server.get("/", **visit | {"Sec_Fetch_Dest": "iframe"})[0] == 403
    assert server.get("/", **visit)[0] == 200  # a link to the page
    assert not zipped.exists()
    assert server.get(f"/lote/job/{job}/page/1/after", Origin="http://localhost:3000")[0] == 403


@pytest.mark.parametrize(
    "path", ["/", "/lote/jobs", "/lote/job/1/page/1/after", "/lote/assets/page.js", "/none"]
)
def test_answers_are_for_this_origin_alone(server: Server, job: int, path: str) -> None:
    told = server.ask(path)
    assert told.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = told.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    if path != "/":
        assert "unsafe" not in policy
    else:
        scripts = re.findall(r"script-src ([^;]+)", policy)[0]
        assert "'unsafe-inline'" not in scripts  # Gradio's own inline scripts have their hashes
        assert "'sha256-" in scripts


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:3000", "null"])
def test_no_other_origin_is_invited(server: Server, origin: str) -> None:
    for method in ("GET", "OPTIONS"):
        for path in ("/", "/config", "/lote/jobs"):
            told = server.ask(path, method=method, Origin=origin, Access_Control_Request_Method="GET")
            assert not [name for name in told.headers if name.startswith("Access-Control-")]
            assert told.status in (403, 404, 405) or (origin, method, path) == ("null", "GET", "/")


# -- row 11: links out -----------------------------------------------------------------------------------


def test_a_link_out_of_the_folders_is_neither_shown_nor_colored(server: Server, outside: Path) -> None:
    folder = book(server.folder / "linked", 2)
    (folder / "3.png").symlink_to(outside / "secret.png")
    draft = Draft(server, folder)
    parts = draft.state()["parts"]
    assert "3.png" in parts["unreadable"]
    assert "3.png" not in parts["page"] + parts["reference"]
    for index in range(4):
        status, _ = server.get(f"{draft.path}/thumb/{index}")
        assert status == (404 if index == 3 else 200)
    status, answer = draft.start()
    assert status == 400
    assert "3.png" in answer["error"]
    (folder / "3.png").unlink()
    (folder / "references").symlink_to(outside)
    assert draft.start()[0] == 400
    (folder / "references").unlink()
    (folder / "again.png").symlink_to(folder / "1.png")  # a link to where one may look
    assert draft.start()[0] == 200


def test_a_link_in_a_job_of_the_command_line_is_not_shown(server: Server, outside: Path) -> None:
    folder = book(server.folder / "shell", 2)
    done = server.lote("colorize", folder, "--backend", "noop", "--json")
    number = done.summary["job"]
    status = server.get(f"/lote/job/{number}/page/1/before")[0]
    items = re.findall(
        r'data-item="(\d+)"', json.loads(server.get(f"/lote/job/{number}")[1])["parts"]["rows"]
    )
    assert status == 404  # another job's page
    (folder / "2.png").unlink()
    (folder / "2.png").symlink_to(outside / "secret.png")
    shown = [server.get(f"/lote/job/{number}/page/{item}/before")[0] for item in items]
    assert shown == [200, 404]


def test_the_pages_of_a_tiff_are_shown_after_their_job(server: Server) -> None:
    pages = [Image.open(line_art(server.folder / "scan" / f"{n}.png", n)) for n in range(2)]
    chapter = server.folder / "chapter.tif"
    pages[0].save(chapter, save_all=True, append_images=pages[1:])
    done = server.lote("colorize", chapter, "--backend", "noop", "--json")
    number = done.summary["job"]
    rows = json.loads(server.get(f"/lote/job/{number}")[1])["parts"]["rows"]
    items = re.findall(r'data-item="(\d+)"', rows)
    shown = [server.get(f"/lote/job/{number}/page/{item}/before") for item in items]
    assert [status for status, _ in shown] == [200, 200]
    assert shown[0][1] != shown[1][1]


# -- row 13: how much may be asked for -------------------------------------------------------------------


def test_a_request_is_read_up_to_a_mebibyte(server: Server) -> None:
    path = f"/lote/draft/{uuid.uuid4()}/do"
    large = b'{"do": "add", "path": "' + b"x" * (2 << 20) + b'"}'
    assert server.post(path, large)[0] == 413
    before = peak(server)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nCookie: {server.cookie}\r\n"
        connection.sendall(f"{head}X-Lote: 1\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        with_data = f"{1 << 16:x}\r\n".encode() + b"x" * (1 << 16) + b"\r\n"
        try:
            for _ in range(3000):  # 200 MB that say nothing of their length
                connection.sendall(with_data)
        except OSError:
            pass  # the server has hung up
    assert peak(server) - before < 50_000_000
    assert server.get("/lote/jobs")[0] == 200


def background(server: Server) -> list[str]:
    """The processes that run jobs of this workspace."""
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if str(server.workspace) in line]


def test_many_starts_have_one_coordinator(tmp_path: Path) -> None:
    own = Server(tmp_path)
    try:
        drafts = [Draft(own, book(tmp_path / f"in{number}", 2)) for number in range(4)]
        with ThreadPoolExecutor(16) as pool:
            told = list(pool.map(Draft.start, drafts * 4))
        assert {status for status, _ in told} == {200}
        numbers = {answer["job"] for _, answer in told}
        assert len(numbers) == 4

        def done() -> bool:
            assert len(background(own)) <= 1
            return all(own.job(number)["state"] == "done" for number in numbers)

        until(done, 60)
        until(lambda: not background(own))
        assert not [path for path in (own.workspace / "background").rglob("*") if path.is_file()]
    finally:
        own.stop()


def test_a_job_is_cancelled_while_it_waits_for_its_turn(tmp_path: Path) -> None:
    own = Server(tmp_path)
    try:
        colored(tmp_path / "long" / "0.png", 1)
        for number in range(1, 40):
            line_art(tmp_path / "long" / f"{number}.png", number, (1200, 1600))
        first, second = Draft(own, tmp_path / "long"), Draft(own, book(tmp_path / "short", 2))
        running, waiting = first.start()[1]["job"], second.start()[1]["job"]
        until(lambda: own.job(waiting)["state"] == "queued" and own.job(running)["state"] == "running")
        assert own.post(f"/lote/job/{waiting}/do", {"do": "cancel"})[0] == 200
        until(lambda: own.job(waiting)["state"] == "cancelled", 5)
        assert own.job(running)["state"] in ("running", "finishing")
        assert own.post(f"/lote/job/{waiting}/do", {"do": "retry"})[0] == 200
        own.post(f"/lote/job/{running}/do", {"do": "cancel"})
        until(lambda: own.job(waiting)["state"] == "done", 60)
    finally:
        own.stop()


# -- row 14: questions that make no sense ------------------------------------------------------------------

NONSENSE = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"[" * 200_000, b'{"a":' * 100_000, b"{}",
    b'{"do": 5}', b'{"do": ["add"]}', b'{"do": "dance"}', b'{"do": "add"}', b'{"do": "add", "path": 7}',
    b'{"do": "add", "path": ["x"]}', b'{"do": "add", "path": "\\ud800"}', b'{"do": "add", "path": "/\\ud83d/x"}',
    b'{"do": "add", "path": "~no-such-user-here/x"}', b'{"do": "add", "path": "~root"}', b'{"do": "add", "path": ""}',
    b'{"do": "add", "path": "a\\u0000b"}', b'{"do": "move", "keys": {}}', b'{"do": "move", "keys": ["\\udc80"]}',
    b'{"do": "best", "threshold": "x"}', b'{"do": "best", "threshold": NaN}', b'{"do": "best", "threshold": 1e999}',
    b'{"do": "page", "key": "1.png", "values": []}', b'{"do": "page", "key": "1.png", "values": {"seed": {}}}',
    b'{"do": "start", "values": {"seed": 1e400}}', b'{"do": "start", "values": {"layers": "psd"}}',
    b'{"do": "start", "values": {"seed": ' + b"9" * 5000 + b"}}",
]  # fmt: skip


@pytest.mark.parametrize("body", NONSENSE, ids=lambda body: body[:40].decode("latin-1"))
def test_nonsense_is_answered_with_a_sentence(server: Server, job: int, body: bytes) -> None:
    for path in (f"/lote/draft/{uuid.uuid4()}/do", f"/lote/job/{job}/do", "/lote/photos/do"):
        status, answer = server.post(path, body)
        assert status == 400, answer
        assert answer["error"].strip()
        assert len(answer["error"]) < 300


@pytest.mark.parametrize(
    "path",
    ["job/{n}", "job/{n}/preview", "job/1/page/{n}", "job/{n}/page/1/file", "job/{n}/reference/0", "photos/{n}/thumb",
     "job/1/reference/{n}", "job/{n}/download/zip", "job/1/page/{n}/hints", "draft/{u}/thumb/{n}",
     "job/1/files/" + "x" * 300, "job/1/files/report.html/x"],
)  # fmt: skip
@pytest.mark.parametrize("digits", [12, 25, 2000])
def test_a_huge_number_is_nobodys(server: Server, job: int, path: str, digits: int) -> None:
    status, _ = server.get("/lote/" + path.format(n="9" * digits, u=uuid.uuid4()))
    assert status in (400, 404)


# -- jobs that are no comics ---------------------------------------------------------------------------------


def job_routes() -> list[str]:
    """Every answer about a job, whatever it is of."""
    from batch_processing.ui.web.server import routes

    found = [route.path for route in routes(None)]  # type: ignore[arg-type] - nobody is asked
    about = [path for path in found if path.startswith("/lote/job/")]
    assert len(about) > 8
    return about


@pytest.fixture(scope="module")
def photo_job(server: Server) -> int:
    colored(server.folder / "photos" / "1.jpg", 1)
    done = server.lote("photos", "scan", server.folder / "photos")
    assert done.code == 0, done.err
    newest = [event for event in server.lote("list", "--json").events if event["kind"] == "photos"][-1]
    return int(newest["job"])


@pytest.mark.parametrize("route", job_routes())
def test_a_scan_of_photos_is_not_taken_for_a_comic(server: Server, photo_job: int, route: str) -> None:
    path = route.replace("{job:int}", str(photo_job))
    path = re.sub(r"\{(\w+):int\}", "1", path).replace("{side}", "after").replace("{form}", "zip")
    path = path.replace("{path:path}", "report.html")
    if route.endswith("/do"):
        status, answer = server.post(path, b'{"do": "retry", "key": ""}')
    else:
        status, body = server.get(path)
        answer = json.loads(body)
    assert status == 400, answer
    assert answer["error"] == f"Job {photo_job} is a scan of photos: the tab of photos shows it."


def test_the_tab_of_photos_still_rules_its_scan(server: Server, photo_job: int) -> None:
    status, answer = server.post("/lote/photos/do", b'{"do": "cancel"}')
    assert (status, answer["error"]) == (400, f"Job {photo_job} is done: there is nothing to cancel.")


def test_a_page_that_there_is_not_is_not_done_again(server: Server, job: int) -> None:
    status, answer = server.post(f"/lote/job/{job}/do", b'{"do": "retry", "key": "none.png"}')
    assert status == 400
    assert answer["error"].startswith(f"Job {job} has no finished page none.png")


@pytest.mark.parametrize("port", ["-1", "65536", "99999999999999999999"])
def test_a_port_that_there_is_not(tmp_path: Path, port: str) -> None:
    done = lote("ui", "--no-browser", "--port", port, workspace=tmp_path / "ws")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"lote: --port must be from 1 to 65535, or 0 for any free one, got {port}.\n"


def test_names_that_are_no_unicode_leave_as_they_can(server: Server) -> None:
    folder = server.folder / "bytes"
    colored(folder / "0.png", 1)
    page = line_art(folder / "x.png", 1)
    page.rename(os.fsdecode(os.fsencode(folder) + b'/p\xff"\r\n.png'))
    done = server.lote("colorize", folder, "--backend", "noop", "--json")
    number = done.summary["job"]
    rows = json.loads(server.get(f"/lote/job/{number}")[1])["parts"]["rows"]
    item = re.findall(r'data-item="(\d+)"', rows)[0]
    told = server.ask(f"/lote/job/{number}/page/{item}/file")
    assert told.status == 200
    disposition = told.headers["Content-Disposition"]
    assert disposition.endswith("filename*=UTF-8''p%EF%BF%BD%22%0D%0A.png")
    assert disposition.isascii()
    assert server.get(f"/lote/job/{number}/page/{item}")[0] == 200
    for form in ("zip", "cbz"):
        status, body = server.get(f"/lote/job/{number}/download/{form}")
        assert status == 200, body
        with zipfile.ZipFile(BytesIO(body)) as archive:
            assert archive.testzip() is None


# -- row 15: what is left behind ---------------------------------------------------------------------------


def test_nothing_is_left_after_sigterm(tmp_path: Path) -> None:
    own = Server(tmp_path, TMPDIR=str(tmp_path))
    assert list((own.workspace / "scratch").iterdir())
    own.terminate()
    assert not list((own.workspace / "scratch").iterdir())
    assert not list(tmp_path.glob("lote-ui-*"))


def test_broken_uploads_leave_nothing(server: Server) -> None:
    uploads = server.workspace / "uploads"
    before = set(uploads.glob("*")) if uploads.exists() else set()
    for _ in range(20):
        path = f"/lote/draft/{uuid.uuid4()}/files?name=page.png"
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nCookie: {server.cookie}\r\n"
            connection.sendall(f"{head}X-Lote: 1\r\nContent-Length: 100000\r\n\r\nhalf".encode())
    until(lambda: set(uploads.glob("*")) <= before)


def test_uploads_have_a_quota(tmp_path: Path) -> None:
    own = Server(tmp_path, "--upload-quota", "100k")
    try:
        draft = Draft(own)
        assert draft.upload("a.png", b"x" * 60_000)[0] == 200
        status, body = draft.upload("b.png", b"x" * 60_000)
        assert status == 400
        assert b"--upload-quota" in body
        assert [path.name for path in (own.workspace / "uploads").rglob("*.png")] == ["a.png"]
        other = Draft(own)
        assert other.upload("c.png", b"x" * 60_000)[0] == 400
        assert not (own.workspace / "uploads" / other.name).exists()
        assert draft.upload("d.png", b"x" * 20_000)[0] == 200
    finally:
        own.stop()
    assert lote("ui", "--no-browser", "--upload-quota", "much", workspace=tmp_path / "ws").code == 2
