"""Puts a training together: its data, its first weights, and how its steps are split."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from memorymark.data.open_text import open_text
from memorymark.data.text_samples import split, whole_text
from memorymark.data.token_file import TokenFile
from memorymark.data.tokenizer_files import tokenizer_of_file
from memorymark.data.tokens import Tokens
from memorymark.errors import InvalidValue, UsageError, WorkloadError, quoted
from memorymark.records.config import MAX_BATCH_SIZE, Task, TrainingConfig
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.training_plan import TrainingPlan
from memorymark.trainer.training_job import TrainingJob, check_length, largest_divisor
from memorymark.workloads.base import Workload
from memorymark.workloads.build import is_own
from memorymark.workloads.checkpoint import Checkpoint, find_checkpoint
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.inputs.batch_spec import text_config

# Returns the batch that an analysis recommends, at most so large.
FindBatch = Callable[[TrainingConfig, int], int]
# Returns the tokenizer that a name stands for.
ReadTokenizer = Callable[[str], Tokens]

_TOKENIZER = "tokenizer.json"


def make_job(
    workload: Workload,
    config: TrainingConfig,
    plan: TrainingPlan,
    batch_size: int | None,
    *,
    find_batch: FindBatch,
    read_tokenizer: ReadTokenizer,
    texts_folder: Path,
    is_named: bool = True,
    from_hub: bool = True,
) -> TrainingJob:
    """Put a training together.

    Args:
        workload: What is trained.
        config: How.
        plan: What it reads, how long it goes on.
        batch_size: Samples of a micro-batch; None takes what an analysis on this device finds.
        find_batch: Makes that analysis.
        read_tokenizer: Finds a tokenizer by its name.
        texts_folder: Where texts are kept as tokens, so that they are made once.
        is_named: Whether the workload is known by its name, which may stand for weights.
        from_hub: Whether weights and tokenizers of the hub are looked for.

    Raises:
        UsageError: What is given does not go together.
        WorkloadError: The data or the weights cannot be read, or are not for this model.
    """
    weights = Checkpoint(None, WeightsFrom.RANDOM)
    if is_named:
        weights = find_checkpoint(
            workload.name, random_weights=plan.random_weights, from_hub=from_hub
        )
    if plan.data is None:
        job = _of_own_batches(workload, config, plan, weights)
    else:
        job = _of_text(workload, config, plan, weights, read_tokenizer, texts_folder)
    job = _with_batch(job, batch_size, find_batch)
    check_length(job)
    return job


def _of_own_batches(
    workload: Workload, config: TrainingConfig, plan: TrainingPlan, weights: Checkpoint
) -> TrainingJob:
    """Return a training on the batches that the user's own workload makes."""
    if not is_own(workload):
        raise UsageError(
            f"{quoted(workload.name)} needs data to train on: --data with a text file, a folder of "
            "them, or a tokens file of `memorymark tokenize`."
        )
    note = (
        f"The batches are those that {quoted(workload.name)} makes. Where it goes on from a "
        "checkpoint, they are the same only if they come from torch's, NumPy's or Python's "
        "random generators."
    )
    described = workload.describe(config)
    return TrainingJob(workload, described, plan, 1, None, None, weights, notes=(note,))


def _of_text(
    workload: Workload,
    config: TrainingConfig,
    plan: TrainingPlan,
    weights: Checkpoint,
    read_tokenizer: ReadTokenizer,
    texts_folder: Path,
) -> TrainingJob:
    """Return a training on windows of a text."""
    if not isinstance(workload, HuggingFaceWorkload):
        raise InvalidValue(
            "data", plan.data, f"nothing: {quoted(workload.name)} is no language model of Hugging "
            "Face transformers, and a workload of your own makes its own batches",
        )  # fmt: skip
    config = _described(workload, config)
    name = plan.tokenizer or _own_tokenizer(weights)
    given = None if name is None else read_tokenizer(name)
    tokens = open_text(plan.data, given, texts_folder)
    _check_vocabulary(workload, tokens)
    tokenizer, missing = (given, None) if given is not None else _tokenizer_of(tokens)
    if plan.eval_data is not None:
        other = open_text(plan.eval_data, tokenizer, texts_folder)
        _check_alike(tokens, other)
        train, evaluation = (whole_text(each, config.seq_len) for each in (tokens, other))
    elif plan.eval_share > 0:
        train, evaluation = split(tokens, config.seq_len, plan.eval_share)
    else:
        train, evaluation = whole_text(tokens, config.seq_len), None
    return TrainingJob(
        workload, config, plan, 1, train, evaluation, weights,
        bytes_per_token=None if evaluation is None else evaluation.bytes_per_token,
        tokenizer=tokenizer,
        fingerprint=_fingerprint(tokens, config, plan),
        notes=(*_notes(workload, tokens, weights), *([missing] if missing else [])),
    )  # fmt: skip


