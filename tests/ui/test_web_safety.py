"""What the web page refuses: other hosts, other sites, files that are nobody's job."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from command import environment, lote
from pages import book, colored, line_art
from web_server import Server, Visitor, chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("safety"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def output(server: Server) -> Path:
    """The output folder of job 1 of this server."""
    done = server.lote("colorize", book(server.folder / "in", 2), "--backend", "noop")
    assert done.code == 0, done.err
    return server.folder / "in_colorized"


SECRETS = [
    "/etc/passwd",
    "/lote.db",
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/file={workspace}/lote.db",
    "/gradio_api/file=lote.db",
    "/gradio_api/file=http://127.0.0.1:1/",
    "/file={workspace}/lote.db",
    "/gradio_api/proxy=http://127.0.0.1:1/",
    "/lote/job/1/files//etc/passwd",
    "/lote/job/1/files/../../in/1.png",
    "/lote/job/1/files/..%2f..%2fin/1.png",
    "/lote/job/1/files/%2e%2e/1.png",
    "/lote/job/1/files/..%5c..%5cin",
    "/lote/job/1/files/link.html",
    "/lote/job/1/files/folder/passwd",
    "/lote/job/1/files/",
    "/lote/job/99/files/report.html",
    "/lote/assets/..%2fserver.py",
    "/lote/assets/../server.py",
    "/lote/assets/%2e%2e/server.py",
    "/static/../../../../../../etc/passwd",
    "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/assets/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/svelte/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/monitoring",
    "/gradio_api/info",
    "/docs",
    "/openapi.json",
]


@pytest.mark.parametrize("path", SECRETS)
def test_no_path_leads_to_a_file_that_is_not_the_jobs(server: Server, output: Path, path: str) -> None:
    side = output / "_lote"
    if not (side / "link.html").is_symlink():
        (side / "link.html").symlink_to("/etc/passwd")
        (side / "folder").symlink_to("/etc")
    status, body = server.get(path.format(workspace=server.workspace))
    assert status in (400, 403, 404), body[:200]
    assert b"root:" not in body
    assert b"SQLite" not in body


def test_a_file_of_the_job_is_given(server: Server, output: Path) -> None:
    status, body = server.get("/lote/job/1/files/processing_metadata.json")
    assert status == 200
    assert json.loads(body)["counts"]["completed"] == 2


def test_a_page_replaced_by_a_link_is_refused(server: Server, output: Path) -> None:
    page = output / "1.png"
    assert server.get("/lote/job/1/page/1/file")[0] == 200
    kept = page.read_bytes()
    page.unlink()
    page.symlink_to("/etc/passwd")
    try:
        for side in ("file", "after"):
            status, body = server.get(f"/lote/job/1/page/1/{side}")
            assert status == 404
            assert b"root:" not in body
        status, body = server.get("/lote/job/1/download/zip")
        assert b"root:" not in body
    finally:
        page.unlink()
        page.write_bytes(kept)


def test_an_item_belongs_to_its_job_alone(server: Server, output: Path) -> None:
    assert server.get("/lote/job/2/page/1/file")[0] in (400, 404)
    assert server.get("/lote/job/1/page/999/file")[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "10.0.0.1"])
def test_another_host_name_is_refused(server: Server, host: str) -> None:
    """A name that an attacker's DNS points at 127.0.0.1 (rebinding)."""
    assert server.get("/", Host=host)[0] == 421
    assert server.get("/lote/jobs", Host=host)[0] == 421


def test_another_site_cannot_write(server: Server) -> None:
    draft = uuid.uuid4()
    path, body = f"/lote/draft/{draft}/do", b'{"do": "clear"}'
    assert server.get(path, method="POST", data=body, X_Lote="1")[0] == 200
    assert server.get(path, method="POST", data=body)[0] == 403
    assert server.get(path, method="POST", data=body, X_Lote="1", Origin="http://evil.example")[0] == 403
    for door in ("run/predict", "queue/join", "call/predict", "api/predict", "upload"):  # for nobody at all
        assert server.get(f"/gradio_api/{door}", method="POST", data=b"{}")[0] == 404


