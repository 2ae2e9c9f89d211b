"""The fit of the constants of time, on steps that are made up."""

import dataclasses

import calibrate_time
import numpy as np
import pytest
import torch
from calibrate_time import BLACKWELL, Run, Runs, fit, report
from step_times import load

from memorymark.simulator.time.calibration import CALIBRATION
from memorymark.simulator.time.kernels import Kernel, Kind, stream

ROWS = [row for row in load()[:400] if row.gpu != BLACKWELL][:8]
MIB = 2**20
KERNELS = (
    stream(Kind.SOFTMAX, 4000 * MIB),
    Kernel(Kind.PRODUCT, torch.float16, 1, 400 * MIB, 8192, 8192, 8192),
)


def runs(scale=1.0, rows=ROWS):
    """Return steps of softmax and products whose published softmax takes so many times longer."""
    made = [Run(row, KERNELS, np.array([1.0 + n, 2.0])) for n, row in enumerate(rows)]
    slower = dataclasses.replace(CALIBRATION, softmax=CALIBRATION.softmax / scale)
    seconds = Runs(made).seconds(slower)
    return [
        dataclasses.replace(run, row=dataclasses.replace(run.row, seconds=float(published)))
        for run, published in zip(made, seconds, strict=True)
    ]


def test_runs_of_several_cards_are_priced_each_with_its_own_kernels():
    found = Runs(runs()).seconds(CALIBRATION)
    alone = [Runs([run]).seconds(CALIBRATION)[0] for run in runs()]
    assert found == pytest.approx(alone) and found == pytest.approx(
        [run.row.seconds for run in runs()]
    )


def test_a_constant_moves_where_rows_ask_for_it_and_others_stay():
    found = fit(runs(scale=1.5))
    assert found.softmax < 0.95 * CALIBRATION.softmax
    assert found.pool == pytest.approx(CALIBRATION.pool)
    assert fit(runs()).softmax == pytest.approx(CALIBRATION.softmax, rel=0.01)


def test_the_newest_generation_has_a_constant_of_its_own_that_no_other_card_moves():
    assert fit(runs()).geforce_blackwell_reach == 1.0
    on_newest = [dataclasses.replace(row, gpu=BLACKWELL) for row in ROWS]
    slower = [
        dataclasses.replace(run, row=dataclasses.replace(run.row, seconds=1.2 * run.row.seconds))
        for run in runs(rows=on_newest)
    ]
    found = fit([*runs(), *slower])
    assert found.geforce_blackwell_reach < 0.9 * CALIBRATION.geforce_blackwell_reach
    assert found.softmax == pytest.approx(CALIBRATION.softmax, rel=0.01)


def test_nothing_is_printed_of_no_runs(capsys):
    report("card apart", [], CALIBRATION)
    assert capsys.readouterr().out == ""
    report("all", runs(), CALIBRATION)
    assert "8 rows, median error 0.0%" in capsys.readouterr().out


def test_what_the_rows_say_nothing_of_is_not_fitted():
    assert calibrate_time.TAKEN.isdisjoint(calibrate_time.FITTED)
    assert {"launch_seconds", "hopper_flops_per_joule"} <= calibrate_time.TAKEN
