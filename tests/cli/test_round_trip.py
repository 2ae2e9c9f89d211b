"""The command that a request prints asks for the same request again."""

from __future__ import annotations

import dataclasses
import shlex
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stand_in_engine import StandInEngine, install

from memorymark.cli import main
from memorymark.errors import NotAvailable
from memorymark.gpus.catalogue import load_catalogue
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.arc_plan import ARC_OPTIONS, TRAINED_BY, ArcPlan
from memorymark.records.config import MAX_BATCH_SIZE, TrainingConfig
from memorymark.records.generation_plan import SERVED, GenerationPlan
from memorymark.records.option import Option, options_of
from memorymark.records.prices import PriceKind
from memorymark.records.request import COMPARED, LEVERED, Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.records.training_plan import TrainingPlan

GPUS = sorted(load_catalogue())
WITH_A_COMMAND = sorted(set(RequestKind) - {RequestKind.FITS})
TEXTS = {
    "freeze": ["*embeddings*", "encoder.*.weight,head.[ab]?", "*"],
    "lengths": ["32:5,512:1", "64:1"],
    "length_range": [None],  # of the two, one may be given
    "prompt": ["Once upon", 'it\'s "so"', "--stream"],
    "image": ["a cat.png"],
    "audio": ["/tmp/a.wav"],
    "blend": ["gpt2-bytes", "hf:a folder"],
    "data": ["a folder"],
    "checkpoint": ["out"],
    "tokenizer": ["bytes", "a folder"],
    "eval_data": ["b.txt"],
    "time_budget": ["2h", "90s"],
}
# Without a second model, there is no share of it.
ALONE = tuple(name for name in options_of(GenerationPlan) if not name.startswith("blend"))
# One length of the three, and to resume a folder is needed.
PLANNED = tuple(
    name for name in options_of(TrainingPlan) if name not in ("epochs", "tokens", "resume")
)
TRAINING = (RequestKind.TRAIN, RequestKind.COMPARE_TRAINING)
SIMULATED = (RequestKind.ANALYSIS, RequestKind.BACKWARD, RequestKind.LEVERS)
SERVING = (RequestKind.SESSIONS, RequestKind.GENERATE, RequestKind.ARC)
PRICED = (RequestKind.ANALYSIS, RequestKind.COMPARISON, RequestKind.LEVERS)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> StandInEngine:
    """Note the requests; its answer is an error, for there is nothing to wait for."""
    stand_in = install(monkeypatch)
    stand_in.raises = NotAvailable("Only the request is looked at.")
    return stand_in


def values(option: Option) -> st.SearchStrategy[Any]:
    """All that an option accepts; its default, so that a command has some of all options."""
    if issubclass(option.kind, StrEnum):
        found = st.sampled_from(option.choices)
    elif option.kind is bool:
        found = st.booleans()
    elif option.kind is str:
        found = st.sampled_from(TEXTS[option.name])
    else:
        ends = {"min_value": option.smallest, "max_value": option.largest}
        kinds = {int: st.integers(**ends), float: st.floats(**ends, allow_infinity=False)}
        found = st.one_of(*(kinds[kind] for kind in option.types))
    return st.one_of(st.just(option.default), found)


def records(kind: type, names: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    known = options_of(kind)
    return st.builds(kind, **{name: values(known[name]) for name in names or known})


def targets(kind: RequestKind) -> st.SearchStrategy[dict[str, str]]:
    if kind is RequestKind.ESTIMATE:
        return st.builds(lambda name: {"gpu": name}, st.sampled_from(GPUS))
    found = [st.just({})]
    if kind is not RequestKind.COMPARISON:
        devices = ["cuda:1"] if kind is RequestKind.LEVERS else ["cpu", "cuda:1"]
        found += [st.builds(lambda name: {"device": name}, st.sampled_from(devices))]
    if kind in SIMULATED:
        found += [st.builds(lambda name: {"gpu": name}, st.sampled_from(GPUS))]
    return st.one_of(found)


@st.composite
def trained(draw: st.DrawFn, kind: RequestKind) -> dict[str, Any]:
    """What a request of a real training says of it."""
    found: dict[str, Any] = {}
    if kind in TRAINING:
        found["training"] = draw(records(TrainingPlan, PLANNED))
    if kind is RequestKind.COMPARE_TRAINING:
        found["other_model"] = draw(st.sampled_from(["gpt2", "hf:other"]))
    if kind is RequestKind.ARC:
        either = draw(st.sampled_from([("data",), ARC_OPTIONS]))
        found["arc"] = draw(records(ArcPlan, either))
    return found


@st.composite
def requests(draw: st.DrawFn) -> Request:
    kind = draw(st.sampled_from(WITH_A_COMMAND))
    more = draw(targets(kind))
    options = {RequestKind.COMPARISON: COMPARED, RequestKind.LEVERS: LEVERED}
    if kind in PRICED:
        more["options"] = draw(records(AnalysisOptions, options.get(kind, ())))
        more["prices"] = draw(st.dictionaries(st.sampled_from(GPUS), st.floats(0, 10**9)))
        more["price_kind"] = draw(st.sampled_from([None, *PriceKind]))
        more["live_prices"] = draw(st.booleans())
    elif kind not in SERVING:
        more["batch_size"] = draw(st.integers(1, MAX_BATCH_SIZE))
    if kind is RequestKind.GENERATE:
        more["serving"] = draw(records(ServingConfig, SERVED))
        second = draw(values(options_of(GenerationPlan)["blend"]))
        share = values(options_of(GenerationPlan)["blend_share"])
        blended = {"blend": second, "blend_share": draw(share)} if second else {}
        plan = draw(records(GenerationPlan, ALONE))
        more["generation"] = dataclasses.replace(plan, **blended)
    more |= draw(trained(kind))
    if kind is RequestKind.COMPARISON:
        more["gpus"] = draw(st.lists(st.sampled_from(GPUS), unique=True).map(tuple))
    more["memory_budget"] = draw(st.none() | st.integers(1, 2**40))
    model = draw(st.sampled_from(["bert", "hf:a folder", "torchvision:vit_b_16"]))
    config = TrainingConfig() if kind in SERVING else draw(records(TrainingConfig))
    if kind is RequestKind.ARC:
        config = draw(records(TrainingConfig, TRAINED_BY))
    return Request(kind, model, config, **more)


@given(asked=requests())
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_command_asks_for_the_request_that_printed_it(
    engine: StandInEngine, asked: Request
) -> None:
    engine.requests.clear()
    code = main(shlex.split(asked.command())[1:])
    assert (code, engine.requests) == (1, [asked]), asked.command()
    assert engine.requests[0].to_dict() == asked.to_dict()


@pytest.mark.parametrize("kind", [RequestKind.ANALYSIS, RequestKind.COMPARISON])
@pytest.mark.parametrize("runs", [0, 0.5, 12, 123_456.789, 10**9])
def test_runs_a_year_need_not_be_whole(
    engine: StandInEngine, kind: RequestKind, runs: float
) -> None:
    asked = Request(kind, "bert", options=AnalysisOptions(runs_per_year=runs))
    main(shlex.split(asked.command())[1:])
    (given_back,) = engine.requests
    assert given_back == asked
    assert repr(given_back.options.runs_per_year) == repr(runs)
