"""Training steps of shipped models, in full size: one of each kind that is small."""

import pytest

from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import TrainingConfig
from memorymark.workloads.known_models import find_known_model
from memorymark.workloads.registry import resolve
from memorymark.workloads.trial_spec import TrialSpec

# benchmarks/breadth.py simulates all of them.
SMALL = (
    "smollm2-135m", "qwen3-0.6b", "gemma-3-1b-pt", "pythia-160m", "modernbert-base",
    "distilbert-base-uncased", "t5-small", "bart-base", "whisper-tiny", "wav2vec2-base-960h",
    "vit-base-patch16-224", "convnext-tiny-224", "dinov2-small", "clip-vit-base-patch32",
)  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_a_step_is_simulated_and_holds_the_weights(name):
    workload = resolve(name)
    config = TrainingConfig(seq_len=16, optimizer="sgd", image_size=IMAGES.get(name))
    trial = SimulatedProbe(find_gpu("h200")).run_trial(TrialSpec(workload, config, 1))
    assert trial.fits, trial.error
    published = find_known_model(name).parameters
    assert trial.breakdown.parameters == pytest.approx(4 * published, rel=0.012)
    assert any("comes with MemoryMark" in text for text in trial.assumptions)


IMAGES = {"dinov2-small": 224}
