"""Head and cross entropy of a language model in chunks of tokens, as a script has them.

Most models end with their head: there it hands on what it would read, and the loss runs it. Where a
model changes its logits after the head, the script runs its body alone, and has the change in a
line of its own (transformers, the modeling file of each type).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from memorymark.errors import UsageError, quoted
from memorymark.records.config import Task, TrainingConfig
from memorymark.report.scripts.model_code import ModelCode

_SHIFTED = "labels = functional.pad(labels, (0, 1), value=-100)[:, 1:].contiguous()"
_DECODER_INPUTS = (
    'inputs["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels)'
)
_PREPARED = {Task.CAUSAL_LM: _SHIFTED, Task.SEQ2SEQ_LM: _DECODER_INPUTS}


@dataclass(frozen=True)
class _Head:
    """How head and loss are computed apart from the model.

    Attributes:
        taken: The lines that take them apart, before the model is changed.
        logits: What a chunk's logits are, of what the head reads.
        hidden: The name under which the model returns that.
        call: How the model is run without its head.
        prepared: What is done with the labels; None leaves it to the task, "" leaves them.
    """

    taken: str = """\
# The model returns what its head would read; the loss below runs the head.
head = model.get_output_embeddings()
project, head.forward = head.forward, lambda hidden: hidden"""
    logits: str = "project(hidden)"
    hidden: str = "logits"
    call: str = "model(**inputs)"
    prepared: str | None = None


_BODY = """\
# The body returns what the head reads; the loss below runs the head.
body, project = model.base_model, model.get_output_embeddings()"""


def _with_body(
    logits: str, *, call: str = "body(**inputs)", more: str = "", prepared: str | None = None
) -> _Head:
    return _Head(_BODY + more, logits, "last_hidden_state", call, prepared)


_LAST = _Head()
_UNKNOWN = replace(
    _LAST,
    taken=f"{_LAST.taken}\n"
    "# If the model changes its logits after its head, change them in the loss too.",
)
_BIASED_CACHED = _with_body(
    "(project(hidden) + model.final_logits_bias)", prepared=_DECODER_INPUTS
)  # fmt: skip
# With labels, most of these models run without a cache.
_BIASED = replace(_BIASED_CACHED, call="body(**inputs, use_cache=False)")
_BIASED_TYPES = {
    **dict.fromkeys(("bart", "bigbird_pegasus", "led", "marian", "mbart", "mvp", "pegasus"),
                    _BIASED),
    "plbart": _BIASED_CACHED,
}  # fmt: skip
_DECODER_ALONE = _Head(prepared="")  # of the same types: no bias, and labels that are not shifted
_CAPPED = _with_body(
    "(torch.tanh(project(hidden) / cap) * cap)", more="\ncap = config.final_logit_softcapping"
)
_SCALED = _with_body("(project(hidden) * config.logit_scale)")
_DIVIDED = _with_body("(project(hidden) / config.logits_scaling)")
_HEADS = {
    **_BIASED_TYPES,
    **dict.fromkeys(("gemma2", "gemma3_text", "nanochat", "vaultgemma"), _CAPPED),
    **dict.fromkeys(("cohere", "cohere2"), _SCALED),
    "granite": _DIVIDED,
}  # fmt: skip
# Their logits are changed in ways of their own, or their decoder's inputs are.
_WITHOUT_SCRIPT = (
    "blenderbot", "blenderbot-small", "falcon_h1", "gemma3n", "gemma3n_text", "granitemoe",
    "granitemoehybrid", "granitemoeshared", "recurrent_gemma", "t5gemma", "t5gemma2",
)  # fmt: skip

_LOSS = """\
def loss_of_chunk(hidden, labels):
    logits = {logits}.float()
    return functional.cross_entropy(logits, labels, reduction="sum")


def forward(batch):
    \"\"\"Compute head and loss of CHUNK tokens at a time, again in the backward pass.\"\"\"
    inputs = {{name: value for name, value in batch.items() if name != "labels"}}
    labels = batch["labels"]
    {prepared}
    outputs = {call}
    hidden, outputs["{hidden}"] = outputs.{hidden}, None
    chunks = zip(hidden.flatten(0, 1).split(CHUNK), labels.flatten().split(CHUNK))
    losses = (checkpoint(loss_of_chunk, *each, use_reentrant=False) for each in chunks)
    loss = reduce(torch.add, losses)
    return loss / (labels != -100).sum(), outputs"""


def head_lines(code: ModelCode, config: TrainingConfig) -> list[str]:
    """Return the lines that take the head from the model, where the loss is in chunks.

    Raises:
        UsageError: The model does more after its head than a few lines can say.
    """
    if not config.chunked_cross_entropy:
        return []
    if code.known.get("model_type") in _WITHOUT_SCRIPT:
        raise UsageError(
            f"There is no short script for chunked cross entropy with {quoted(code.name)}: it "
            "changes its logits after the head in a way of its own. Leave chunked cross entropy "
            "off for the script."
        )
    return _head(code).taken.splitlines()


def loss_lines(code: ModelCode, config: TrainingConfig) -> list[str]:
    """Return the functions that compute the loss in chunks, with two empty lines after them."""
    if not config.chunked_cross_entropy:
        return []
    head = _head(code)
    prepared = _PREPARED.get(code.task, "") if head.prepared is None else head.prepared
    text = _LOSS.format(
        logits=head.logits, prepared=prepared, call=head.call, hidden=head.hidden
    )  # fmt: skip
    return [*(line for line in text.splitlines() if line != "    "), "", ""]


def _head(code: ModelCode) -> _Head:
    kind = code.known.get("model_type")
    if kind in _BIASED_TYPES and code.task is Task.CAUSAL_LM:
        return _DECODER_ALONE
    head = _UNKNOWN if kind is None else _HEADS.get(kind, _LAST)
    cap = code.known.get("final_logit_softcapping", kind != "gemma3_text")  # which has none
    return _LAST if head is _CAPPED and not cap else head
