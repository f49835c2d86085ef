"""The door of the page: who is answered at all, and with which headers.

Promises: a name that rebinding DNS could have made is refused in the Host header; requests that another site, or
another page of this machine, makes a browser send are refused, writing or not; nobody is answered without the
token of the printed address or the name and password, or the cookie that either of them gave; guessing a password
gets slower with each failure; of Gradio's own paths only those that the page needs exist; a body is read up to
`BODY_LIMIT`. Refuses everything else with a sentence. Does not encrypt: put a proxy with TLS in front of another
host, which is then the one client that there is. A cookie is sent to every port of a name, so that another server
on this machine that a person visits could take it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from . import LOOPBACK
from .texts import speak
from .wishes import BODY_LIMIT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What Gradio's client asks for. Its doors for files, uploads, calls, proxies, streams, monitoring and editing stay shut.
GRADIO = re.compile(
    r"/|/config/?|/theme\.css|/(static|assets|svelte)/.*|/favicon\.ico|/manifest\.json|/pwa_icon(/\d+)?"
    r"|/gradio_api/(app_id|startup-events|heartbeat/[\w-]+)/?"
)
EDITOR = re.compile(r"/edit/\d+(/\d+)?")  # the windows of the editor, which are ours
LIBRARY = re.compile(r"/library(/(similar|left-out|people))?")  # the windows of the photo library, likewise
# Nothing that the page shows or runs comes from another machine. Gradio compiles its templates and events in the
# browser (unsafe-eval) and writes styles into the document; its inline scripts are admitted by their hashes.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'{scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
# For our own answers: data and pictures, which run nothing.
OWN_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
INLINE_SCRIPT = re.compile(rb"<script\b(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)
ALWAYS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"x-frame-options": b"DENY",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}
# A password may be mistyped so often at once; each failure after that makes its client wait, twice as long each time.
FREE_GUESSES = 3
LONGEST_WAIT = 60.0  # seconds
FORGOTTEN = 900.0  # seconds without a failure
CLIENTS = 10_000  # remembered; beyond that the oldest are forgotten
KEY_FILE = "page.key"


def page_key(workspace: Path) -> bytes:
    """The secret of a workspace's page, made on first use: what cookies are signed with, so that tabs outlive the
    server. Only its owner can read the file; removing it ends all visits."""
    path = workspace / KEY_FILE
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes()
        if len(key) == 32:
            return key
        path.unlink(missing_ok=True)  # cut short by a full disk
        return page_key(workspace)
    with os.fdopen(handle, "wb") as file:
        key = secrets.token_bytes(32)
        file.write(key)
    return key


class Guesses:
    """How long a client has to wait before its next password is looked at."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, tuple[int, float]] = {}  # how often, and when last

    def wait(self, client: str) -> float:
        """Seconds, 0 for none."""
        count, last = self._failed.get(client, (0, 0.0))
        over = count - FREE_GUESSES
        return max(0.0, last + min(2.0**over, LONGEST_WAIT) - self._clock()) if over >= 0 else 0.0

    def failed(self, client: str) -> None:
        now = self._clock()
        count, last = self._failed.pop(client, (0, now))
        self._failed[client] = (1 if now - last > FORGOTTEN else min(count + 1, 64), now)
        while len(self._failed) > CLIENTS:
            del self._failed[next(iter(self._failed))]

    def right(self, client: str) -> None:
        self._failed.pop(client, None)


