"""Configurations of Hugging Face models that train in milliseconds, one for each kind of batch."""

from __future__ import annotations

from typing import Any

TEXT = {
    "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64,
    "head_dim": 16,
}  # fmt: skip
VISION = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
WAVES = {
    "vocab_size": 32, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 32, "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
BART = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
}  # fmt: skip
WHISPER = {
    **BART, "vocab_size": 100, "num_mel_bins": 8, "max_source_positions": 100,
    "max_target_positions": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 3, "suppress_tokens": None, "begin_suppress_tokens": None,
}  # fmt: skip
BACKBONE = {
    "model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8, 8, 8],
    "depths": [1, 1, 1, 1], "layer_type": "basic",
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}  # fmt: skip
DETR = {
    **BART, "num_queries": 12, "use_timm_backbone": False, "use_pretrained_backbone": False,
    "backbone": None, "backbone_config": {**BACKBONE, "out_features": ["stage4"]},
}  # fmt: skip
LLAMA = {"model_type": "llama", **TEXT}
QWEN = {**TEXT, "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}}
CLIP_VISION = {"model_type": "clip_vision_model", **VISION}
SIGLIP_VISION = {"model_type": "siglip_vision_model", **VISION}
BERT = {"model_type": "bert", **{k: v for k, v in TEXT.items() if "key_value" not in k}}

# (name of the configuration, its values, the task that the model is trained for by default)
TINY: dict[str, tuple[str, dict[str, Any], str]] = {
    "whisper": ("WhisperConfig", WHISPER, "speech-seq2seq"),
    "speech_to_text": (
        "Speech2TextConfig",
        {**BART, "vocab_size": 100, "input_feat_per_channel": 8, "conv_channels": 16,
         "max_source_positions": 2000, "max_target_positions": 40},
        "speech-seq2seq",
    ),
    "speecht5": (
        "SpeechT5Config",
        {"vocab_size": 100, "hidden_size": 32, "encoder_layers": 1, "decoder_layers": 1,
         "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
         "decoder_ffn_dim": 32, "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16,
         "num_conv_pos_embedding_groups": 2},
        "speech-seq2seq",
    ),
    "moonshine": (
        "MoonshineConfig",
        {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 32,
         "encoder_num_hidden_layers": 1, "decoder_num_hidden_layers": 1,
         "encoder_num_attention_heads": 2, "decoder_num_attention_heads": 2},
        "speech-seq2seq",
    ),
    "wav2vec2": ("Wav2Vec2Config", WAVES, "ctc"),
    "hubert": ("HubertConfig", {**WAVES, "feat_extract_norm": "layer"}, "ctc"),
    "wavlm": ("WavLMConfig", WAVES, "ctc"),
    "data2vec-audio": ("Data2VecAudioConfig", WAVES, "ctc"),
    "wav2vec2-bert": (
        "Wav2Vec2BertConfig",
        {"vocab_size": 32, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 32},
        "ctc",
    ),
    "ast": (
        "ASTConfig",
        {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 32, "max_length": 200, "num_mel_bins": 32},
        "audio-classification",
    ),
    "clip": ("CLIPConfig", {"text_config": TEXT, "vision_config": VISION}, "contrastive"),
    "siglip": ("SiglipConfig", {"text_config": TEXT, "vision_config": VISION}, "contrastive"),
    "align": (
        "AlignConfig",
        {"text_config": TEXT,
         "vision_config": {"image_size": 32, "width_coefficient": 0.1, "depth_coefficient": 0.1,
                           "hidden_dim": 64}, "projection_dim": 32},
        "contrastive",
    ),
    "chinese_clip": (
        "ChineseCLIPConfig", {"text_config": TEXT, "vision_config": VISION}, "contrastive",
    ),
    "blip": (
        "BlipConfig",
        {"text_config": {**TEXT, "encoder_hidden_size": 32}, "vision_config": VISION},
        "image-text-to-text",
    ),
    "blip-2": (
        "Blip2Config",
        {"vision_config": VISION, "text_config": {"model_type": "opt", **TEXT, "ffn_dim": 32,
         "word_embed_proj_dim": 32}, "num_query_tokens": 4, "image_token_index": 90,
         "qformer_config": {**TEXT, "encoder_hidden_size": 32}},
        "image-text-to-text",
    ),
    "git": ("GitConfig", {**TEXT, "vision_config": VISION}, "image-text-to-text"),
    "vilt": ("ViltConfig", {**TEXT, **VISION}, "visual-question-answering"),
    "llava": (
        "LlavaConfig",
        {"text_config": LLAMA, "vision_config": CLIP_VISION, "image_token_index": 99},
        "image-text-to-text",
    ),
    "llava_next": (
        "LlavaNextConfig",
        {"text_config": LLAMA, "vision_config": CLIP_VISION, "image_token_index": 99,
         "image_grid_pinpoints": [[32, 64], [64, 32], [64, 64]]},
        "image-text-to-text",
    ),
    "paligemma": (
        "PaliGemmaConfig",
        {"text_config": {"model_type": "gemma", **TEXT}, "vision_config": SIGLIP_VISION,
         "image_token_index": 99, "projection_dim": 32, "hidden_size": 32},
        "image-text-to-text",
    ),
    "gemma3": (
        "Gemma3Config",
        {"text_config": TEXT, "vision_config": SIGLIP_VISION, "mm_tokens_per_image": 4,
         "image_token_index": 99},
        "image-text-to-text",
    ),
    "qwen2_vl": (
        "Qwen2VLConfig",
        {"text_config": QWEN, "image_token_id": 99, "video_token_id": 98,
         "vision_start_token_id": 96, "vision_end_token_id": 97,
         "vision_config": {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2,
                           "mlp_ratio": 1, "patch_size": 8}},
        "image-text-to-text",
    ),
    "qwen2_5_vl": (
        "Qwen2_5_VLConfig",
        {"text_config": QWEN, "image_token_id": 99, "video_token_id": 98,
         "vision_start_token_id": 96, "vision_end_token_id": 97,
         "vision_config": {"depth": 2, "hidden_size": 32, "out_hidden_size": 32, "num_heads": 2,
                           "intermediate_size": 32, "patch_size": 8, "window_size": 32,
                           "fullatt_block_indexes": [1]}},
        "image-text-to-text",
    ),
    "idefics2": (
        "Idefics2Config",
        {"text_config": {"model_type": "mistral", **TEXT}, "vision_config": VISION,
         "perceiver_config": {"resampler_n_latents": 4, "resampler_depth": 1,
                              "resampler_n_heads": 2, "resampler_head_dim": 16,
                              "num_key_value_heads": 2, "hidden_size": 32},
         "image_token_id": 99},
        "image-text-to-text",
    ),
    "idefics3": (
        "Idefics3Config",
        {"text_config": LLAMA, "vision_config": VISION, "scale_factor": 2, "image_token_id": 99},
        "image-text-to-text",
    ),
    "internvl": (
        "InternVLConfig",
        {"text_config": {"model_type": "qwen2", **TEXT}, "image_token_id": 99,
         "vision_config": {**VISION, "image_size": [32, 32], "patch_size": [8, 8]}},
        "image-text-to-text",
    ),
    "smolvlm": (
        "SmolVLMConfig",
        {"text_config": LLAMA, "vision_config": VISION, "scale_factor": 2, "image_token_id": 99},
        "image-text-to-text",
    ),
    "vipllava": (
        "VipLlavaConfig",
        {"text_config": LLAMA, "vision_config": CLIP_VISION, "image_token_index": 99,
         "vision_feature_layers": [-1, -2]},
        "image-text-to-text",
    ),
    "llava_onevision": (
        "LlavaOnevisionConfig",
        {"text_config": {"model_type": "qwen2", **TEXT}, "vision_config": SIGLIP_VISION,
         "image_token_index": 99, "image_grid_pinpoints": [[32, 32], [64, 64]]},
        "image-text-to-text",
    ),
    "mistral3": (
        "Mistral3Config",
        {"text_config": {"model_type": "mistral", **TEXT}, "image_token_index": 10,
         "vision_config": {"model_type": "pixtral", **VISION, "head_dim": 16,
                           "image_size": 64, "num_hidden_layers": 1}},
        "image-text-to-text",
    ),
    "mllama": (
        "MllamaConfig",
        {"text_config": {**TEXT, "cross_attention_layers": [1], "num_hidden_layers": 2,
                         "pad_token_id": 0},
         "vision_config": {"hidden_size": 32, "image_size": 32, "patch_size": 8,
                           "num_hidden_layers": 2, "num_global_layers": 1, "attention_heads": 2,
                           "intermediate_size": 32, "max_num_tiles": 4,
                           "intermediate_layers_indices": [0, 1], "vision_output_dim": 96,
                           "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1], [2, 2]]},
         "image_token_index": 99},
        "image-text-to-text",
    ),
    "llama4": (
        "Llama4Config",
        {"text_config": {**TEXT, "intermediate_size_mlp": 32, "num_local_experts": 2,
                         "pad_token_id": 0},
         "vision_config": {"hidden_size": 32, "image_size": 32, "patch_size": 8,
                           "num_hidden_layers": 1, "num_attention_heads": 2,
                           "intermediate_size": 128, "vision_output_dim": 32,
                           "projector_input_dim": 32, "projector_output_dim": 32},
         "image_token_index": 99},
        "image-text-to-text",
    ),
    "aya_vision": (
        "AyaVisionConfig",
        {"text_config": {"model_type": "cohere2", **TEXT}, "vision_config": SIGLIP_VISION,
         "image_token_index": 99, "adapter_layer_norm_eps": 1e-6},
        "image-text-to-text",
    ),
    "got_ocr2": (
        "GotOcr2Config",
        {"text_config": {"model_type": "qwen2", **TEXT}, "image_token_index": 99,
         "vision_config": {**VISION, "image_size": 64, "output_channels": 32, "window_size": 2,
                           "global_attn_indexes": [1], "mlp_dim": 32}},
        "image-text-to-text",
    ),
    "glm4v": (
        "Glm4vConfig",
        {"text_config": {**TEXT, "rope_scaling": {"type": "default", "mrope_section": [2, 3, 3]}},
         "image_token_id": 99, "video_token_id": 98, "image_start_token_id": 96,
         "image_end_token_id": 97, "video_start_token_id": 94, "video_end_token_id": 95,
         "vision_config": {"depth": 1, "hidden_size": 32, "out_hidden_size": 32, "num_heads": 2,
                           "intermediate_size": 32, "patch_size": 8, "image_size": 32}},
        "image-text-to-text",
    ),
    "qwen3_vl": (
        "Qwen3VLConfig",
        {"text_config": {**TEXT, "rope_scaling": {"rope_type": "default",
                                                  "mrope_section": [2, 3, 3]}},
         "image_token_id": 99, "video_token_id": 98,
         "vision_start_token_id": 96, "vision_end_token_id": 97,
         "vision_config": {"depth": 1, "hidden_size": 32, "out_hidden_size": 32, "num_heads": 2,
                           "intermediate_size": 32, "patch_size": 8,
                           "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}},
        "image-text-to-text",
    ),
    "instructblip": (
        "InstructBlipConfig",
        {"vision_config": VISION, "num_query_tokens": 4, "image_token_index": 90,
         "text_config": {"model_type": "opt", **TEXT, "ffn_dim": 32, "word_embed_proj_dim": 32},
         "qformer_config": {**TEXT, "encoder_hidden_size": 32}},
        "image-text-to-text",
    ),
    "pix2struct": (
        "Pix2StructConfig",
        {"text_config": {"vocab_size": 100, "hidden_size": 32, "d_kv": 16, "d_ff": 32,
                         "num_layers": 1, "num_heads": 2},
         "vision_config": {"hidden_size": 32, "patch_embed_hidden_size": 48, "d_ff": 32,
                           "d_kv": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                           "seq_len": 2048}},
        "image-text-to-text",
    ),
    "florence2": (
        "Florence2Config",
        {"text_config": {"model_type": "bart", **BART, "vocab_size": 100},
         "vision_config": {"depths": [1, 1, 1, 1], "embed_dim": [8, 8, 16, 16],
                           "num_heads": [1, 1, 2, 2], "num_groups": [1, 1, 2, 2],
                           "window_size": 2, "projection_dim": 32},
         "image_token_id": 99},
        "image-text-to-text",
    ),
    "kosmos-2": (
        "Kosmos2Config",
        {"text_config": {"vocab_size": 100, "embed_dim": 32, "layers": 1, "ffn_dim": 32,
                         "attention_heads": 2, "max_position_embeddings": 64},
         "vision_config": VISION, "latent_query_num": 4},
        "image-text-to-text",
    ),
    "idefics": (
        "IdeficsConfig",
        {**TEXT, "vision_config": {"embed_dim": 32, "image_size": 32, "patch_size": 8,
                                   "num_hidden_layers": 1, "num_attention_heads": 2,
                                   "intermediate_size": 32},
         "perceiver_config": {"use_resampler": False}, "additional_vocab_size": 0,
         "cross_layer_interval": 1},
        "image-text-to-text",
    ),
    "deepseek_vl": (
        "DeepseekVLConfig",
        {"text_config": LLAMA, "vision_config": SIGLIP_VISION, "image_token_id": 99},
        "image-text-to-text",
    ),
    "janus": (
        "JanusConfig",
        {"text_config": LLAMA, "image_token_id": 99,
         "vision_config": {**VISION, "projection_dim": 32, "depth": 2, "mlp_ratio": 1.0},
         "vq_config": {"base_channels": 32, "embed_dim": 8, "num_embeddings": 16,
                       "latent_channels": 8, "channel_multiplier": [1, 1], "num_res_blocks": 1,
                       "image_token_embed_dim": 32, "num_patches": 4}},
        "image-text-to-text",
    ),
    "trocr": (
        "VisionEncoderDecoderConfig",
        {"encoder": {"model_type": "vit", **VISION},
         "decoder": {**BERT, "is_decoder": True, "add_cross_attention": True}},
        "image-text-to-text",
    ),
    "detr": ("DetrConfig", DETR, "object-detection"),
    "conditional_detr": ("ConditionalDetrConfig", DETR, "object-detection"),
    "table-transformer": ("TableTransformerConfig", DETR, "object-detection"),
    "yolos": ("YolosConfig", {**VISION, "image_size": [32, 32], "num_detection_tokens": 12},
              "object-detection"),
    "segformer": (
        "SegformerConfig",
        {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "decoder_hidden_size": 16,
         "num_attention_heads": [1, 1, 2, 2]},
        "semantic-segmentation",
    ),
    "upernet": (
        "UperNetConfig",
        {"backbone_config": BACKBONE, "hidden_size": 16, "pool_scales": [1, 2],
         "auxiliary_in_channels": 8, "auxiliary_channels": 8},
        "semantic-segmentation",
    ),
    "sam": (
        "SamConfig",
        {"vision_config": {**VISION, "image_size": 64, "output_channels": 16, "window_size": 2,
                           "global_attn_indexes": [1], "mlp_dim": 32, "num_pos_feats": 8},
         "prompt_encoder_config": {"hidden_size": 16, "image_size": 64, "patch_size": 8},
         "mask_decoder_config": {"hidden_size": 16, "num_attention_heads": 2, "mlp_dim": 32,
                                 "iou_head_hidden_dim": 16}},
        "mask-generation",
    ),
    "vit_mae": (
        "ViTMAEConfig",
        {**VISION, "decoder_hidden_size": 16, "decoder_num_hidden_layers": 1,
         "decoder_num_attention_heads": 2, "decoder_intermediate_size": 16},
        "masked-image-modeling",
    ),
    "timesformer": ("TimesformerConfig", {**VISION, "num_frames": 2}, "video-classification"),
    "videomae": ("VideoMAEConfig", {**VISION, "num_frames": 4}, "video-classification"),
    "vivit": (
        "VivitConfig", {**VISION, "num_frames": 4, "tubelet_size": [2, 8, 8]},
        "video-classification",
    ),
    "glpn": (
        "GLPNConfig",
        {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "decoder_hidden_size": 8,
         "num_attention_heads": [1, 1, 2, 2]},
        "depth-estimation",
    ),
}  # fmt: skip

# Where a configuration leaves the size of images open, or states one that is too large.
SMALL_IMAGES = {
    "florence2",
    "detr",
    "conditional_detr",
    "table-transformer",
    "segformer",
    "upernet",
    "glpn",
}
# Architectures in the configuration, where the type alone is usually trained for something else.
NAMED = {
    "vit_simmim": (
        "ViTConfig",
        {**VISION, "encoder_stride": 8, "architectures": ["ViTForMaskedImageModeling"]},
        "masked-image-modeling",
    ),
    "videomae_pretraining": (
        "VideoMAEConfig",
        {**VISION, "num_frames": 4, "decoder_hidden_size": 16, "decoder_num_hidden_layers": 1,
         "decoder_num_attention_heads": 2, "decoder_intermediate_size": 16,
         "architectures": ["VideoMAEForPreTraining"]},
        "masked-video-modeling",
    ),
    "wav2vec2_classifier": (
        "Wav2Vec2Config", {**WAVES, "architectures": ["Wav2Vec2ForSequenceClassification"]},
        "audio-classification",
    ),
    "beit_segmentation": (
        "BeitConfig",
        {**VISION, "num_hidden_layers": 4, "out_indices": [1, 2, 3, 4], "image_size": 128,
         "use_auxiliary_head": False,
         "pool_scales": [1, 2], "architectures": ["BeitForSemanticSegmentation"]},
        "semantic-segmentation",
    ),
    "clip_classifier": (
        "CLIPConfig",
        {"text_config": TEXT, "vision_config": VISION,
         "architectures": ["CLIPForImageClassification"]},
        "image-classification",
    ),
    "blip_answers": (
        "BlipConfig",
        {"text_config": {**TEXT, "encoder_hidden_size": 32}, "vision_config": VISION,
         "architectures": ["BlipForQuestionAnswering"]},
        "visual-question-answering",
    ),
}  # fmt: skip


def tiny_workload(name: str) -> Any:
    """Return the workload of a tiny configuration."""
    import transformers

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    kind, values, _ = (TINY | NAMED)[name]
    return HuggingFaceWorkload(f"tiny-{name}", getattr(transformers, kind)(**values))


def tiny_training(name: str) -> dict[str, Any]:
    """Return the lengths at which it trains in milliseconds."""
    lengths: dict[str, Any] = {"seq_len": 8, "optimizer": "sgd"}
    if name in SMALL_IMAGES:
        lengths["image_size"] = 64
    if name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v", "mistral3"):
        lengths["image_size"] = 32
    if name in ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "wav2vec2-bert", "speech_to_text",
                "speecht5", "moonshine", "wav2vec2_classifier"):  # fmt: skip
        lengths["audio_seconds"] = 1
    return lengths
