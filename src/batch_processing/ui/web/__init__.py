"""The web page: a face of the ledger on which a colourist does a whole chapter. docs/ui.md shows it.

    access.py   who may ask, and how they show it        credentials.py   the password, from where it is kept
    wishes.py   what may be asked for                    paths.py    which files may be named
    server.py   what is answered                         drafts.py   a chapter before it is a job
    page.py     the Gradio page                          jobs.py     from a draft to a job, and afterwards
    views.py    lists and tables as HTML                 pictures.py small pictures, made by workers
    assets/     the page's script and style              texts.py    English and Spanish

Promises: what runs here is a job like any other, in a process of its own; a reload, a second tab or the
death of the page loses nothing. Gradio is imported by `launch`, never before.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...exceptions import ConfigurationError, ResourceError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .server import Site

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PORT = 7860  # where Gradio's pages are looked for


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
            f"The page is for this machine alone: another host ({host}) needs --auth USER, --auth-file or LOTE_AUTH."
        )
    if auth is not None and not all(auth.partition(":")):
        raise ConfigurationError("--auth must be USER:PASSWORD.")
    _quiet_gradio()
    try:
        import gradio  # noqa: F401 - asked for here, so that its absence is one sentence
        import uvicorn
    except ImportError as error:
        raise ConfigurationError('The page needs Gradio: pip install "lote[ui]"') from error
    from .access import Guard, page_key
    from .drafts import private

    site = _site(roots, workspace, upload_quota)
    # Gradio serves files from the current directory and keeps its own in this one: both are empty.
    with site.place.scratch() as empty, _signals():
        private(empty)
        os.environ["GRADIO_TEMP_DIR"] = str(empty / "gradio")
        os.chdir(empty)
        try:
            listening = _listen(host, port)
            number = listening.getsockname()[1]
            key = page_key(site.place.root)
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
            address = f"http://{f'[{host}]' if ':' in host else host}:{number}/"
            print(address + guard.entrance(), flush=True)  # noqa: T201 - the result of the command
            print("Ctrl-C ends the page; jobs go on by themselves.", file=sys.stderr, flush=True)  # noqa: T201
            if open_browser:
                threading.Timer(1.0, webbrowser.open, [address + guard.entrance_once()]).start()
            server.run([listening])
        except KeyboardInterrupt:
            pass
        finally:
            os.chdir("/")


def quota(text: str | None) -> int | None:
    """Bytes that a size such as 64G means. ConfigurationError for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,12})\s*([kmgt]?)(?:i?b)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ConfigurationError(f"--upload-quota must be a size such as 64G or 500M, got {text!r}.")
    return int(found[1]) << 10 * " kmgt".index(found[2].lower() or " ")


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and the end of the terminal leave as Ctrl-C does, over what has to be cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


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
    from .server import Site

    place = Workspace(workspace)
    place.ensure()
    allowed = [os.path.realpath(Path(root).expanduser()) for root in roots or (Path.home(), Path.cwd())]
    for root in allowed:
        if not Path(root).is_dir():
            raise ConfigurationError(f"The root {root} is not a folder.")
    quota = UPLOAD_QUOTA if upload_quota is None else upload_quota
    return Site(place, Roots(allowed, place.root), upload_quota=quota)


def _quiet_gradio() -> None:
    """No telemetry, no look for newer versions; said before Gradio is imported."""
    quiet: dict[str, Any] = {
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
        f"The page cannot listen on {host}, port {port or PORT}: {problem.strerror}."
    ) from problem
