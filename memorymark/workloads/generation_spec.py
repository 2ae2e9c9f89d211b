"""What one generation runs: a model, what it reads, and the form of what it writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from memorymark.bounds import MEDIA
from memorymark.errors import InvalidValue, UsageError, quoted
from memorymark.records.config import Task, TrainingConfig
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.serving_config import GENERATING, ServingConfig
from memorymark.workloads.checkpoint import Checkpoint
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.media import decode_image, decode_sound, read_media
from memorymark.workloads.readers import ModelInputs, Reader, check_media, positions_of
from memorymark.workloads.served_model import dtype_of, served
from memorymark.workloads.serving_spec import built_as
from memorymark.workloads.text_form import TextForm, text_form

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload

_ANSWERING = (
    Task.CAUSAL_LM, Task.IMAGE_TEXT_TO_TEXT, Task.SEQ2SEQ_LM, Task.SPEECH_SEQ2SEQ,
    Task.IMAGE_CLASSIFICATION,
)  # fmt: skip
assert set(GENERATING) < set(_ANSWERING)
_READING_BY_THEMSELVES = (Task.SEQ2SEQ_LM, Task.SPEECH_SEQ2SEQ)


@dataclass(frozen=True)
class GenerationSpec:
    """One generation.

    Attributes:
        workload: The model.
        config: How it is run; its context holds what is read and what may be written.
        plan: What is read, and how what is written is chosen.
        built_as: How the model is built.
        checkpoint: Where its weights lie.
        inputs: What it reads, on the host.
        form: How its text begins and ends.
        reader: Has the model's tokenizer.
        blend: The second model, which reads the same and writes with the first.
    """

    workload: HuggingFaceWorkload
    config: ServingConfig
    plan: GenerationPlan
    built_as: TrainingConfig
    checkpoint: Checkpoint
    inputs: ModelInputs
    form: TextForm
    reader: Reader
    blend: GenerationSpec | None = None

    @property
    def models(self) -> tuple[GenerationSpec, ...]:
        """This one, and that of the second model where there is one."""
        return (self,) if self.blend is None else (self, self.blend)

    @property
    def answers(self) -> bool:
        """Whether it names classes and writes nothing."""
        return self.built_as.task is Task.IMAGE_CLASSIFICATION

    @property
    def run_as(self) -> ServingConfig:
        """How it is run: what stands before the text is written, too."""
        written = len(self.form.opening) + self.config.output_tokens
        return dataclasses.replace(self.config, output_tokens=written)

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the model's weights."""
        return dtype_of(self.built_as)


def generation_spec(
    workload: Workload,
    config: ServingConfig,
    plan: GenerationPlan,
    checkpoint: Checkpoint,
    media: Mapping[str, bytes] | None = None,
) -> GenerationSpec:
    """Read what is to be read, and check that the model can.

    Args:
        workload: The model.
        config: How it is run.
        plan: What it reads, and how what it writes is chosen.
        checkpoint: Where its weights lie.
        media: What the image and the sound hold that the plan names; None reads their files.

    Raises:
        UsageError: The model does not read what is given, or is given nothing that it reads.
        WorkloadError: A file cannot be read.
    """
    model = served(workload)
    _check_prompt(plan)
    asked = _with_lengths(config, plan, plan.prompt_tokens)
    as_built = built_as(model, asked, _ANSWERING)
    task, name = as_built.task, model.name
    assert task is not None
    check_media(task, plan, name, model.hf_config.model_type)
    image = sound = None
    if plan.image is not None:
        image = decode_image(_held("image", plan.image, media), plan.image)
    if plan.audio is not None:
        sound = decode_sound(_held("audio", plan.audio, media), plan.audio)
    reader = Reader(model, as_built, checkpoint.folder)
    inputs = reader.read(plan, image, sound)
    form = text_form(model.hf_config, checkpoint.folder)
    count = inputs.prompt_tokens or 1
    if task is not Task.IMAGE_CLASSIFICATION:
        _check_positions(model, task, plan, inputs, len(form.opening))
    if inputs.prompt_tokens is not None:
        as_built = dataclasses.replace(as_built, seq_len=count)
    sized = _with_lengths(config, plan, count + len(form.opening))
    return GenerationSpec(
        model, dataclasses.replace(sized, task=task), plan, as_built, checkpoint, inputs, form,
        reader,
    )  # fmt: skip


def _held(what: str, name: str, media: Mapping[str, bytes] | None) -> bytes:
    """Return what a file holds that a plan names."""
    if media is None:
        return read_media(what, name)
    if what not in media:
        raise UsageError(f"The {what} {quoted(name)} is not here any more. Give it again.")
    return read_media(what, media[what])


def _with_lengths(config: ServingConfig, plan: GenerationPlan, read: int) -> ServingConfig:
    new = plan.max_new_tokens
    return dataclasses.replace(config, context_tokens=read + new, output_tokens=new, batch_size=1)


def _check_prompt(plan: GenerationPlan) -> None:
    if plan.prompt is not None and len(plan.prompt) > MEDIA.characters:
        accepted = f"a text of up to {MEDIA.characters:,} characters; it has {len(plan.prompt):,}"
        raise InvalidValue("prompt", plan.prompt, accepted)


def _check_positions(
    model: HuggingFaceWorkload,
    task: Task,
    plan: GenerationPlan,
    inputs: ModelInputs,
    opening: int,
) -> None:
    """Compare what is read and written with the model's positions."""
    most = positions_of(model.hf_config)
    if most is None:
        return
    read = inputs.prompt_tokens or 0
    if read > most:
        words = f"{read:,} tokens"
        accepted = f"up to {most:,} tokens, the positions of {quoted(model.name)}"
        raise InvalidValue("prompt", words, accepted)
    taken = (1 if task in _READING_BY_THEMSELVES else read) + opening
    if taken + plan.max_new_tokens > most:
        accepted = (
            f"up to {most - taken:,}: {quoted(model.name)} has {most:,} positions, of which what "
            f"stands before the text takes {taken:,}"
        )
        raise InvalidValue("max new tokens", plan.max_new_tokens, accepted)
