import dataclasses
import json

from fakes import FakeProbe, FakeWorkload

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.compare import comparison_of
from memorymark.gpus.catalogue import find_gpu
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Plan
from memorymark.records.trial import Source, Target
from memorymark.units import GIB

PLAN = Plan(dataset_size=1_000_000, epochs=2, runs_per_year=10)


def analysis(key, *, seconds_per_sample=0.001, capacity=8 * GIB, error=None):
    gpu = find_gpu(key)
    target = Target(gpu.name, "simulated", Source.SIMULATED, capacity, gpu.total_bytes, key)
    probe = FakeProbe(
        target=target, seconds_per_sample=seconds_per_sample, errors={8: error} if error else {}
    )
    options = AnalysisOptions(price_per_hour=gpu.usd_per_hour)
    return analyze_on(probe, FakeWorkload(), TrainingConfig(), options)


def compared(*analyses):
    pairs = [(find_gpu(analysis.target.gpu_key), analysis) for analysis in analyses]
    return comparison_of(pairs, PLAN)


def test_the_cheapest_comes_first_and_unknown_last():
    slow, fast = analysis("a10", seconds_per_sample=0.1), analysis("a100-40gb")
    unpriced = analysis("a10g")
    result = compared(slow, unpriced, fast)
    assert [row.gpu for row in result.gpus] == ["a100-40gb", "a10", "a10g"]
    first, _, last = result.gpus
    assert first.efficient and first.cost.usd_per_run > 0
    assert first.cost.usd_per_year == 10 * first.cost.usd_per_run
    assert first.optimal_batch_size == fast.optimal.batch_size
    assert first.price_source == find_gpu("a100-40gb").price_source
    assert last.usd_per_hour is None and last.cost.usd_per_run is None and not last.efficient


def test_each_row_says_where_its_figures_come_from():
    measured = analysis("a10")
    target = dataclasses.replace(measured.target, source=Source.MEASURED)
    measured = dataclasses.replace(measured, target=target, run_id="ab12cd34")
    rows = {row.gpu: row for row in compared(measured, analysis("l4")).gpus}
    assert (rows["a10"].source, rows["a10"].run_id) == ("measured", "ab12cd34")
    assert (rows["l4"].source, rows["l4"].run_id) == ("simulated", None)
    assert compared(measured, analysis("l4")).source == "simulated"
    assert compared(measured).source == "measured"


def test_prices_are_the_catalogues_whatever_the_analyses_were_told():
    told = analysis("a10")
    told = dataclasses.replace(told, options=dataclasses.replace(told.options, price_per_hour=99.0))
    assert compared(told).gpus[0].usd_per_hour == find_gpu("a10").usd_per_hour


def test_what_went_wrong_is_said():
    small, broken = analysis("t4", capacity=GIB), analysis("l4", error="shapes differ")
    result = compared(small, broken)
    assert "NVIDIA T4: not even the smallest batch fits." in result.findings
    assert any("NVIDIA L4" in finding and "shapes differ" in finding for finding in result.findings)
    assert [row.optimal_batch_size for row in result.gpus] == [None, None]


def test_the_record_is_json():
    values = json.loads(json.dumps(compared(analysis("a10")).to_dict()))
    assert values["model_name"] == "fake" and values["source"] == "simulated"
    assert values["gpus"][0]["gpu"] == "a10"
    assert values["config"]["precision"] == "fp32"
