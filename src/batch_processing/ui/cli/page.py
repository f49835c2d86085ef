"""`lote ui`: the web page."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import PAGE, WorkspaceOption, app


@app.command(rich_help_panel=PAGE)
def ui(
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="NAME", help="Where to listen; another than this machine needs --auth."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", help="7860 or the next free one if left out.")
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option(
            "--auth",
            metavar="USER",
            help="Ask for this name and a password, which is read from the terminal (USER:PASSWORD, too, but others can read that).",
        ),
    ] = None,
    auth_file: Annotated[
        str | None,
        typer.Option(
            "--auth-file", metavar="FILE", help="USER:PASSWORD in a file of yours alone (else LOTE_AUTH)."
        ),
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option("--root", metavar="DIR", help="Folder that the page may read and write. Repeatable."),
    ] = None,
    upload_quota: Annotated[
        str | None,
        typer.Option(
            "--upload-quota", metavar="SIZE", help="What all uploads may take together; 64G if left out."
        ),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Open the web page: a whole chapter without the command line."""
    from ..web import launch, quota
    from ..web.credentials import credentials

    launch(
        host,
        port,
        roots=root or (),
        auth=credentials(auth, auth_file),
        workspace=workspace,
        open_browser=not no_browser,
        upload_quota=quota(upload_quota),
    )
