"""The function that makes a batch at random, in the shapes of the training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from memorymark.records.config import DEFAULT_IMAGE_SIZE, Precision, Task, TrainingConfig
from memorymark.report.scripts.model_code import Library, ModelCode

WEIGHT_FORMATS = {Precision.BF16: "torch.bfloat16", Precision.FP16: "torch.float16"}
_TEXT = (
    Task.SEQUENCE_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING,
    Task.MULTIPLE_CHOICE, Task.CAUSAL_LM, Task.MASKED_LM, Task.SEQ2SEQ_LM,
)  # fmt: skip
_WAVEFORM_HZ = 16_000
_PER_CLASS = "torch.randint({}, (BATCH_SIZE,), device=device)"


def batch_code(code: ModelCode, config: TrainingConfig) -> list[str]:
    """Return the lines of `make_batch()`."""
    if code.library is Library.OWN:
        return _own_batch(config)
    lines, floats = _lines(code, config)
    casts = [line for name in floats for line in _casts(name, config)]
    if not casts:
        return ["def make_batch():", *_indented(_returned(lines))]
    return ["def make_batch():", *_indented([*_named(lines), *casts, "return batch"])]


def _lines(code: ModelCode, config: TrainingConfig) -> tuple[list[str], list[str]]:
    """Return the lines before the batch and its entries, and the names of its float tensors."""
    if code.library is not Library.TRANSFORMERS:
        return _vision(code, config)
    if code.task in _TEXT:
        return _text(code.task), []
    made = _OTHERS.get((code.task, code.known.get("model_type"))) or _OTHERS.get((code.task, None))
    return made(config) if made else (_placeholder(code.task), [])


def _text(task: Task) -> list[str]:
    shape = "(BATCH_SIZE, 4, SEQ_LEN)" if task is Task.MULTIPLE_CHOICE else "(BATCH_SIZE, SEQ_LEN)"
    labels = {
        Task.SEQUENCE_CLASSIFICATION: _PER_CLASS.format("config.num_labels"),
        Task.TOKEN_CLASSIFICATION: (
            "torch.randint(config.num_labels, (BATCH_SIZE, SEQ_LEN), device=device)"
        ),
        Task.MULTIPLE_CHOICE: _PER_CLASS.format("4"),
    }
    entries = [
        f'"input_ids": torch.randint(10, config.vocab_size, {shape}, device=device),',
        f'"attention_mask": torch.ones({shape}, dtype=torch.long, device=device),',
    ]
    if task is Task.QUESTION_ANSWERING:
        entries += [
            f'"{name}": {_PER_CLASS.format("SEQ_LEN")},'
            for name in ("end_positions", "start_positions")
        ]
    else:
        tokens = f"torch.randint(10, config.vocab_size, {shape}, device=device)"
        entries.append(f'"labels": {labels.get(task, tokens)},')
    return entries


def _vision(code: ModelCode, config: TrainingConfig) -> tuple[list[str], list[str]]:
    size, classes = config.image_size or DEFAULT_IMAGE_SIZE, config.num_labels or 1000
    if code.task not in _SHAPES:
        return _placeholder(code.task), []
    images, labels = _SHAPES[code.task]
    values = {"size": size, "frames": config.num_frames or 16}
    return [
        f'"images": torch.rand({images.format(**values)}, device=device),',
        f'"labels": torch.randint({classes}, ({labels.format(**values)}), device=device),',
    ], ["images"]


_SHAPES = {
    Task.IMAGE_CLASSIFICATION: ("BATCH_SIZE, 3, {size}, {size}", "BATCH_SIZE,"),
    Task.SEMANTIC_SEGMENTATION: ("BATCH_SIZE, 3, {size}, {size}", "BATCH_SIZE, {size}, {size}"),
    Task.VIDEO_CLASSIFICATION: ("BATCH_SIZE, 3, {frames}, {size}, {size}", "BATCH_SIZE,"),
}


def _pixels(config: TrainingConfig) -> str:
    size = config.image_size or DEFAULT_IMAGE_SIZE
    shape = f"BATCH_SIZE, config.num_channels, {size}, {size}"
    return f'"pixel_values": torch.rand({shape}, device=device),'


def _classified(config: TrainingConfig) -> tuple[list[str], list[str]]:
    labels = _PER_CLASS.format("config.num_labels")
    return [_pixels(config), f'"labels": {labels},'], ["pixel_values"]


def _segmented(config: TrainingConfig) -> tuple[list[str], list[str]]:
    size = config.image_size or DEFAULT_IMAGE_SIZE
    labels = f"torch.randint(config.num_labels, (BATCH_SIZE, {size}, {size}), device=device)"
    return [_pixels(config), f'"labels": {labels},'], ["pixel_values"]


def _whisper(config: TrainingConfig) -> tuple[list[str], list[str]]:
    shape = "BATCH_SIZE, config.num_mel_bins, 2 * config.max_source_positions"
    labels = "torch.randint(10, config.eos_token_id, (BATCH_SIZE, SEQ_LEN), device=device)"
    return [
        f'"input_features": torch.randn({shape}, device=device),',
        f'"labels": {labels},',
    ], ["input_features"]


def _wav2vec2(config: TrainingConfig) -> tuple[list[str], list[str]]:
    seconds = config.audio_seconds or 10
    length = min(config.seq_len, max(seconds * 100 // 8, 1))
    return [
        f'"input_values": torch.randn(BATCH_SIZE, {seconds * _WAVEFORM_HZ}, device=device),',
        f'"labels": torch.full((BATCH_SIZE, {length}), 10, device=device),',
    ], ["input_values"]


def _pairs(config: TrainingConfig) -> tuple[list[str], list[str]]:
    size, shape = config.image_size or DEFAULT_IMAGE_SIZE, "(BATCH_SIZE, SEQ_LEN)"
    words = f"torch.randint(10, config.text_config.eos_token_id, {shape}, device=device)"
    return [
        f'"pixel_values": torch.rand(BATCH_SIZE, 3, {size}, {size}, device=device),',
        f'"input_ids": {words},',
        f'"attention_mask": torch.ones({shape}, dtype=torch.long, device=device),',
        '"return_loss": True,',
    ], ["pixel_values"]


_OTHERS = {
    (Task.IMAGE_CLASSIFICATION, None): _classified,
    (Task.SEMANTIC_SEGMENTATION, None): _segmented,
    (Task.SPEECH_SEQ2SEQ, "whisper"): _whisper,
    (Task.CTC, "wav2vec2"): _wav2vec2,
    (Task.CONTRASTIVE, "clip"): _pairs,
}


def _placeholder(task: Task) -> list[str]:
    """What stands where MemoryMark has no short way to write a batch."""
    return [f'raise NotImplementedError("put the next batch of your data loader here: {task}")']


def has_batch(lines: list[str]) -> bool:
    """Return whether the lines make a batch, and do not leave it to the reader."""
    return not any("NotImplementedError" in line for line in lines)


def _own_batch(config: TrainingConfig) -> list[str]:
    """The user's own batches hold anything, made anywhere."""
    return [
        "def to_device(x):",
        "    if isinstance(x, dict):",
        "        return {name: to_device(value) for name, value in x.items()}",
        "    if isinstance(x, (list, tuple)):",
        "        return type(x)(map(to_device, x))",
        "    if not isinstance(x, torch.Tensor):",
        "        return x",
        "    x = x.to(device)",
        *_own_casts(config),
        "    return x",
        "",
        "",
        "def make_batch():",
        "    with device:",
        "        return to_device(make_own_batch(BATCH_SIZE))",
    ]


def _casts(name: str, config: TrainingConfig) -> list[str]:
    """Return what gives images and audio the weights' format, and images their memory order."""
    kind, value = WEIGHT_FORMATS.get(config.precision), f'batch["{name}"]'
    if not config.channels_last:
        return [f"{value} = {value}.to({kind})"] if kind else []
    order = "contiguous(memory_format=torch.channels_last)"
    if not kind:
        return [f"{value} = {value}.{order}"]
    return [f"values = {value}.to({kind})", f"{value} = values.{order}"]


def _own_casts(config: TrainingConfig) -> list[str]:
    kind = WEIGHT_FORMATS.get(config.precision)
    lines = [f"    x = x.to({kind}) if x.is_floating_point() else x"] if kind else []
    order = "x.contiguous(memory_format=torch.channels_last)"
    return [*lines, *([f"    x = {order} if x.dim() == 4 else x"] if config.channels_last else [])]


def _returned(lines: list[str]) -> Iterator[str]:
    if lines[0].startswith("raise"):
        return iter(lines)
    return iter(["return {", *(f"    {line}" for line in lines), "}"])


def _named(lines: list[str]) -> Iterator[str]:
    return iter(["batch = {", *(f"    {line}" for line in lines), "}"])


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)
