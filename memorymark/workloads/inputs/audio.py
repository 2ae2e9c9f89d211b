"""Batches of audio: waveforms or spectrograms, as the model's feature extractor makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memorymark.workloads.inputs.batch_spec import BatchSpec, Inputs, part, words

_WAVEFORM_HZ = 16_000
_FRAMES_PER_SECOND = 100  # spectrograms step by 10 ms
_HEARING = ("audio_config", "encoder_config", "encoder")
# CLAP's extractor: 480 samples a step at 48 kHz, and one frame more for the padding at the end.
_CLAP_SECONDS, _CLAP_VIEWS = 10, 4


def transcribed(spec: BatchSpec) -> Inputs:
    """Make audio with the tokens that are spoken, as labels of a decoder."""
    return hearings(spec) | {"labels": _spoken(spec, spec.config.seq_len)}


def aligned(spec: BatchSpec) -> Inputs:
    """Make audio with its transcription, no longer than CTC can align with the audio."""
    # A label needs an output frame of 20 ms or more, and a blank between two that are alike.
    most = max((spec.config.audio_seconds or 1) * _FRAMES_PER_SECOND // 8, 1)
    # The model looks at the values of its labels: one word, over and over, is a known value.
    shape = (spec.batch_size, min(spec.config.seq_len, most))
    return hearings(spec) | {"labels": torch.full(shape, words(spec.hf_config)[0])}


def classified_audio(spec: BatchSpec) -> Inputs:
    """Make audio with a class each."""
    return hearings(spec) | {"labels": torch.randint(spec.num_labels, (spec.batch_size,))}


def _spoken(spec: BatchSpec, length: int) -> Tensor:
    low, high = words(spec.hf_config)
    return torch.randint(low, high, (spec.batch_size, length))


def hearings(spec: BatchSpec) -> Inputs:
    """Make audio in the form in which the model takes it."""
    heard = part(spec.hf_config, *_HEARING)
    make = _FORMS.get(heard.model_type) or _FORMS.get(spec.model_type, _waveform)
    return make(spec, heard)


def _waveform(spec: BatchSpec, heard: Any) -> Inputs:
    values = torch.randn(spec.batch_size, (spec.config.audio_seconds or 1) * _WAVEFORM_HZ)
    # Models with a group norm over time were trained without a mask, and their extractors
    # make none: transformers, Wav2Vec2FeatureExtractor.return_attention_mask.
    masked = getattr(heard, "feat_extract_norm", "layer") == "layer"
    mask = {"attention_mask": torch.ones(values.shape, dtype=torch.long)} if masked else {}
    return {"input_values": values, **mask}


def _log_mel(spec: BatchSpec, heard: Any) -> Inputs:
    """Make Whisper's spectrogram: padded to 30 s, two frames for each of the encoder's."""
    frames = 2 * heard.max_source_positions
    return {"input_features": torch.randn(spec.batch_size, heard.num_mel_bins, frames)}


def _frames(
    width: Callable[[Any], int], per_second: int = _FRAMES_PER_SECOND
) -> Callable[[BatchSpec, Any], Inputs]:
    """Return a maker of frames over time: (batch_size, frames, width) with a mask."""

    def make(spec: BatchSpec, heard: Any) -> Inputs:
        shape = (spec.batch_size, (spec.config.audio_seconds or 1) * per_second)
        return {
            "input_features": torch.randn(*shape, width(heard)),
            "attention_mask": torch.ones(shape, dtype=torch.long),
        }

    return make


def _spectrogram(spec: BatchSpec, heard: Any) -> Inputs:
    """Make the Audio Spectrogram Transformer's input: time before frequency."""
    shape = (spec.batch_size, heard.max_length, heard.num_mel_bins)
    return {"input_values": torch.randn(shape)}


def _clap(spec: BatchSpec, heard: Any) -> Inputs:
    views = _CLAP_VIEWS if heard.enable_fusion else 1
    frames = _CLAP_SECONDS * _FRAMES_PER_SECOND + 1
    return {
        "input_features": torch.randn(spec.batch_size, views, frames, heard.num_mel_bins),
        "is_longer": torch.zeros((spec.batch_size, 1), dtype=torch.bool),
    }


_FORMS: dict[str, Callable[[BatchSpec, Any], Inputs]] = {
    "whisper": _log_mel,
    "audio-spectrogram-transformer": _spectrogram,
    "clap_audio_model": _clap,
    "speech_to_text": _frames(lambda heard: heard.input_feat_per_channel * heard.input_channels),
    # Two frames of 10 ms stand side by side.
    "seamless_m4t": _frames(lambda heard: heard.feature_projection_input_dim, 50),
    "seamless_m4t_v2": _frames(lambda heard: heard.feature_projection_input_dim, 50),
    "wav2vec2-bert": _frames(lambda heard: heard.feature_projection_input_dim, 50),
    **dict.fromkeys(
        ("canary", "cohere_asr", "lasr_ctc", "parakeet_ctc"),
        _frames(lambda heard: heard.num_mel_bins),
    ),
}


def own_seconds(hf_config: Any) -> int | None:
    """Return the one length of audio that the model takes, None where it takes any."""
    heard = part(hf_config, *_HEARING)
    if heard.model_type == "whisper":
        return 2 * heard.max_source_positions // _FRAMES_PER_SECOND
    if heard.model_type == "audio-spectrogram-transformer":
        return heard.max_length // _FRAMES_PER_SECOND
    return _CLAP_SECONDS if heard.model_type == "clap_audio_model" else None
