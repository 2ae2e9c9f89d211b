from __future__ import annotations

import dataclasses
import subprocess
import sys

from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.analyze import AnalysisOptions, analyze_on, with_options
from memorymark.analysis.validate import validate_backward_on, validate_compile_on
from memorymark.records.config import TrainingConfig
from memorymark.report.sentences import (
    analysis_lines,
    backward_lines,
    compile_lines,
)
from memorymark.units import GIB, MIB

COSTS = {"price_per_hour": 1.29, "dataset_size": 10_000_000, "epochs": 3, "runs_per_year": 12}


def analysis(probe: FakeProbe | None = None, **options):
    probe = probe or FakeProbe(2 * GIB, 80 * MIB, target=simulated_target())
    return analyze_on(probe, FakeWorkload("bert"), TrainingConfig(), AnalysisOptions(**options))


def test_simulated_gains_are_said():
    probe = FakeProbe(50 * GIB, GIB, target=simulated_target(), oom_readings=True)
    lines = analysis_lines(analysis(probe))
    assert (
        "Try: Gradient checkpointing. Simulated: saves 768.0 MiB, "
        "batch size 1 still does not fit." in lines
    )


def test_lines_hold_the_figures_and_where_they_come_from():
    result = analysis(**COSTS)
    text = "\n".join(analysis_lines(result))
    for words in (
        f"Largest that fits  batch {result.max.batch_size}: ",
        f"Recommended        batch {result.optimal.batch_size}: ",
        "bert · NVIDIA A100 40GB (simulated) · fp32 · adamw · $1.29 per hour · ",
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
    assert "a tool that only runs the forward pass would say 1,920." in lines[-1]
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
        "Range              at the recommended batch, 18.00 to 19.00 GiB, depending on which cuDNN "
        "workspaces find room"
    )
