"""Each kind of Hugging Face model trains what its configuration names, with its own batches."""

import pytest
import torch
import transformers
from tiny_configs import NAMED, TEXT, TINY, VISION, WAVES, tiny_training, tiny_workload

from memorymark.errors import BatchTooLong, MissingPackage, UnknownChoice, WorkloadError
from memorymark.records.config import TrainingConfig
from memorymark.workloads import tasks
from memorymark.workloads.build import build_model, make_batch
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.inputs import image_tokens
from memorymark.workloads.task_forms import FORMS
from memorymark.workloads.trial_spec import TrialSpec

CPU = torch.device("cpu")


def spec_of(name, batch_size=2, **changes):
    config = TrainingConfig(**{**tiny_training(name), **changes})
    return TrialSpec(tiny_workload(name), config, batch_size)


def batch_of(name, batch_size=2, **changes):
    return make_batch(spec_of(name, batch_size, **changes), CPU)


def workload_of(kind, **values):
    return HuggingFaceWorkload(f"tiny-{kind}", getattr(transformers, f"{kind}Config")(**values))


@pytest.mark.parametrize("name", [*TINY, *NAMED])
def test_a_step_has_a_finite_loss_with_gradients(name):
    spec = spec_of(name)
    assert spec.config.task == (TINY | NAMED)[name][2]
    model = build_model(spec.workload, spec.config, CPU)
    loss, _ = spec.workload.forward(model, make_batch(spec, CPU))
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert loss.numel() == 1 and loss.isfinite() and len(gradients) > 5
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_whisper_hears_thirty_seconds_and_writes():
    workload = workload_of(
        "Whisper", **TINY["whisper"][1] | {"max_source_positions": 1500, "num_mel_bins": 80}
    )
    config = workload.describe(TrainingConfig(seq_len=12))
    batch = workload.batch(3, config)
    assert batch["input_features"].shape == (3, 80, 3000) and batch["labels"].shape == (3, 12)
    assert set(batch) == {"input_features", "labels"}
    assert (config.task, config.audio_seconds) == ("speech-seq2seq", 30)


def test_audio_is_as_long_as_asked_for_where_the_model_takes_any_length():
    assert batch_of("wav2vec2", audio_seconds=2)["input_values"].shape == (2, 32_000)
    assert "attention_mask" not in batch_of("wav2vec2")  # group norm: trained without a mask
    assert batch_of("hubert")["attention_mask"].shape == (2, 16_000)
    workload = tiny_workload("wav2vec2")
    assert workload.describe(TrainingConfig()).audio_seconds == 10
    with pytest.raises(BatchTooLong, match="takes audio of 2 seconds, not 5"):
        tiny_workload("whisper").describe(TrainingConfig(audio_seconds=5))


def test_a_transcription_is_no_longer_than_ctc_aligns():
    assert batch_of("wav2vec2", audio_seconds=1, seq_len=128)["labels"].shape == (2, 12)


def test_layers_are_not_dropped_at_random():
    model = tiny_workload("wav2vec2").build(TrainingConfig(audio_seconds=1))
    assert transformers.Wav2Vec2Config().layerdrop > 0 == model.config.layerdrop


def test_pairs_have_texts_as_long_as_the_model_reads():
    batch = batch_of("clip", seq_len=128)
    assert batch["input_ids"].shape == (2, TEXT["max_position_embeddings"])
    assert batch["pixel_values"].shape == (2, 3, 32, 32) and batch["return_loss"] is True


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("llava", 16),  # 4 x 4 patches, the class token left out
        ("llava_next", 16 + 8 * 8 + 8),  # the whole image; four tiles of it and a new line a row
        ("paligemma", 16),
        ("gemma3", 4),
        ("qwen2_vl", 4),  # 4 x 4 patches, merged by 2 x 2
        ("qwen2_5_vl", 4),
        ("idefics2", 4),
        ("idefics3", 4),
        ("internvl", 4),
        ("blip-2", 4),
    ],
)
def test_the_text_holds_as_many_placeholders_as_the_image_has_features(name, tokens):
    batch = batch_of(name, seq_len=8)
    config = tiny_workload(name)._hf_config
    token = getattr(config, "image_token_id", None) or config.image_token_index
    ids = batch["input_ids"]
    assert (ids == token).sum(dim=1).tolist() == [tokens, tokens]
    assert ids.shape == batch["attention_mask"].shape == batch["labels"].shape
    assert ids.shape[1] - 8 in (tokens, tokens + 2)  # with marks of its beginning and end
    assert (batch["labels"] == -100).sum().item() == 2 * (ids.shape[1] - 8)


