from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.analyze import AnalysisOptions, AnalysisStopped, analyze_on, with_options
from memorymark.analysis.validate import validate_backward_on, validate_compile_on
from memorymark.records.config import TrainingConfig
from memorymark.report.sentences import (
    analysis_lines,
    backward_lines,
    compile_lines,
    verdict,
)
from memorymark.units import GIB, MIB

COSTS = {"price_per_hour": 1.29, "dataset_size": 10_000_000, "epochs": 3, "runs_per_year": 12}


def analysis(probe: FakeProbe | None = None, **options):
    probe = probe or FakeProbe(2 * GIB, 80 * MIB, target=simulated_target())
    return analyze_on(probe, FakeWorkload("bert"), TrainingConfig(), AnalysisOptions(**options))


def test_the_verdict_is_one_sentence_with_all_that_matters():
    result = analysis(**COSTS)
    saved = result.costs.usd_per_run
    assert verdict(result) == (
        f"bert on NVIDIA A100 40GB (simulated): optimal batch size {result.optimal.batch_size}; "
        "current batch size 16 leaves 92 % of the memory unused; the larger batch has "
        f"{result.speedup:.2g} times the throughput and saves ${saved:.2f} per run."
    )


def test_measured_is_said():
    assert " on Fake GPU (measured): " in verdict(analysis(FakeProbe()))


def test_a_current_batch_that_is_optimal():
    result = analysis()
    same = with_options(result, current_batch_size=result.optimal.batch_size)
    assert verdict(same).endswith("; same as the current one.")


def test_a_current_batch_that_does_not_fit():
    result = analysis(current_batch_size=5000)
    assert "; current batch size 5000 does not fit." in verdict(result)
    assert any("Current" in line and "does not fit" in line for line in analysis_lines(result))


def test_a_smaller_batch_that_is_optimal_is_not_called_larger():
    result = analysis(FakeProbe(overhead_seconds=0.0), current_batch_size=184)
    assert "the smaller batch has 1 times the throughput" in verdict(result)


def test_unknown_throughput_leaves_the_gain_out():
    result = analysis(FakeProbe(seconds_per_sample=None))
    assert "times the throughput" not in verdict(result)
    assert "Speed-up" not in "\n".join(analysis_lines(result))


def test_a_dearer_optimum_says_so():
    result = analysis(**COSTS)
    slower = with_options(result, current_batch_size=result.max_batch_size, headroom=0.9)
    assert slower.costs.usd_per_run < 0
    assert "costs an extra $" in verdict(slower)


def test_nothing_fits():
    result = analysis(FakeProbe(9 * GIB))
    assert verdict(result) == (
        "bert on Fake GPU (measured): out of memory even at batch size 1; capacity 8.00 GiB."
    )
    assert any(line.startswith("Try: ") for line in analysis_lines(result))


def test_simulated_gains_are_said():
    probe = FakeProbe(50 * GIB, GIB, target=simulated_target(), oom_readings=True)
    lines = analysis_lines(analysis(probe))
    assert (
        "Try: Turn gradient checkpointing on. Simulated: saves 768.0 MiB, "
        "batch size 1 still does not fit." in lines
    )


def test_an_error_is_said():
    assert verdict(analysis(FakeProbe(errors={8: "No kernel."}))) == (
        "bert on Fake GPU (measured): no batch size found. No kernel."
    )


def test_a_partial_result_is_said():
    with pytest.raises(AnalysisStopped) as caught:
        analysis(FakeProbe(raises={3: KeyboardInterrupt()}))
    assert "Stopped early: Cancelled by the user." in verdict(caught.value.partial)


def test_lines_hold_the_figures_and_where_they_come_from():
    result = analysis(**COSTS)
    text = "\n".join(analysis_lines(result))
    for words in (
        f"Max        batch size {result.max.batch_size}: ",
        "simulated throughput",
        "per million samples",
        "per year",
        "Simulated for NVIDIA A100 40GB",
        "torch 2.15.0",
        result.run_id,
    ):
        assert words in text


def test_interpolated_figures_are_said():
    text = "\n".join(analysis_lines(with_options(analysis(), current_batch_size=100)))
    assert "(interpolated)" in text


def test_validations_as_lines():
    probe, workload, config = FakeProbe(), FakeWorkload(), TrainingConfig()
    lines = backward_lines(validate_backward_on(probe, workload, config, 16))
    assert lines[0] == "PASS: fake · Fake GPU (measured) · batch size 16 · fp32 · adamw"
    assert "a forward-only tool would recommend 1920" in lines[-1]
    lines = compile_lines(validate_compile_on(probe, workload, config, 16))
    assert lines[0].startswith("PASS: ")
    assert lines[-1].startswith("  compiled: batch 16: ")


def test_nothing_up_to_the_report_needs_torch():
    script = (
        "import sys, memorymark.report.sentences, memorymark.records.costs\n"
        "assert not {'torch', 'transformers', 'streamlit', 'altair'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_range_is_said_once_for_the_optimal_batch():
    result = analysis()
    assert not any("cuDNN" in line for line in analysis_lines(result))
    trials = [
        dataclasses.replace(
            trial, peak_reserved_low_bytes=18 * GIB, peak_reserved_high_bytes=19 * GIB
        )
        for trial in result.trials
    ]
    ranged = with_options(dataclasses.replace(result, trials=tuple(trials)))
    (line,) = [line for line in analysis_lines(ranged) if "cuDNN" in line]
    assert line == (
        "Range      at the optimal batch size, 18.00 to 19.00 GiB, depending on which cuDNN "
        "workspaces find room"
    )
