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


def saved_llava(folder):
    """Put a model that sees, with its processor, into a folder as transformers writes it."""
    from transformers import CLIPImageProcessor, LlavaForConditionalGeneration, LlavaProcessor

    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    workload = tiny_llava()
    config = workload.hf_config
    config.image_token_index = tokenizer.convert_tokens_to_ids("<image>")
    config.text_config.vocab_size = 300
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    scaler = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    LlavaProcessor(
        scaler, tokenizer, patch_size=8, vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    return HuggingFaceWorkload("saved-llava", config)


def saved_qwen2_vl(folder):
    """The same for one whose positions are in time, height and width."""
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    marks = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    image, video, start, end = tokenizer.convert_tokens_to_ids(marks)
    config = Qwen2VLConfig(
        text_config={
            **_TEXT, "vocab_size": 300, "num_key_value_heads": 2,
            "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        },
        vision_config={
            "depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 1,
            "patch_size": 8,
        },
        image_token_id=image, video_token_id=video, vision_start_token_id=start,
        vision_end_token_id=end,
    )  # fmt: skip
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    template = (
        "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}"
        "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}"
    )
    scaler = Qwen2VLImageProcessor(patch_size=8, min_pixels=32 * 32, max_pixels=64 * 64)
    Qwen2VLProcessor(
        scaler, tokenizer, Qwen2VLVideoProcessor(patch_size=8), chat_template=template
    ).save_pretrained(folder)
    return HuggingFaceWorkload("saved-qwen2-vl", config)


def saved_whisper(folder):
    """Put a model that hears 2 s, with its processor, into a folder as transformers writes it."""
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    workload = tiny_whisper()
    config = workload.hf_config
    config.vocab_size, config.eos_token_id = 300, 299
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=20, chunk_length=2).save_pretrained(folder)
    return workload


SAVED = {"llava": saved_llava, "qwen2_vl": saved_qwen2_vl, "whisper": saved_whisper}
