from __future__ import annotations

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

from memorymark.analysis.levers.advice import possible_changes, with_gains
from memorymark.analysis.levers.trying import Attempts, needed_bytes
from memorymark.analysis.reporter import Reporter
from memorymark.errors import Cancelled, MissingPackage
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, ignore
from memorymark.units import GIB
from memorymark.workloads.trial_spec import TrialSpec


def test_changes_that_are_made_already_are_not_advised():
    config = TrainingConfig(
        gradient_checkpointing=True, precision="bf16", optimizer="sgd", seq_len=16
    )
    fields = {name for advice in possible_changes(config) for name in advice.change}
    assert not fields & {"gradient_checkpointing", "precision", "optimizer", "seq_len"}
    assert possible_changes(config)[-1].change == {}


def test_images_are_made_smaller_and_texts_shorter():
    images = possible_changes(TrainingConfig(task="image-classification", image_size=224))
    assert {"image_size": 112} in [advice.change for advice in images]
    texts = possible_changes(TrainingConfig(seq_len=512))
    assert {"seq_len": 256} in [advice.change for advice in texts]
    heard = possible_changes(TrainingConfig(task="audio-classification", audio_seconds=10))
    assert {"audio_seconds": 5} in [advice.change for advice in heard]


def test_images_and_texts_are_not_made_too_small():
    small = possible_changes(TrainingConfig(task="image-classification", image_size=126))
    assert not any("image_size" in advice.change for advice in small) and len(small) > 3
    short = possible_changes(TrainingConfig(seq_len=31))
    assert not any("seq_len" in advice.change for advice in short) and len(short) > 3


@pytest.mark.parametrize(
    ("given", "advised"),
    [
        ({"task": "causal-lm"}, True),
        ({"task": "seq2seq-lm", "use_cache": "on"}, True),
        ({"task": "causal-lm", "use_cache": "off"}, False),
        ({"task": "causal-lm", "gradient_checkpointing": True}, False),
        ({"task": "image-classification"}, False),
    ],
)
def test_decoders_can_do_without_the_generation_cache(given, advised):
    changes = [advice.change for advice in possible_changes(TrainingConfig(**given))]
    assert ({"use_cache": "off"} in changes) is advised


def test_every_change_is_a_config():
    changes = possible_changes(TrainingConfig())
    configs = [TrainingConfig(**advice.change) for advice in changes if advice.change]
    assert len(configs) > 3
    assert TrainingConfig() not in configs
    assert len(set(configs)) == len(configs)


def gains(raises: BaseException | None = None, errors=None):
    probe = FakeProbe(
        50 * GIB, GIB, target=simulated_target(), oom_readings=True, errors=errors,
        raises={1: raises} if raises else None,
    )  # fmt: skip

    tester = Attempts(
        probe, FakeWorkload(), TrainingConfig(), AnalysisOptions(current_batch_size=1),
        Reporter(ignore, CancelToken()),
    )  # fmt: skip
    return with_gains(tester, 51 * GIB, possible_changes(TrainingConfig()))


def test_gains_are_what_the_change_saves():
    checkpointing = gains()[0]
    assert checkpointing.saved_bytes == 3 * GIB // 4
    assert checkpointing.memory_bytes == 51 * GIB - 3 * GIB // 4
    assert checkpointing.fits is False


def test_a_change_that_cannot_be_tried_keeps_its_words():
    changes = gains(MissingPackage("bitsandbytes", "adamw-8bit"))
    untried = [advice for advice in changes if advice.change and advice.fits is None]
    assert len(untried) == 1 and untried[0].saved_bytes is None
    assert any(advice.fits is not None for advice in changes)
    assert {advice.fits for advice in gains(errors={1: "No."})} == {None}


def test_cancelling_is_not_swallowed():
    with pytest.raises(Cancelled):
        gains(Cancelled("Stop."))


def test_an_abandoned_trial_says_nothing_of_its_need():
    probe = FakeProbe(50 * GIB, target=simulated_target(40 * GIB))
    assert needed_bytes(probe.run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), 1))) is None