def test_qwen_takes_patches_of_all_images_in_one_tensor():
    batch = batch_of("qwen2_vl", image_size=64)
    assert batch["pixel_values"].shape == (2 * 64, 3 * 2 * 8 * 8)
    assert batch["image_grid_thw"].tolist() == [[1, 8, 8], [1, 8, 8]]


def test_objects_are_classes_and_boxes_in_shares_of_the_image():
    batch = batch_of("detr", image_size=96)
    assert batch["pixel_values"].shape == (2, 3, 96, 96) and batch["pixel_mask"].all()
    assert len(batch["labels"]) == 2
    for objects in batch["labels"]:
        assert objects["boxes"].shape == (len(objects["class_labels"]), 4)
        assert objects["boxes"].min() > 0 and objects["boxes"].max() < 1


def test_images_have_the_size_of_the_processor():
    def size(name, **given):
        return tiny_workload(name).describe(TrainingConfig(**given)).image_size

    assert (size("detr"), size("segformer"), size("vit_mae"), size("sam")) == (800, 512, 32, 64)
    assert (size("detr", image_size=480), size("qwen2_vl")) == (480, 224)
    with pytest.raises(BatchTooLong, match="images of 32 pixels, not 224"):
        size("vit_mae", image_size=224)


def test_videos_have_the_frames_of_the_configuration():
    assert batch_of("timesformer")["pixel_values"].shape == (2, 2, 3, 32, 32)
    with pytest.raises(BatchTooLong, match="videos of 2 frames, not 8"):
        tiny_workload("timesformer").describe(TrainingConfig(num_frames=8))


def test_segments_are_classes_of_pixels():
    batch = batch_of("segformer", num_labels=5)
    assert batch["labels"].shape == (2, 64, 64) and batch["labels"].max() == 4


def test_one_model_type_is_trained_as_its_architecture_says():
    def task(**values):
        return workload_of("Wav2Vec2", **WAVES, **values).describe(TrainingConfig()).task

    assert task() == task(architectures=["Wav2Vec2ForCTC"]) == "ctc"
    assert task(architectures=["Wav2Vec2Model"]) == "ctc"
    assert task(architectures=["Wav2Vec2ForSequenceClassification"]) == "audio-classification"


def test_a_class_with_batches_of_its_own_is_refused():
    for kind, architecture in (
        ("Wav2Vec2", "Wav2Vec2ForPreTraining"),
        ("Bert", "BertForPreTraining"),
    ):
        workload = workload_of(kind, architectures=[architecture])
        with pytest.raises(WorkloadError, match=rf"{architecture}.*package\.module:factory"):
            workload.describe(TrainingConfig())
    told = workload_of("Bert", architectures=["BertForPreTraining"])
    assert told.describe(TrainingConfig(task="masked-lm")).task == "masked-lm"


def test_models_that_are_not_trained_alone_are_refused():
    with pytest.raises(UnknownChoice, match=r"vits.*package\.module:factory"):
        workload_of("Vits").describe(TrainingConfig())


def test_a_class_that_reads_more_than_text_is_not_trained_on_text_unasked():
    audio_text = workload_of("Qwen2Audio", architectures=["Qwen2AudioForConditionalGeneration"])
    with pytest.raises(WorkloadError, match=r"package\.module:factory"):
        audio_text.describe(TrainingConfig())


def test_every_form_of_images_belongs_to_a_model_type():
    mapping = transformers.models.auto.configuration_auto.CONFIG_MAPPING_NAMES
    assert [name for name in image_tokens.FORMS if name not in mapping] == []
    assert all(form.only is None or form.only <= set(mapping) for form in FORMS.values())


def test_the_matching_of_objects_needs_scipy(monkeypatch):
    monkeypatch.setattr(tasks, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match="pip install scipy"):
        tiny_workload("detr").build(TrainingConfig())


def test_patches_are_masked_by_the_same_number_in_each_row():
    batch = batch_of("vit_simmim")
    assert batch["bool_masked_pos"].sum(dim=1).tolist() == [9, 9]
    assert VISION["image_size"] // VISION["patch_size"] == 4


def test_a_class_of_another_model_type_is_named_as_such():
    workload = workload_of("GPT2", architectures=["BertForMaskedLM"])
    with pytest.raises(WorkloadError, match="of the model type bert and not gpt2"):
        workload.describe(TrainingConfig())
