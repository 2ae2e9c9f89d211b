"""Models that generate in milliseconds, the folders they lie in, and what they read."""

from __future__ import annotations

import io
import wave

import numpy as np
import torch
from tiny import tiny_llama, tiny_resnet, tiny_t5

from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.serving_config import ServingConfig
from memorymark.workloads.checkpoint import Checkpoint
from memorymark.workloads.generation_spec import generation_spec
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.served_model import build_served

NOWHERE = Checkpoint(None, WeightsFrom.RANDOM)
_TEXT = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "vocab_size": 200,
}  # fmt: skip
_SEEN = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip


def tiny_whisper():
    from transformers import WhisperConfig

    config = WhisperConfig(
        vocab_size=100, d_model=64, encoder_layers=2, decoder_layers=2, num_mel_bins=20,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=96,
        decoder_ffn_dim=96, max_source_positions=100, decoder_start_token_id=1, pad_token_id=0,
        bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    return HuggingFaceWorkload("tiny-whisper", config)


def tiny_vit():
    from transformers import ViTConfig

    return HuggingFaceWorkload("tiny-vit", ViTConfig(**_SEEN, num_labels=7))


def tiny_blip():
    from transformers import BlipConfig

    special = {"bos_token_id": 1, "sep_token_id": 2, "pad_token_id": 0, "eos_token_id": 2}
    config = BlipConfig(
        text_config={**_TEXT, **special, "encoder_hidden_size": 32, "max_position_embeddings": 64},
        vision_config=_SEEN, projection_dim=16, image_text_hidden_size=16,
    )  # fmt: skip
    return HuggingFaceWorkload("tiny-blip", config)


def tiny_blip2():
    from transformers import Blip2Config, Blip2QFormerConfig, Blip2VisionConfig, OPTConfig

    text = OPTConfig(
        vocab_size=200, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, ffn_dim=64,
        max_position_embeddings=128, word_embed_proj_dim=32,
    )  # fmt: skip
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**_SEEN).to_dict(), text_config=text.to_dict(),
        qformer_config=Blip2QFormerConfig(**_TEXT, encoder_hidden_size=32).to_dict(),
        num_query_tokens=4, image_token_index=190,
    )  # fmt: skip
    return HuggingFaceWorkload("tiny-blip2", config)


def tiny_llava():
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**_SEEN),
        text_config=LlamaConfig(**_TEXT, num_key_value_heads=2), image_token_index=190,
    )  # fmt: skip
    return HuggingFaceWorkload("tiny-llava", config)


def tiny_captioner():
    from transformers import GPT2Config, VisionEncoderDecoderConfig, ViTConfig

    writer = GPT2Config(
        vocab_size=200, n_embd=32, n_layer=2, n_head=2, n_positions=128, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(**_SEEN), writer)
    return HuggingFaceWorkload("tiny-captioner", config)


READING_TEXT = {"llama": tiny_llama, "t5": tiny_t5}
READING_IMAGES = {
    "resnet": tiny_resnet, "vit": tiny_vit, "blip": tiny_blip, "blip-2": tiny_blip2,
    "llava": tiny_llava, "captioner": tiny_captioner,
}  # fmt: skip


def image_bytes(width=40, height=30, kind="PNG"):
    """A picture of noise, as a file."""
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


def wav_bytes(seconds=0.5, rate=16_000):
    """Noise, as a file."""
    noise = np.random.default_rng(0).integers(-9000, 9000, int(seconds * rate), dtype=np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(noise.tobytes())
    return file.getvalue()


def byte_tokenizer():
    """A tokenizer of one token for each byte: a letter with an accent takes two."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = models.BPE({letter: at for at, letter in enumerate(alphabet)}, [])
    made = Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>")


def spec_of(workload, *, checkpoint=NOWHERE, weights="fp32", **plan):
    """What one generation runs, with few tokens."""
    given = {"max_new_tokens": 6, "prompt_tokens": 10, **plan}
    return generation_spec(
        workload, ServingConfig(weights=weights), GenerationPlan(**given), checkpoint
    )


def saved(workload, folder, weights="fp32", **plan):
    """Put a model with random weights into a folder, as transformers does."""
    spec = spec_of(workload, weights=weights, **plan)
    torch.manual_seed(3)
    model = build_served(workload, spec.built_as, torch.device("cpu"))
    model.save_pretrained(folder)
    return model
