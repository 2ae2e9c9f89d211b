"""What is said while the engine works, and after Ctrl-C."""

import signal
import weakref

import pytest
from fakes import FakeProbe, FakeWorkload, measured_target

from memorymark.cli.live import partial_sentence, trial_row, work
from memorymark.errors import Cancelled
from memorymark.records.config import TrainingConfig
from memorymark.records.event import Event, EventKind
from memorymark.records.trial import Stage, Trial
from memorymark.units import GIB
from memorymark.workloads.trial_spec import TrialSpec


def trial(batch_size: int, stage: Stage = Stage.STEP, **how) -> Trial:
    probe = FakeProbe(target=measured_target(8 * GIB), **how)
    return probe.run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), batch_size, stage))


@pytest.mark.parametrize(
    ("batch_sizes", "said"),
    [
        ((), "Stopped before the first trial finished; there is no result."),
        ((8,), "Stopped after 1 trial. Partial result: batch size 8 fits."),
        ((500, 400), "Stopped after 2 trials. Partial result: no batch size fits, "
                     "batch size 400 is out of memory."),
        ((8, 500, 64), "Stopped after 3 trials. Partial result: batch size 64 fits, "
                       "batch size 500 is out of memory."),
    ],
)  # fmt: skip
def test_what_is_known_when_the_work_is_stopped(batch_sizes, said):
    assert partial_sentence([trial(batch_size) for batch_size in batch_sizes]) == said


def test_rows_of_trials():
    assert trial_row(trial(16)).split() == [
        "batch", "16", "2.50", "GiB", "444", "samples/s", "[green]ok[/]"
    ]  # fmt: skip
    assert trial_row(trial(500)).split() == ["batch", "500", "—", "[yellow]out", "of", "memory[/]"]
    assert trial_row(trial(8, errors={8: "No."})).endswith("[red]error[/]")
    assert trial_row(trial(8, Stage.BACKWARD)).endswith(f"ok[/], {Stage.BACKWARD}")


def test_events_and_prints_go_to_standard_error_alone(capsys):
    with work() as progress:
        print("the model says hello")  # noqa: T201
        progress(Event(EventKind.PHASE, "Searching"))
        progress(Event(EventKind.TRIAL_FINISHED, "done", trial=trial(16)))
        progress(Event(EventKind.NOTE, "[not] markup"))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert (lines[0], lines[1], lines[3]) == ("the model says hello", "Searching", "[not] markup")
    assert lines[2].split()[-1] == "ok"
    assert [seen.batch_size for seen in progress.trials] == [16]


def test_ctrl_c_tells_of_the_trials_so_far():
    with pytest.raises(Cancelled, match="batch size 16 fits"), work() as progress:
        progress(Event(EventKind.TRIAL_FINISHED, "done", trial=trial(16)))
        raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_python_drops_stops_the_work_at_its_next_event():
    """Python drops what is raised while a weak reference's callback runs."""
    went_on = []
    with pytest.raises(Cancelled, match="batch size 8 fits"), work() as progress:
        progress(Event(EventKind.TRIAL_FINISHED, "batch 8", trial=trial(8)))
        watched = Watched()
        gone = weakref.ref(watched, lambda _: signal.raise_signal(signal.SIGINT))
        del watched
        assert gone() is None
        progress(Event(EventKind.TRIAL_STARTED, "batch 16"))
        went_on.append(16)
    assert went_on == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Watched:
    pass
