"""Sessions on the page: a run and what its sliders say, and the setup that asks for one."""

from __future__ import annotations

import pytest

import memorymark
from memorymark.records.request import Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.service.history import RunHistory
from memorymark.workloads.huggingface import HuggingFaceWorkload

SERVING = ServingConfig(context_tokens=256, output_tokens=4, policy="swap")


@pytest.fixture(scope="module")
def record():
    from transformers import GPT2Config

    workload = HuggingFaceWorkload("gpt2", GPT2Config(n_layer=2))
    return memorymark.sessions(
        workload, SERVING, SessionPlan(sessions=3), gpu="l4", memory_budget="1GiB"
    ).to_dict()


def opened(app, record):
    request = Request(
        RequestKind.SESSIONS, "gpt2", gpu="l4", serving=SERVING, plan=SessionPlan(sessions=3),
        memory_budget="1GiB",
    )  # fmt: skip
    app.query_params["run"] = RunHistory().save("sessions", record, request=request.to_dict())
    app.switch_page("pages/sessions.py").run()
    assert not app.exception
    return app


def texts(app):
    return " ".join(each.value for each in (*app.subheader, *app.markdown, *app.caption))


def test_a_run_is_drawn_and_its_sliders_redraw_the_demand(app, record):
    opened(app, record)
    shown = texts(app)
    assert "NOT PROVEN" in shown and "caches swapped" in shown and "Simulated for" in shown
    assert "3 sessions of 256 tokens need" in shown and "which fits" in shown
    (sessions,) = [each for each in app.slider if each.label == "Sessions"]
    sessions.set_value(sessions.max).run()
    assert not app.exception and "which does not fit" in texts(app)


def test_the_cost_follows_the_price_that_the_visitor_sets(app, record):
    opened(app, record)

    def cost():
        (found,) = [each for each in app.metric if each.label == "Per million new tokens"]
        return float(found.value.replace("\\", "").replace("$", "")), found.delta

    before, _ = cost()
    (price,) = [each for each in app.sidebar.slider if each.label.startswith("GPU price")]
    price.set_value(10 * price.value).run()
    after, told = cost()
    assert after == pytest.approx(10 * before, rel=0.05) and "per hour" in told


def test_no_caption_of_a_small_model_is_all_zeros(app, record):
    opened(app, record)
    assert "MiB" in texts(app) and " 0.0" not in texts(app)


def test_where_the_sliders_will_be_is_said_before_there_is_a_result(app):
    app.switch_page("pages/sessions.py").run()
    assert "Sliders of sessions and context" in texts(app)


def test_opening_a_run_fills_the_setup_and_a_change_marks_it(app, record):
    opened(app, record)
    served = app.session_state["setup"]["served"]
    assert (served["context_tokens"], served["policy"], served["sessions"]) == (256, "swap", 3)
    assert not app.warning
    (context,) = [each for each in app.number_input if each.label == "Context"]
    context.set_value(512).run()
    assert "context 256 (now 512)" in app.warning[0].value


def test_a_press_asks_for_sessions(app, record, monkeypatch):
    from memorymark.service.access import AppService

    asked = []

    def start(self, request, visitor):
        asked.append(request)
        raise memorymark.MemoryMarkError("Not now.")

    monkeypatch.setattr(AppService, "start", start)
    opened(app, record)
    (button,) = [each for each in app.button if each.label == "Run sessions"]
    button.click().run()
    assert asked[0].serving == SERVING and asked[0].plan.sessions == 3 and asked[0].gpu == "l4"
    assert asked[0].memory_budget == 1024**3
