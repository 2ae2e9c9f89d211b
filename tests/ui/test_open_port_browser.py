"""The open port in a real browser: hostile links, safe headers, what is not answered."""

import http.client
from urllib.parse import quote, urlsplit

import pytest
from app_server import WAIT, browser, settled

from memorymark.service.history import RunHistory

pytestmark = pytest.mark.browser
LINK = (
    "![x](http://127.0.0.1:9/a.png) [**Session expired: sign in here**](http://127.0.0.1:9/) "
    "http://evil.example :red[red] $a^2$"
)
# Is set before the page's own scripts run.
NOTE_REFUSED = """
window.refused = [];
addEventListener('securitypolicyviolation', event =>
    window.refused.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest.fixture(scope="module")
def page():
    with browser() as opened:
        page = opened.new_page()
        page.add_init_script(NOTE_REFUSED)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.said = []
        page.on("console", lambda message: page.said.append((message.type, message.text)))
        yield page


def test_a_link_brings_no_markup_and_fetches_nothing(address, page):
    page.goto(f"{address}/?run={quote(LINK)}&precision={quote(LINK)}")
    page.get_by_text("There is no run").first.wait_for(timeout=WAIT)
    settled(page)
    said = page.locator("[data-testid=stAlertContainer]").all()
    read = [each.inner_text().replace("\u2060", "") for each in said]
    assert any(LINK[:48] in text for text in read), read
    for each in said:
        assert each.locator("a, img, strong, .katex, [style*=color] span").count() == 0
    assert {urlsplit(url).netloc for url in page.asked} == {urlsplit(address).netloc}


def test_the_policy_of_the_page_refuses_nothing_of_ours(address, server_home, page):
    RunHistory(server_home / "runs.sqlite3").save("analysis", {"model_name": LINK, "device": LINK})
    for path in ("", "runs", "cost_comparison", "backward_validation"):
        page.goto(f"{address}/{path}")
        page.get_by_role("slider", name="GPU price").wait_for(timeout=WAIT)
        page.wait_for_timeout(300)
        assert page.evaluate("window.refused") == []
    page.get_by_role("button", name="Validate the backward pass").click()
    page.get_by_text("What a tool that only runs the forward pass").wait_for(timeout=WAIT)
    page.locator(
        "[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg"
    ).first.wait_for(timeout=WAIT)
    settled(page)
    assert page.evaluate("window.refused") == []
    # Streamlit asks for its own address where a deep link could have put it.
    assert [text for kind, text in page.said if "status of 404" not in text and kind != "log"] == []


def test_an_image_from_elsewhere_is_refused_even_if_it_came_in(address, page):
    page.goto(address)
    page.get_by_role("slider", name="GPU price").wait_for(timeout=WAIT)
    page.evaluate("new Image().src = 'http://127.0.0.1:9/b.png'")
    page.wait_for_function("window.refused.length", timeout=WAIT)
    assert page.evaluate("window.refused") == ["img-src http://127.0.0.1:9/b.png"]


@pytest.mark.parametrize("path", ["/_stcore/metrics", "//_stcore/metrics", "/_stcore/%6detrics"])
def test_figures_about_sessions_are_closed(address, path):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 404
    assert answer.getheader("x-frame-options") == "SAMEORIGIN"
    assert "frame-ancestors 'self'" in answer.getheader("content-security-policy")
    connection.close()


@pytest.mark.parametrize(
    "path", ["/app/static/../../streamlit_app.py", "/static/..%2f..%2fpyproject.toml",
             "/component/x/../../../etc/passwd", "/media/../../etc/passwd"],
)  # fmt: skip
def test_no_file_of_the_machine_is_served(address, path):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    connection.request("GET", path)
    body = connection.getresponse().read()
    assert not any(secret in body for secret in (b"root:", b"[project]", b"def draw"))
    connection.close()
