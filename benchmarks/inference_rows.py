"""Published figures of inference as rows: reading them, and what of each can be simulated."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memorymark.gpus.catalogue import Gpu, find_gpu
from memorymark.records.config import Attention
from memorymark.records.serving_config import CacheKind, WeightFormat

ROWS = Path(__file__).parent / "ground_truth" / "inference.csv"
MEMORY = ("peak_allocated", "peak_reserved", "nvidia_smi_used")
SECONDS = ("first_token_seconds", "decode_tokens_per_second")
COPIES = ("h2d_gb_per_s", "d2h_gb_per_s")
# Of each three families one took no part in any fit: by a sum over its name, not by choice.
_APART_OF = 3
_UNITS = {"MB": 1e6, "GB": 1e9, "MiB": 2**20, "GiB": 2**30}
_FORMATS = {
    "float32": WeightFormat.FP32, "float16": WeightFormat.FP16, "bfloat16": WeightFormat.BF16,
}  # fmt: skip
# Those that are simulated: bitsandbytes' 4 bits with scales in fp32, torchao's weight-only 8 bits.
_QUANTIZED = {
    "BnB.4bit": WeightFormat.INT4, "bnb.nf4": WeightFormat.INT4,
    "int8wo": WeightFormat.INT8, "int8 weight-only": WeightFormat.INT8,
}  # fmt: skip
# What a source calls a card, and its key in the catalogue. The leaderboard's machine "1xA10" is
# one of Amazon's g5 instances, whose card is the A10G.
_CARDS = (
    (r"leaderboard label 1xA10\b", "a10g"), (r"A10G", "a10g"), (r"\bA10\b", "a10"),
    (r"A100-PCIE-80|A100 80GB PCIe", "a100-80gb-pcie"), (r"A100-SXM4-40|A100-40", "a100-40gb"),
    (r"A100", "a100-80gb"), (r"H100", "h100-80gb"), (r"\bH200", "h200"), (r"B200", "b200"),
    (r"\bT4\b", "t4"), (r"V100-SXM2-16GB$", "v100-16gb"), (r"L40S", "l40s"), (r"\bL4\b", "l4"),
    (r"RTX A6000", "a6000"), (r"RTX 6000 Ada", "rtx-6000-ada"), (r"3060", "rtx-3060"),
    (r"3090$", "rtx-3090"), (r"4060", "rtx-4060"), (r"4080", "rtx-4080"), (r"4090", "rtx-4090"),
    (r"5090", "rtx-5090"),
)  # fmt: skip
# Cards that are not in the catalogue: memory is that of one of the same compute capability.
_LIKE = (
    (r"RTX 20|Titan RTX", "t4"), (r"RTX 30", "a6000"), (r"RTX 40", "l40s"),
    (r"H20\b|H800|GH200", "h200"),
)  # fmt: skip
# Versions of transformers of the time before a version of torch.
_OLDER = "4.44"
_BESIDE_TORCH = (((2, 5), _OLDER), ((2, 6), "4.47"))
_SEVERAL = re.compile(r"^([2-9]|\d\d)x ")
_NEW_TOKENS = 100  # of the script of transformers' tables, where they do not say


@dataclass(frozen=True)
class Figure:
    """One published figure.

    Attributes:
        values: Its row in the file.
        is_installed: Whether it is scored with the installed transformers, whatever the version
            that was measured.
    """

    values: dict[str, str]
    is_installed: bool = False

    @property
    def metric(self) -> str:
        """What was measured."""
        return self.values["metric"]

    @property
    def published(self) -> float:
        """The figure, in bytes, seconds or units a second."""
        unit = "MiB" if "MiB is likely" in self.values["notes"] else self.values["unit"]
        return float(self.values["value"]) * _UNITS.get(unit, 1.0)

    @property
    def is_strict(self) -> bool:
        """Whether the source prints all that the row says."""
        return "INFERRED" not in self.values["notes"]

    @property
    def family(self) -> str:
        """The family of its model: its name without its size."""
        name = self.values["model"].partition(" (")[0].rpartition("/")[2].lower()
        name = re.sub(r"^meta-", "", name)
        return re.split(r"[-_](?=\d|[a-z]+\d*$)|[-_]", name, maxsplit=1)[0] or name

    @property
    def is_apart(self) -> bool:
        """Whether its family took no part in any fit."""
        return is_apart(self.family)

    @property
    def batch_size(self) -> int:
        """Sequences at once; one where the row does not say."""
        return int(self.values["batch_size"] or 1)

    @property
    def prompt_tokens(self) -> int | None:
        """Tokens of the prompt; None where the row does not say."""
        if self.values["prompt_tokens"]:
            return int(self.values["prompt_tokens"])
        told = re.search(r"~(\d+) tokens", self.values["notes"])
        return int(told[1]) if told else None

    @property
    def new_tokens(self) -> int | None:
        """Tokens that were generated; None where the row does not say."""
        if self.values["new_tokens"]:
            return int(self.values["new_tokens"])
        return _NEW_TOKENS if self.values["source"].startswith("transformers model docs") else None

    @property
    def is_encoding(self) -> bool:
        """Whether nothing is generated: one pass of an encoder."""
        return self.values["task"] == "encoder forward"

    @property
    def counts_prefill(self) -> bool:
        """Whether a rate of tokens counts the seconds of the prompt."""
        notes = self.values["notes"]
        return "prefill INCLUDED" in notes or "incl. tiny prefill" in notes

    @property
    def weights(self) -> WeightFormat | None:
        """The format of its weights; None for another one."""
        quantization = self.values["quantization"]
        if quantization in ("", "none"):
            return _FORMATS.get(self.values["dtype"])
        return _QUANTIZED.get(quantization)

    @property
    def attention(self) -> Attention:
        """How attention was computed."""
        return Attention.EAGER if self.values["attention"].startswith("eager") else Attention.SDPA

    @property
    def cache(self) -> CacheKind:
        """The kind of cache."""
        static = self.values["cache"].startswith("static")
        return CacheKind.STATIC if static else CacheKind.DYNAMIC

    @property
    def cache_tokens(self) -> int | None:
        """Tokens that a static cache has room for, where they are told."""
        told = re.search(r"cache_size (\d+)|^static (\d+)$", self.values["cache"])
        return int(told[1] or told[2]) if told else None

    @property
    def is_compiled(self) -> bool:
        """Whether the decode step was compiled."""
        told = self.values["attention"] + self.values["software"]
        return "torch.compile" in told or "compile=True" in told

    @property
    def transformers_version(self) -> str | None:
        """The version of transformers; None for one of today's, or where it is not to count.

        By what the row says of it, else by torch's version, else by the year.
        """
        if self.is_installed:
            return None
        software = self.values["software"]
        if told := re.search(r"transformers (\d+\.\d+)", software):
            return told[1]
        if told := re.search(r"torch (\d+)\.(\d+)", software):
            torch = int(told[1]), int(told[2])
            return next((older for before, older in _BESIDE_TORCH if torch < before), None)
        if told := re.search(r"\b20(\d\d)\b", software):
            return _OLDER if int(told[1]) < 24 else None
        return _OLDER if "LLM-Perf" in self.values["source"] else None  # its runs are of 2024

    @property
    def is_other_code(self) -> bool:
        """Whether the model's code was not transformers': that of torchao, gpt-fast or litgpt."""
        return self.values["source"].startswith(("torchao", "gpt-fast", "litgpt"))

    @property
    def gpu(self) -> Gpu | None:
        """Its card; None where the catalogue has none of it."""
        name = self.values["gpu"]
        key = next((key for told, key in _CARDS if re.search(told, name)), None)
        return find_gpu(key) if key else None

    @property
    def simulated_gpu(self) -> Gpu | None:
        """The card that is simulated: its own, or one of the same compute capability."""
        name = self.values["gpu"]
        like = next((key for told, key in _LIKE if re.search(told, name)), None)
        return self.gpu or (find_gpu(like) if like else None)

    @property
    def context_bytes(self) -> int:
        """What CUDA takes beside the allocator; 0 where the card is not known."""
        return self.gpu.total_bytes - self.gpu.usable_bytes if self.gpu else 0

    def why_not(self) -> str | None:
        """Return why it cannot be simulated; None where it can be."""
        values = self.values
        told = " ".join((values["attention"], values["cache"], values["software"])).lower()
        reasons = (
            (self.metric == "load_seconds", "seconds to load depend on the disk"),
            (
                self.metric not in (*MEMORY, *SECONDS, *COPIES),
                "what an engine leaves for its cache",
            ),
            (self.metric in COPIES, None),
            ("vllm" in told or "sglang" in told, "another engine (vLLM, SGLang)"),
            ("exllama" in told and values["quantization"] == "none", "another engine (ExLlama)"),
            (
                values["quantization"] != "none" and self.weights is None,
                "weights quantized in another format",
            ),
            ("int8 quantized" in told, "an engine's own quantized cache"),
            (bool(_SEVERAL.match(values["gpu"])), "several cards"),
            ("offload=1" in values["notes"], "weights on the host"),
            (values["source"] == "openai/whisper README", "rounded to 1 GB, of another engine"),
            (self.weights is None, "no format of the weights is told"),
            (self.simulated_gpu is None, "no card is told, or one that is not known"),
            (self.metric in SECONDS and self.gpu is None, "the card is not in the catalogue"),
            (self.prompt_tokens is None, "no length is told"),
            (not self.is_encoding and self.new_tokens is None, "no length is told"),
            ("(beam" in values["task"], "beam search"),
        )
        return next((why for holds, why in reasons if holds), None)


def is_apart(family: str) -> bool:
    """Return whether a family of models took no part in any fit."""
    return zlib.crc32(family.encode()) % _APART_OF == 0


def load(file: Path = ROWS) -> Iterator[Figure]:
    """Yield the published figures of a file."""
    with file.open(encoding="utf-8", newline="") as lines:
        yield from map(Figure, csv.DictReader(lines))
