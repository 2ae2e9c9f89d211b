"""What the server adds to every answer, and what it does not answer."""

import asyncio

import pytest

from memorymark.ui.headers import HEADERS, SafeAnswers


async def streamlit(scope, receive, send):
    headers = [(b"content-type", b"text/html"), (b"X-Frame-Options", b"ALLOWALL")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"page"})


def answer(path):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {"type": "http", "path": path, "method": "GET", "headers": []}
    asyncio.run(SafeAnswers(streamlit)(scope, receive, send))
    return sent[0]["status"], sent[0]["headers"], sent[1]["body"]


@pytest.mark.parametrize("path", ["/", "/runs", "/_stcore/health", "/_stcore/metrics"])
def test_every_answer_carries_each_header_once(path):
    _, headers, _ = answer(path)
    names = [name.lower() for name, _ in headers]
    for name, value in HEADERS.items():
        assert names.count(name) == 1
        assert (name, value) in headers
    assert b"content-type" in names


@pytest.mark.parametrize("path", ["/_stcore/metrics", "/_stcore/metrics/", "/base/_stcore/metrics"])
def test_figures_about_sessions_are_closed(path):
    status, _, body = answer(path)
    assert (status, body) == (404, b"Not found")


def test_a_page_sends_nothing_elsewhere():
    policy = HEADERS[b"content-security-policy"].decode()
    for directive in ("connect-src", "form-action", "frame-ancestors", "base-uri"):
        assert f"{directive} 'self';" in f"{policy};"


def test_other_answers_are_streamlits_own():
    assert answer("/")[0] == 200 and answer("/_stcore/host-config")[2] == b"page"


def test_a_websocket_passes_as_it_is():
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, receive, send))

    asyncio.run(SafeAnswers(app)({"type": "websocket"}, "receive", "send"))
    assert seen == [({"type": "websocket"}, "receive", "send")]