class Guard:
    """Lets through what may come in; see the module's text. `key`: what cookies are signed with."""

    def __init__(self, app: ASGIApp, *, host: str, port: int, auth: str | None, key: bytes) -> None:
        self._app = app
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        self._local = host in LOOPBACK
        self._auth = auth.encode() if auth else None
        self._tokens = [secrets.token_urlsafe(24)]
        self._cookie = f"lote-{port}"
        self._pass = hmac.new(key, b"visit\0" + (self._auth or b""), hashlib.sha256).hexdigest()
        self._guesses = Guesses()

    def entrance(self) -> str:
        """What the printed address has after its slash: the token, or nothing where a password is asked for."""
        return "" if self._auth else f"?token={self._tokens[0]}"

    def entrance_once(self) -> str:
        """The same for a command line, which others can read: its token opens the page once."""
        if self._auth:
            return ""
        self._tokens.append(secrets.token_urlsafe(24))
        return f"?token={self._tokens[-1]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no web sockets here
        request = Request(scope)
        headers: dict[bytes, bytes] = {}
        answer = self._foreign(request) or self._stranger(request, headers) or _nowhere(request)
        if answer is None and request.method not in (
            "GET",
            "HEAD",
            "PUT",
        ):  # uploads have limits of their own
            body = await _body(request, receive)
            if body is None:
                answer = _refusal(request, "The request is larger than the page ever sends.", 413)
            else:
                receive = _again(body, receive)
        dressed = _Dressed(send, request.scope["path"], headers)
        await (answer or self._app)(scope, receive, dressed)

    def _foreign(self, request: Request) -> Response | None:
        """The refusal of what another name or another site sends."""
        host = request.headers.get("host", "")
        if not self._known(_hostname(host)):
            return Response("This page does not answer to that name.", 421)
        origin = request.headers.get("origin")
        visit = (
            request.method == "GET"
            and request.scope["path"] == "/"
            and request.headers.get("sec-fetch-mode", "navigate") == "navigate"
            and request.headers.get("sec-fetch-dest", "document") == "document"
        )
        site = request.headers.get("sec-fetch-site", "none")
        # Every port of this machine is the same site: a page of another program is a stranger, too.
        if site not in ("same-origin", "none") and not visit:
            return _refusal(request, "Another site cannot use this page.", 403)
        if origin is not None and origin.partition("://")[2] != host and not (visit and origin == "null"):
            return _refusal(request, "Another site cannot use this page.", 403)
        return None

    def _known(self, name: str) -> bool:
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback if self._local else True  # a number cannot be bound anew, a name can

    def _stranger(self, request: Request, headers: dict[bytes, bytes]) -> Response | None:
        """The refusal of who has not shown that they may come in; `headers` of the answer to who has just done so."""
        shown = request.cookies.get(self._cookie, "")
        if secrets.compare_digest(shown.encode("utf-8", "replace"), self._pass.encode()):
            return None
        cookie = f"{self._cookie}={self._pass}; Path=/; HttpOnly; SameSite=Lax".encode()
        if self._auth is None:
            return self._with_token(request, cookie)
        answer = self._without_password(request)
        if answer is None:
            headers[b"set-cookie"] = cookie
        return answer

    def _with_token(self, request: Request, cookie: bytes) -> Response:
        given = request.query_params.get("token", "").encode("utf-8", "replace")
        known = [token for token in self._tokens if secrets.compare_digest(given, token.encode())]
        if request.scope["path"] != "/" or not known:
            return _refusal(
                request,
                "Open the page by the whole address that lote ui has printed: its token is the key.",
                401,
            )
        if known[0] != self._tokens[0]:
            self._tokens.remove(known[0])
        query = parse_qsl(request.scope["query_string"].decode("latin-1"))
        left = urlencode([(name, value) for name, value in query if name != "token"])
        # Away from the address, so that it stands in no history and no picture of the screen.
        answer = RedirectResponse("/" + (f"?{left}" if left else ""), 303)
        answer.headers["Set-Cookie"] = cookie.decode()
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def _without_password(self, request: Request) -> Response | None:
        headers = {"WWW-Authenticate": 'Basic realm="Lote", charset="UTF-8"'}
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return Response("A name and a password are needed.", 401, headers)
        client = _client(request)
        if wait := self._guesses.wait(client):
            seconds = int(wait) + 1
            answer = _refusal(
                request, "The password was wrong too often: wait {seconds} seconds.", 429, seconds=seconds
            )
            answer.headers["Retry-After"] = str(seconds)
            return answer
        try:
            named = base64.b64decode(given.strip(), validate=True)
        except (binascii.Error, ValueError):
            named = b""
        if secrets.compare_digest(named, self._auth or b""):
            self._guesses.right(client)
            return None
        self._guesses.failed(client)
        return Response("A name and a password are needed.", 401, headers)


class _Dressed:
    """The `send` of an answer, with the headers that every answer has and without those that invite other sites."""

    def __init__(self, send: Send, path: str, headers: dict[bytes, bytes]) -> None:
        self._send, self._headers = send, headers
        self._own = path.startswith(("/lote/", "/edit/", "/library"))
        self._start: Message | None = None  # of a document, held back until its scripts are known
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._dress(message)
            return await self._begin(message)
        if self._start is None or message["type"] != "http.response.body":
            return await self._send(message)
        self._body += message.get("body", b"")
        if not message.get("more_body"):
            start, self._start = self._start, None
            hashes = {base64.b64encode(hashlib.sha256(text).digest()).decode() for text in INLINE_SCRIPT.findall(self._body)}  # fmt: skip
            scripts = "".join(f" 'sha256-{value}'" for value in sorted(hashes))
            start["headers"].append((b"content-security-policy", POLICY.format(scripts=scripts).encode()))
            await self._send(start)
            await self._send({"type": "http.response.body", "body": bytes(self._body)})
        return None

    async def _begin(self, message: Message) -> None:
        known = dict(message["headers"])
        if b"content-security-policy" in known:
            await self._send(message)
        elif not self._own and known.get(b"content-type", b"").startswith(b"text/html"):
            self._start = message
        else:
            message["headers"].append((b"content-security-policy", OWN_POLICY.encode()))
            await self._send(message)

    def _dress(self, message: Message) -> None:
        given = [(name.lower(), value) for name, value in message.get("headers", ())]
        kept = [(name, value) for name, value in given if not name.startswith(b"access-control-")]
        names = {name for name, _ in kept}
        more = {name: value for name, value in (ALWAYS | self._headers).items() if name not in names}
        message["headers"] = [*kept, *more.items()]


def _nowhere(request: Request) -> Response | None:
    """The refusal of a path that nothing here has."""
    path = request.scope["path"]
    raw = request.scope.get("raw_path", b"").lower()
    odd = ".." in path.split("/") or "\\" in path or "\0" in path or b"%2f" in raw or b"%5c" in raw
    if odd or not (
        path.startswith("/lote/")
        or EDITOR.fullmatch(path)
        or LIBRARY.fullmatch(path)
        or GRADIO.fullmatch(path)
    ):
        return Response("Not found.", 404)
    return None


def _refusal(request: Request, sentence: str, status: int, **places: int) -> Response:
    """A sentence in the person's language: text for a page, JSON for its script."""
    text = speak(request.headers.get("accept-language", ""))(sentence, **places)
    headers = {"Cache-Control": "no-store"}
    if request.scope["path"].startswith("/lote/"):
        return JSONResponse({"error": text}, status, headers)
    return Response(text, status, headers, "text/plain; charset=utf-8")


async def _body(request: Request, receive: Receive) -> bytes | None:
    """The whole body, None when it is too large."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > BODY_LIMIT:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)  # the client is gone: whoever reads on will see
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body which was read already, then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received


def _client(request: Request) -> str:
    """Whom guesses are counted for: an address, of IPv6 the network that one household has."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 6 and not address.ipv4_mapped:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _hostname(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")
