"""The public API as an ASGI application: REST in, RPC out.

Everything about a route comes from the contract; this module calls the steps in their order. Each answer of the API,
also one that the gateway gives by itself, has the envelope and `x-request-id`; probes get constant answers.
"""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path

import structlog
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from livestream_gateway.contract import Rpc, every_route
from livestream_gateway.endpoint import Endpoint
from livestream_gateway.envelope import Answer, Refusal, build_success, to_refusal
from livestream_gateway.exchange import ClientGone, RequestHeaders, WhileConnected, respond
from livestream_gateway.invoker import Invoker, Metadata, RpcError
from livestream_gateway.media import PREFIX as MEDIA_PREFIX
from livestream_gateway.media import serve_media
from livestream_gateway.routes import NoSuchPath, Router, WrongVerb
from livestream_gateway.settings import GatewaySettings
from livestream_gateway.uploads import Upload, Uploads

_CORS_HEADERS = ("authorization", "content-type", "idempotency-key", "last-event-id", "traceparent", "x-request-id")

HEALTHY = Answer(200, b'{"status":"ok"}')
UNHEALTHY = Answer(503, b'{"status":"unavailable"}', ((b"retry-after", b"1"),))

_log = structlog.get_logger("livestream.gateway")


def create_app(
    invoker: Invoker,
    *,
    settings: GatewaySettings,
    ready: Callable[[], bool],
    media_directory: Path | None,
    extra: Mapping[str, ASGIApp] | None = None,
) -> ASGIApp:
    """The application.

    `ready` says whether the service behind `invoker` can work now. Files below `media_directory`, if there is one, are
    served under `/media/`. `extra` adds applications of other kinds under an exact path, or below one that ends in `/`.
    """
    pages = {"/healthz": _make_probe(lambda: True), "/readyz": _make_probe(ready), **(extra or {})}
    if media_directory is not None:
        pages[MEDIA_PREFIX] = serve_media(media_directory)
    gateway = _Gateway(Router(map(Endpoint, every_route())), invoker, pages, settings)
    if not settings.cors_origins:
        return gateway
    return CORSMiddleware(
        gateway,
        allow_origins=settings.cors_origins,
        allow_methods=("DELETE", "GET", "PATCH", "POST", "PUT"),
        allow_headers=_CORS_HEADERS,
        expose_headers=("retry-after", "x-request-id"),
    )


class _Gateway:
    def __init__(
        self, router: Router, invoker: Invoker, pages: Mapping[str, ASGIApp], settings: GatewaySettings
    ) -> None:
        self._router = router
        self._invoker = invoker
        self._pages = pages
        self._uploads = Uploads(most_bytes=settings.max_upload_bytes, most_per_caller=settings.max_uploads_per_caller)
        self._prefixes = tuple(path for path in pages if path.endswith("/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if page := self._find_page(scope["path"]):
            await page(scope, receive, send)
            return
        headers = RequestHeaders(scope["headers"])
        try:
            answer = await self._answer(scope, headers, receive, send)
        except Refusal as refusal:
            answer = refusal.answer
        except ClientGone:
            return
        except Exception:  # noqa: BLE001 - whatever it is, the client gets an envelope
            _log.exception("request failed", request_id=headers.request_id.decode())
            answer = Refusal(500).answer
        if answer:
            await respond(scope, send, answer, headers.request_id)

    def _find_page(self, path: str) -> ASGIApp | None:
        if page := self._pages.get(path):
            return page
        return next((self._pages[prefix] for prefix in self._prefixes if path.startswith(prefix)), None)

    async def _answer(self, scope: Scope, headers: RequestHeaders, receive: Receive, send: Send) -> Answer | None:
        """The answer; None if it was a stream of events, and is sent."""
        try:
            endpoint, variables = self._router.find(scope["method"], scope["path"])
        except NoSuchPath:
            raise Refusal(404) from None
        except WrongVerb as wrong:
            raise Refusal(405, headers=((b"allow", ", ".join(wrong.allowed).encode()),)) from None
        route = endpoint.route
        rpc, peer = route.rpc, _format_peer(scope)
        metadata = headers.build_metadata(needs_token=route.needs_token)
        with Upload(self._uploads, lambda: self._find_caller(rpc, metadata, peer)) as upload:
            # The message, which may hold a file, gets no name here: so it lives no longer than the invoker needs it.
            reading = endpoint.read_request(headers, scope["query_string"], variables, receive, upload)
            if endpoint.events:
                stream = self._invoker.stream(rpc, await reading, metadata, rpc.timeout, peer)
                async with aclosing(stream) as answers:
                    with WhileConnected(receive):
                        await endpoint.events.respond(scope, send, answers, headers.request_id)
                return None
            calling = self._invoker(rpc, await reading, metadata, rpc.timeout, peer)
            try:
                with WhileConnected(receive):
                    response = await calling
            except RpcError as error:
                raise to_refusal(error, rpc.method.input_type) from None
            return build_success(route.status, endpoint.render(response))

    async def _find_caller(self, rpc: Rpc, metadata: Metadata, peer: str) -> str:
        """Who may call `rpc` now: the caller's id, or the peer of one who needs none. Raises Refusal."""
        try:
            return await self._invoker.admit(rpc, metadata, peer) or peer
        except RpcError as error:
            raise to_refusal(error, rpc.method.input_type) from None


def _format_peer(scope: Scope) -> str:
    """The client's address as gRPC writes it; a proxy's word for it was judged before this application."""
    if not scope.get("client"):
        return "unix:"
    host, port = scope["client"]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _make_probe(healthy: Callable[[], bool]) -> ASGIApp:
    """Answers GET and HEAD with one of two constant bodies: whoever may ask learns nothing else."""

    async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await respond(scope, send, Refusal(405, headers=((b"allow", b"GET, HEAD"),)).answer)
        elif healthy():
            await respond(scope, send, HEALTHY)
        else:
            await respond(scope, send, UNHEALTHY)

    return answer
