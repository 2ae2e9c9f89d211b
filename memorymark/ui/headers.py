"""What the server adds to Streamlit's answers, and what it does not answer.

Streamlit takes middleware where its server is made; see streamlit_app.py.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Streamlit's page needs inline styles and a script in its own index.html; the charts, eval.
_CONTENT = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ]
)
HEADERS = {
    b"content-security-policy": _CONTENT.encode(),
    b"x-frame-options": b"SAMEORIGIN",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"permissions-policy": b"camera=(), microphone=(), geolocation=()",
}
# Of no use to a visitor: they tell how many sessions there are and what they hold.
CLOSED = ("/_stcore/metrics", "/_stcore/script-health-check")


class SafeAnswers:
    """Adds the headers to every answer, and answers for what is closed.

    Args:
        app: What answers everything else.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [each for each in message["headers"] if each[0].lower() not in HEADERS]
                message = {**message, "headers": [*own, *HEADERS.items()]}
            await send(message)

        is_closed = scope["path"].rstrip("/").endswith(CLOSED)
        answer = PlainTextResponse("Not found", 404) if is_closed else self._app
        await answer(scope, receive, send_with_headers)


MIDDLEWARE = [Middleware(SafeAnswers)]
