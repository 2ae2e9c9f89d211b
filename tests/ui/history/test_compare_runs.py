"""Two or more runs together: what they differ in, as numbers, and what cannot be compared."""

import pytest
from test_runs_view import open_runs, save, tick

from memorymark.records.request import Request, RequestKind
from memorymark.service.execute import execute
from memorymark.service.history import RunHistory
from memorymark.settings import load_settings


def run(kind, gpu="a100-40gb", batch_size=None):
    request = Request(RequestKind(kind), "bert", gpu=gpu, batch_size=batch_size)
    record = execute(request, settings=load_settings()).to_dict()
    return RunHistory().save(kind, record, request=request.to_dict())


def compare(app, *run_ids):
    open_runs(app)
    tick(app, *run_ids)
    app.run()
    assert not app.exception
    return app


def said(app):
    return " ".join(element.value for element in (*app.info, *app.markdown, *app.subheader))


def test_analyses_are_compared_in_one_chart_each_and_one_table(app):
    ids = [run("analysis"), run("analysis"), run("analysis")]
    compare(app, *ids)
    assert "3 analyses compared" in said(app)
    table = app.dataframe[1].value
    assert set(table["Id"]) == set(ids)
    for name in ("Largest that fits", "Recommended", "Memory at recommended (GiB)",
                 "Samples/s at recommended"):  # fmt: skip
        assert table[name].dtype.kind in "if"
    assert "Precision" not in table  # they do not differ in it
    charts = [element for element in app.main if element.type == "vega_lite_chart"]
    assert len(charts) in (0, 2)  # opaque to some versions of AppTest


def test_validations_are_compared_in_a_table(app):
    ids = [run("backward", batch_size=8), run("backward", batch_size=16)]
    compare(app, *ids)
    table = app.dataframe[1].value
    assert set(table["Batch size"]) == {8, 16}
    assert table["Training step (GiB)"].dtype.kind == "f"


def test_what_cannot_be_compared_is_said(app):
    analysis, backward = run("analysis"), run("backward", batch_size=8)
    damaged = save("mine")
    compare(app, analysis, backward, damaged)
    text = said(app) + " ".join(element.value for element in app.error)
    assert f"Run {analysis} is the only finished one of its kind" in text
    assert f"Run {backward} is the only finished one of its kind" in text
    assert damaged in text
    assert len(app.dataframe) == 1


@pytest.mark.parametrize("count", [7])
def test_more_than_have_a_colour_are_not_drawn(app, count):
    ids = [run("analysis") for _ in range(count)]
    compare(app, *ids)
    assert "The first 6 of the 7 selected runs are compared." in said(app)
    assert len(app.dataframe[1].value) == 6
