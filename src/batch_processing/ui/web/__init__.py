"""The web page: a face of the ledger on which a colourist does a whole chapter. docs/ui.md shows it.

    server.py   who may ask, and what is answered        drafts.py   a chapter before it is a job
    page.py     the Gradio page                          jobs.py     from a draft to a job, and afterwards
    views.py    lists, tables and pictures as HTML       texts.py    English and Spanish
    assets/     the page's script and style

Promises: what runs here is a job like any other, in a process of its own; a reload, a second tab or the
death of the page loses nothing. Gradio is imported by `launch`, never before.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Sequence
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
) -> None:
    """Serve the page until Ctrl-C; prints its address on stdout.

    `port` None: 7860 or the next free one; 0: any free one. `roots`: the folders below which typed paths
    may lie, the home and the current folder when none is given. `auth`: "user:password", which another
    host than this machine needs (ConfigurationError). `workspace`: as everywhere, None is the default one."""
    if host not in LOOPBACK and not auth:
        raise ConfigurationError(
            f"The page is for this machine alone: another host ({host}) needs --auth USER:PASSWORD."
        )
    if auth is not None and not all(auth.partition(":")):
        raise ConfigurationError("--auth must be USER:PASSWORD.")
    _quiet_gradio()
    try:
        import gradio  # noqa: F401 - asked for here, so that its absence is one sentence
        import uvicorn
    except ImportError as error:
        raise ConfigurationError('The page needs Gradio: pip install "lote[ui]"') from error
    from .server import Guard

    site = _site(roots, workspace)
    # Gradio serves files from the current directory and keeps its own in this one: both are empty.
    empty = tempfile.mkdtemp(prefix="lote-ui-")
    os.environ["GRADIO_TEMP_DIR"] = str(Path(empty) / "gradio")
    os.chdir(empty)
    listening = _listen(host, port)
    number = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{number}/"
    server = uvicorn.Server(
        uvicorn.Config(
            Guard(application(site), host=host, auth=auth),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,  # seconds: a browser holds its connection for ever
        )
    )
    print(address, flush=True)  # noqa: T201 - the result of the command
    print("Ctrl-C ends the page; jobs go on by themselves.", file=sys.stderr, flush=True)  # noqa: T201
    if open_browser:
        threading.Timer(1.0, webbrowser.open, [address]).start()
    try:
        server.run([listening])
    except KeyboardInterrupt:
        pass
    finally:
        os.chdir("/")
        shutil.rmtree(empty, ignore_errors=True)


def application(site: Site) -> ASGIApp:
    """The page and the answers behind it, not yet guarded."""
    import fastapi
    import gradio

    from .page import HEAD, THEME, build, translations
    from .server import routes

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None, routes=list(routes(site)))
    return gradio.mount_gradio_app(  # type: ignore[no-any-return]
        app,
        build(site),
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


def _site(roots: Sequence[str | Path], workspace: str | Path | None) -> Site:
    from ...core.workspace import Workspace
    from .server import Site

    place = Workspace(workspace)
    place.ensure()
    allowed = [os.path.realpath(Path(root).expanduser()) for root in roots or (Path.home(), Path.cwd())]
    for root in allowed:
        if not Path(root).is_dir():
            raise ConfigurationError(f"The root {root} is not a folder.")
    return Site(place, allowed)


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
