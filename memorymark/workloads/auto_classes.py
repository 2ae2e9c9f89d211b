"""transformers' Auto classes by task, without torch: the first of a task that has the model."""

from __future__ import annotations

from memorymark.records.config import Task

AUTO_CLASSES: dict[Task, tuple[str, ...]] = {
    Task.SEQUENCE_CLASSIFICATION: ("AutoModelForSequenceClassification",),
    Task.TOKEN_CLASSIFICATION: ("AutoModelForTokenClassification",),
    Task.QUESTION_ANSWERING: ("AutoModelForQuestionAnswering",),
    Task.MULTIPLE_CHOICE: ("AutoModelForMultipleChoice",),
    Task.CAUSAL_LM: ("AutoModelForCausalLM",),
    Task.MASKED_LM: ("AutoModelForMaskedLM",),
    Task.SEQ2SEQ_LM: ("AutoModelForSeq2SeqLM",),
    Task.IMAGE_CLASSIFICATION: ("AutoModelForImageClassification",),
    Task.SPEECH_SEQ2SEQ: ("AutoModelForSpeechSeq2Seq",),
    Task.CTC: ("AutoModelForCTC",),
    Task.AUDIO_CLASSIFICATION: ("AutoModelForAudioClassification",),
    Task.CONTRASTIVE: ("AutoModel",),
    Task.IMAGE_TEXT_TO_TEXT: ("AutoModelForImageTextToText", "AutoModelForVision2Seq"),
    Task.VISUAL_QUESTION_ANSWERING: ("AutoModelForVisualQuestionAnswering",),
    Task.OBJECT_DETECTION: ("AutoModelForObjectDetection",),
    Task.SEMANTIC_SEGMENTATION: ("AutoModelForSemanticSegmentation",),
    Task.UNIVERSAL_SEGMENTATION: (
        "AutoModelForUniversalSegmentation", "AutoModelForInstanceSegmentation",
    ),
    Task.MASK_GENERATION: ("AutoModelForMaskGeneration",),
    Task.DEPTH_ESTIMATION: ("AutoModelForDepthEstimation",),
    Task.MASKED_IMAGE_MODELING: ("AutoModelForMaskedImageModeling", "AutoModelForPreTraining"),
    Task.VIDEO_CLASSIFICATION: ("AutoModelForVideoClassification",),
    Task.MASKED_VIDEO_MODELING: ("AutoModelForPreTraining",),
}  # fmt: skip