def test_typed_paths_stay_below_the_roots(server: Server) -> None:
    (server.folder / "out").symlink_to("/etc")
    for path in (
        "/etc",
        str(server.folder / "out"),
        str(server.folder / ".." / ".."),
        "/",
        "~root/../etc",
        "x\0y",
    ):
        body = json.dumps({"do": "add", "path": path}).encode()
        status, answer = server.get(f"/lote/draft/{uuid.uuid4()}/do", method="POST", data=body, X_Lote="1")
        assert status == 400, path
        assert "error" in json.loads(answer)


def test_a_draft_needs_its_unguessable_name(server: Server) -> None:
    for name in ("1", "..", "x" * 36, str(uuid.uuid1())):
        assert server.get(f"/lote/draft/{name}")[0] in (400, 404)


@pytest.mark.parametrize(
    ("name", "code"),
    [("page.png", 200), ("tool.exe", 400), ("page.svg", 400), ("../../evil.png", 200), ("", 400)],
)
def test_uploads_are_named_harmlessly(server: Server, tmp_path: Path, name: str, code: int) -> None:
    picture = line_art(tmp_path / "p.png").read_bytes()
    path = f"/lote/draft/{uuid.uuid4()}/files?name={quote(name, safe='')}"
    assert server.get(path, method="PUT", data=picture, X_Lote="1")[0] == code
    assert not list(server.folder.parent.glob("evil*"))
    assert not list(server.workspace.glob("evil*"))


def test_an_upload_of_more_than_the_limit_is_refused_before_it_is_read(server: Server) -> None:
    path = f"/lote/draft/{uuid.uuid4()}/files?name=big.png"
    status, body = server.get(path, method="PUT", X_Lote="1", Content_Length=str(1 << 40))
    assert status == 400
    assert b"limit" in body


def test_a_hostile_file_name_is_shown_as_text(server: Server, tmp_path: Path) -> None:
    name = "<img src=x onerror=window.hit=1>{{value}}${window.hit=2}.png"
    colored(server.folder / "hostile" / "0_cover.png", 1)
    shutil.copy(line_art(tmp_path / "p.png"), server.folder / "hostile" / name)
    with chromium() as browser:
        visitor = Visitor(browser.new_page(), server).open()
        visitor.add(server.folder / "hostile")
        assert visitor.names("page") == [name]
        visitor.use("noop")
        visitor.start()
        visitor.state("done")
        expect(visitor.page.locator("table.pages td.name")).to_have_text([name])
        visitor.page.click(".results .shot")
        expect(visitor.page.locator("#lote-viewer h3")).to_have_text(name)
        visitor.page.keyboard.press("Escape")
        visitor.page.click("#tab-history-button")
        visitor.page.wait_for_selector("table.jobs")
        assert visitor.page.evaluate("window.hit") is None
        assert visitor.outside == []


def test_the_server_stands_in_an_empty_folder(server: Server) -> None:
    assert server._process is not None
    current = Path(f"/proc/{server._process.pid}/cwd")
    if not current.exists():
        pytest.skip("only Linux tells the current folder of another process")
    assert [path.name for path in current.readlink().iterdir()] in ([], ["gradio"])


def test_answers_forbid_what_comes_from_elsewhere(server: Server) -> None:
    told = server.ask("/")
    policy = told.headers["Content-Security-Policy"]
    body = told.body.decode()
    assert "default-src 'self'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert told.headers["X-Content-Type-Options"] == "nosniff"
    assert "fonts.googleapis" not in body


def test_another_host_needs_a_password(tmp_path: Path) -> None:
    done = lote("ui", "--host", "192.0.2.1", "--no-browser", workspace=tmp_path / "ws")
    assert done.code == 2
    assert "--auth" in done.err


def test_without_gradio_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['gradio'] = None\n"
        "from batch_processing.ui.cli import main; sys.argv = ['lote', 'ui', '--no-browser']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(tmp_path), check=False
    )
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert "pip install '.[ui]' in Lote's folder" in done.stderr


def test_with_a_password_nobody_is_answered_without_it(tmp_path: Path) -> None:
    own = Server(tmp_path, "--auth", "ana:s3cret")
    try:
        for path in ("/", "/lote/jobs", "/lote/assets/page.js", "/config"):
            assert own.get(path)[0] == 401
        wrong = base64.b64encode(b"ana:secret").decode()
        assert own.get("/lote/jobs", Authorization=f"Basic {wrong}")[0] == 401
        right = base64.b64encode(b"ana:s3cret").decode()
        assert own.get("/lote/jobs", Authorization=f"Basic {right}")[0] == 200
    finally:
        own.stop()