def _fingerprint(
    tokens: TokenFile, config: TrainingConfig, plan: TrainingPlan
) -> dict[str, object]:
    """Return what tells a training's data from others'."""
    return {
        "tokens": tokens.count,
        "tokenizer": tokens.tokenizer_fingerprint,
        "sequence length": config.seq_len,
        "evaluation share": plan.eval_share if plan.eval_data is None else None,
    }


def _tokenizer_of(tokens: TokenFile) -> tuple[Tokens | None, str | None]:
    """Return the tokenizer that tokens were written with; where it is gone, why."""
    try:
        return tokenizer_of_file(tokens), None
    except WorkloadError as error:
        return None, f"{error} The trained model has none beside it."


def _described(workload: HuggingFaceWorkload, config: TrainingConfig) -> TrainingConfig:
    """Return the config for language modelling, which is what a text is trained for."""
    if config.task not in (None, Task.CAUSAL_LM):
        accepted = "causal-lm: a text trains a model to say the next token"
        raise InvalidValue("task", str(config.task), accepted)
    return workload.describe(dataclasses.replace(config, task=Task.CAUSAL_LM))


def _own_tokenizer(weights: Checkpoint) -> str | None:
    folder = weights.folder
    return str(folder) if folder is not None and (folder / _TOKENIZER).is_file() else None


def _check_vocabulary(workload: HuggingFaceWorkload, tokens: TokenFile) -> None:
    size = text_config(workload.hf_config).vocab_size
    if tokens.vocabulary_size > size:
        raise WorkloadError(
            f"The tokens are of {quoted(tokens.tokenizer)}, with {tokens.vocabulary_size:,} "
            f"entries, and {quoted(workload.name)} has {size:,}. Tokenize the text with the "
            "model's own tokenizer (--tokenizer), or take another model."
        )


def _check_alike(tokens: TokenFile, other: TokenFile) -> None:
    if other.tokenizer_fingerprint != tokens.tokenizer_fingerprint:
        raise WorkloadError(
            f"The evaluation's tokens are of {quoted(other.tokenizer)}, and the training's of "
            f"{quoted(tokens.tokenizer)}. Tokenize both with the same tokenizer."
        )


def _notes(
    workload: HuggingFaceWorkload, tokens: TokenFile, weights: Checkpoint
) -> tuple[str, ...]:
    size = text_config(workload.hf_config).vocab_size
    said = [weights.note] if weights.note else []
    if size > tokens.vocabulary_size:
        said.append(
            f"The model has {size:,} tokens, of which the text can hold "
            f"{tokens.vocabulary_size:,}: the head and the embedding of the others train nothing."
        )
    return tuple(said)


def _with_batch(job: TrainingJob, batch_size: int | None, find_batch: FindBatch) -> TrainingJob:
    """Return the job with its micro-batch, and the accumulation that the effective batch asks."""
    wanted, count = job.plan.effective_batch, job.config.gradient_accumulation
    if wanted is not None and count > 1:
        raise UsageError(
            f"Both an effective batch of {wanted:,} and {count} accumulation steps are given. Give "
            "one of them: the other follows."
        )
    if batch_size is None:
        batch_size, job = _found_batch(job, find_batch)
    job = dataclasses.replace(job, batch_size=batch_size)
    if wanted is None:
        return job
    whole = dataclasses.replace(job, batch_size=wanted)
    return whole.split(batch_size)


def _found_batch(job: TrainingJob, find_batch: FindBatch) -> tuple[int, TrainingJob]:
    """Return the micro-batch that an analysis finds, and the job with a note that says so."""
    wanted = job.plan.effective_batch
    most = min(
        wanted or MAX_BATCH_SIZE,
        MAX_BATCH_SIZE,
        len(job.samples) if job.samples is not None else MAX_BATCH_SIZE,
    )
    found = find_batch(job.config, most)
    size = largest_divisor(wanted, found) if wanted else min(found, most)
    kept = ""
    if wanted:
        kept = f", with {wanted // size} accumulation steps for the effective batch of {wanted:,}"
    note = f"The analysis recommends a batch of {found:,}: it trains with {size:,}{kept}."
    return size, dataclasses.replace(job, notes=(*job.notes, note))
