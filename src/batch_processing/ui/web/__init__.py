"""The web page: a face of the ledger on which a colourist does a whole chapter. docs/ui.md shows it.

    access.py   who may ask, and how they show it        credentials.py   the password, from where it is kept
    wishes.py   what may be asked for                    paths.py    which files may be named
    server.py   what is answered                         drafts.py   a chapter before it is a job
    page.py     the Gradio page                          jobs.py     from a draft to a job, and afterwards
    editor.py, editor_book.py, saving.py   the editor: a page, the book, and how they are written
    views.py    what is shown, as plain values           photos.py, photo_views.py   the photos tab
    library.py, similar.py, people.py              the windows of the photo library
    photo_library.py, cleaning.py                        the library as they have it; the trash and back
    templates/  what is shown, as HTML                   pictures.py small pictures, made by workers
    static/     the page's script and style              texts.py, speech.py   English and Spanish

Promises: what runs here is a job like any other, in a process of its own; a reload, a second tab or the
death of the page loses nothing. Gradio is imported by `launch`, never before.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ...exceptions import ConfigurationError, ResourceError, reason
from ...i18n import _

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .site import Site

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PORT = 7860  # where Gradio's pages are looked for
LARGEST_PORT = 2**16 - 1


def launch(
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    roots: Sequence[str | Path] = (),
    auth: str | None = None,
    workspace: str | Path | None = None,
    open_browser: bool = True,
    upload_quota: int | None = None,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM; prints its address on stdout, with the token that opens it.

    `port` None: 7860 or the next free one; 0: any free one. `roots`: the folders below which typed paths
    may lie, the home and the current folder when none is given. `auth`: "user:password", asked for instead of the
    token, which another host than this machine needs (ConfigurationError). `workspace`: as everywhere, None is the
    default one. `upload_quota`: bytes that all uploads may take together, 64 GiB if None."""
    if host not in LOOPBACK and not auth:
        raise ConfigurationError(
            "The page is for this machine alone: another host ({host}) needs --auth USER, --auth-file or "
            "LOTE_AUTH.",
            host=host,
        )
    if port is not None and not 0 <= port <= LARGEST_PORT:
        raise ConfigurationError(
            "--port must be from 1 to {largest}, or 0 for any free one, got {port}.",
            largest=LARGEST_PORT,
            port=port,
        )
    if auth is not None and not all(auth.partition(":")):
        raise ConfigurationError("--auth must be USER:PASSWORD.")
    if find_spec("gradio") is None or find_spec("uvicorn") is None:
        raise ConfigurationError("The page needs Gradio: pip install '.[ui]' in Lote's folder")
    print(_("starting the web page"), file=sys.stderr, flush=True)  # noqa: T201 - what comes now takes a second or two
    _quiet_gradio()
    import uvicorn

    from .access import Guard, page_key
    from .drafts import private

    site = _site(roots, workspace, upload_quota)
    # Gradio serves files from the current directory and keeps its own in this one: both are empty.
    with site.workspace.scratch() as empty, _signals():
        private(empty)
        os.environ["GRADIO_TEMP_DIR"] = str(empty / "gradio")
        os.chdir(empty)
        try:
            listening = _listen(host, port)
            number = listening.getsockname()[1]
            key = page_key(site.workspace.root)
            guard = Guard(application(site), host=host, port=number, auth=auth, key=key)
            server = uvicorn.Server(
                uvicorn.Config(
                    guard,
                    log_level="warning",
                    access_log=False,
                    server_header=False,
                    proxy_headers=False,  # whom guesses are counted for is nobody's to say
                    timeout_graceful_shutdown=2,  # seconds: a browser holds its connection for ever
                )
            )
            site.saver.look()
            address = f"http://{f'[{host}]' if ':' in host else host}:{number}/"
            print(address + guard.entrance(), flush=True)  # noqa: T201 - the result of the command
            print(_("Ctrl-C ends the page; jobs go on by themselves."), file=sys.stderr, flush=True)  # noqa: T201
            if open_browser:
                threading.Timer(1.0, webbrowser.open, [address + guard.entrance_once()]).start()
            with site.workspace.page_at(address):
                server.run([listening])
        except KeyboardInterrupt:
            pass
        finally:
            site.cleaner.leave()
            os.chdir("/")
            # Gradio's half a million objects are not looked over once more before they go with the process: on a busy
            # machine that took 20 seconds.
            gc.freeze()


def quota(text: str | None) -> int | None:
    """Bytes that a size such as 64G means. ConfigurationError for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,12})\s*([kmgt]?)(?:i?b)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ConfigurationError(
            "--upload-quota must be a size such as 64G or 500M, got {text}.", text=repr(text)
        )
    return int(found[1]) << 10 * " kmgt".index(found[2].lower() or " ")


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and the end of the terminal leave as Ctrl-C does, over what has to be cleaned up; a second one does not
    break that off."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    leaving = False

    def leave(number: int, _frame: object) -> None:
        nonlocal leaving
        if not leaving:
            leaving = True
            raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_IGN if leaving else old)


def application(site: Site) -> ASGIApp:
    """The page and the answers behind it, not yet guarded."""
    import fastapi
    import gradio

    from .page import HEAD, THEME, build, translations
    from .server import routes

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None, routes=list(routes(site)))
    return gradio.mount_gradio_app(  # type: ignore[no-any-return]
        app,
        build(),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=True,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        max_file_size=1,
        theme=THEME(),
        head=HEAD,
        i18n=translations(),
    )


def _site(roots: Sequence[str | Path], workspace: str | Path | None, upload_quota: int | None) -> Site:
    from ...core.workspace import Workspace
    from .drafts import UPLOAD_QUOTA
    from .paths import Roots
    from .site import Site

    opened = Workspace(workspace)
    opened.ensure()
    allowed = [os.path.realpath(Path(root).expanduser()) for root in roots or (Path.home(), Path.cwd())]
    for root in allowed:
        if not Path(root).is_dir():
            raise ConfigurationError("The root {root} is not a folder.", root=root)
    quota = UPLOAD_QUOTA if upload_quota is None else upload_quota
    return Site(opened, Roots(allowed, opened.root), upload_quota=quota)


def _quiet_gradio() -> None:
    """No telemetry, no look for newer versions; said before Gradio is imported."""
    quiet = {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    os.environ.update(quiet)


def _listen(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    wanted = range(PORT, PORT + 100) if port is None else (port,)
    for number in wanted:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, number))
            listening.listen(128)  # whoever reads the address may connect at once
        except OSError as error:
            listening.close()
            problem = error
            continue
        return listening
    raise ResourceError(
        "The page cannot listen on {host}, port {port}: {reason}.",
        host=host,
        port=port or PORT,
        reason=reason(problem),
    ) from problem
