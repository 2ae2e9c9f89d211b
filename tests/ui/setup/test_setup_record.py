"""Which options of a training a model is asked for."""

import pytest

from memorymark.records.config import Task
from memorymark.ui.setup.setup_record import training_options


@pytest.mark.parametrize(
    ("model", "task", "asked"),
    [
        ("gpt2", None, False),  # with a classifier
        ("gpt2", Task.CAUSAL_LM, True),
        ("llama-3.1-8b", None, True),
        ("own:model", None, True),  # not known
        ("resnet", None, False),
        ("torchvision:vgg16", None, False),
        ("bert", Task.SEQUENCE_CLASSIFICATION, False),
    ],
)
def test_chunks_of_cross_entropy_are_for_language_models(model, task, asked):
    assert ("chunked_cross_entropy" in training_options(model, task)) is asked
