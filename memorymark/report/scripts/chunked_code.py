"""Head and cross entropy of a language model in chunks of tokens, as a script has them."""

from __future__ import annotations

from memorymark.errors import UsageError, quoted
from memorymark.records.config import Task, TrainingConfig
from memorymark.report.scripts.model_code import ModelCode

# What comes after the head in these is no part of it, and would meet what the head reads.
_MORE_AFTER_THE_HEAD = ("bart", "gemma2", "gemma3", "gemma3_text", "cohere", "granite")
_HEAD = """\
# The model returns what its head would read; the loss below runs the head.
head = model.get_output_embeddings()
project, head.forward = head.forward, lambda hidden: hidden"""
_LOSS = """\
def loss_of_chunk(hidden, labels):
    logits = project(hidden).float()
    return functional.cross_entropy(logits, labels, reduction="sum")


def forward(batch):
    \"\"\"Compute head and loss of CHUNK tokens at a time, again in the backward pass.\"\"\"
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    labels = batch["labels"]
    PREPARED
    outputs = model(**inputs)
    hidden, outputs["logits"] = outputs.logits, None
    chunks = zip(hidden.flatten(0, 1).split(CHUNK), labels.flatten().split(CHUNK))
    losses = (checkpoint(loss_of_chunk, *each, use_reentrant=False) for each in chunks)
    loss = reduce(torch.add, losses)
    return loss / (labels != -100).sum(), outputs"""
_PREPARED = {
    Task.CAUSAL_LM: "labels = functional.pad(labels, (0, 1), value=-100)[:, 1:].contiguous()",
    Task.SEQ2SEQ_LM: (
        'inputs["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels)'
    ),
}


def head_lines(code: ModelCode, config: TrainingConfig) -> list[str]:
    """Return the lines that take the head out of the model, where the loss is in chunks.

    Raises:
        UsageError: The model does more after its head than a few lines can say.
    """
    if not config.chunked_cross_entropy:
        return []
    if code.known.get("model_type") in _MORE_AFTER_THE_HEAD:
        raise UsageError(
            f"There is no short script for chunked cross entropy with {quoted(code.name)}: it "
            "changes its logits after the head. Leave chunked cross entropy off for the script."
        )
    return _HEAD.splitlines()


def loss_lines(code: ModelCode, config: TrainingConfig) -> list[str]:
    """Return the functions that compute the loss in chunks, with two empty lines after them."""
    if not config.chunked_cross_entropy:
        return []
    prepared = _PREPARED.get(code.task)
    lines = _LOSS.splitlines()
    at = lines.index("    PREPARED")
    lines[at : at + 1] = [f"    {prepared}"] if prepared else []
    return [*lines, "", ""]
