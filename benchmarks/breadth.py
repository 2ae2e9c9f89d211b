"""Counts for how many architectures a training step can be simulated.

    python benchmarks/breadth.py [--json FILE] [--only TEXT] [--task TASK ...] [--timeout SECONDS]

Takes every architecture in transformers' own mappings for each task, small, from its default
configuration, every model of torchvision that can be trained, and every model whose configuration
is shipped, in its full size. Each is simulated in a worker process with a time limit, so that a
crash of the process would be seen and counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import multiprocessing
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

GPU = "a100-40gb"
BATCH_SIZE = 2
SEQ_LEN = 32
MAPPINGS = {
    "causal-lm": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "masked-lm": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "sequence-classification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "seq2seq-lm": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "image-classification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "speech-seq2seq": "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
    "ctc": "MODEL_FOR_CTC_MAPPING_NAMES",
    "audio-classification": "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",
    "contrastive": "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "image-text-to-text": "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "visual-question-answering": "MODEL_FOR_VISUAL_QUESTION_ANSWERING_MAPPING_NAMES",
    "object-detection": "MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES",
    "semantic-segmentation": "MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES",
    "universal-segmentation": "MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES",
    "mask-generation": "MODEL_FOR_MASK_GENERATION_MAPPING_NAMES",
    "depth-estimation": "MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES",
    "masked-image-modeling": "MODEL_FOR_MASKED_IMAGE_MODELING_MAPPING_NAMES",
    "video-classification": "MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES",
}

TORCHVISION = "torchvision"
SHIPPED = "shipped"
# Takes any model: a step that ends out of memory would not be simulated to its end.
ROOM_BYTES = 8 * 2**40
_LONGEST_REASON = 240


@dataclass(frozen=True)
class Case:
    """One architecture for one task.

    Attributes:
        task: A key of MAPPINGS, "torchvision" or "shipped".
        name: transformers' model type, torchvision's name, or the id of a shipped model.
    """

    task: str
    name: str


@dataclass(frozen=True)
class Result:
    """What came of a case.

    Attributes:
        task: The case's task.
        name: The case's name.
        status: "ok", "error", "timeout" or "abort".
        reason: Why it is not "ok".
        seconds: Wall-clock seconds.
        assumptions: What the model was told where it asked for data.
    """

    task: str
    name: str
    status: str
    reason: str | None
    seconds: float
    assumptions: tuple[str, ...] = ()


def list_cases() -> list[Case]:
    """Return every architecture of the mappings, torchvision's models and the shipped ones."""
    from transformers.models.auto import modeling_auto

    from memorymark.workloads.known_models import known_models
    from memorymark.workloads.vision import list_vision_models

    cases = [
        Case(task, name)
        for task, mapping in MAPPINGS.items()
        for name in sorted(getattr(modeling_auto, mapping))
    ]
    cases += [Case(TORCHVISION, name) for name in list_vision_models("torchvision")]
    return cases + [Case(SHIPPED, model.name) for model in known_models()]


def run_case(case: Case) -> Result:
    """Simulate a trial of the case in this process, as users do."""
    start = time.perf_counter()
    reasons = []
    for workload, config in _attempts(case):
        reason, assumptions = _simulate(workload, config)
        reasons.append(reason)
        if reason is None:
            break
    status = "ok" if reason is None else "error"
    reason = reasons[0] if reason else None
    return Result(case.task, case.name, status, reason, time.perf_counter() - start, assumptions)


def _attempts(case: Case) -> Iterator[tuple[Any, Any]]:
    """Yield the model as small as can be, then less small: not every shrunk one can exist."""
    from memorymark.records.config import TrainingConfig
    from memorymark.workloads.huggingface import HuggingFaceWorkload
    from memorymark.workloads.registry import resolve
    from memorymark.workloads.vision import vision_workload

    if case.task == SHIPPED:
        yield resolve(case.name), TrainingConfig(seq_len=SEQ_LEN)
        return
    if case.task == TORCHVISION:
        yield vision_workload(TORCHVISION, case.name), TrainingConfig(num_labels=10)
        return
    for hf_config in _configurations(case.name):
        if case.task == "causal-lm" and hasattr(hf_config, "is_decoder"):
            hf_config.is_decoder = True
        workload = HuggingFaceWorkload(f"hf:{case.name}", hf_config)
        yield workload, TrainingConfig(task=case.task, seq_len=_seq_len(hf_config))


def _configurations(model_type: str) -> Iterator[Any]:
    from shrink import shrink
    from transformers import AutoConfig

    default = AutoConfig.for_model(model_type)
    for narrow in (True, False):
        try:
            yield shrink(default, narrow=narrow)
        except Exception:  # the values do not go together: the next one is less small
            continue
    yield default


def _seq_len(hf_config: Any) -> int:
    """Return the one length that a model takes, where it takes but one."""
    if getattr(hf_config, "axial_pos_embds", False):  # Reformer's table of positions
        return math.prod(hf_config.axial_pos_shape)
    if hf_config.model_type == "perceiver":  # it decodes to all positions
        return hf_config.max_position_embeddings
    return SEQ_LEN


def _simulate(workload: Any, config: Any) -> tuple[str | None, tuple[str, ...]]:

    from memorymark.errors import MemoryMarkError
    from memorymark.gpus.catalogue import find_gpu
    from memorymark.probes.simulated import SimulatedProbe
    from memorymark.records.trial import Outcome
    from memorymark.workloads.trial_spec import TrialSpec

    try:
        spec = TrialSpec(workload, config, BATCH_SIZE)
        gpu = dataclasses.replace(find_gpu(GPU), total_bytes=ROOM_BYTES)
        trial = SimulatedProbe(gpu).run_trial(spec)
    except MemoryMarkError as error:
        return f"{type(error).__name__}: {error}", ()
    if trial.outcome is not Outcome.OK:
        return f"it ended with {trial.outcome}: {trial.error}", ()
    return None, tuple(text for text in trial.assumptions if text.startswith("The model"))


def _work(connection: Connection) -> None:
    """Answer cases until the other side hangs up."""
    import warnings

    warnings.filterwarnings("ignore")
    while True:
        try:
            case = connection.recv()
        except EOFError:
            return
        start = time.perf_counter()
        try:
            result = run_case(case)
        except Exception as error:
            reason = f"not a MemoryMarkError: {type(error).__name__}: {error}"
            result = Result(case.task, case.name, "error", reason, time.perf_counter() - start)
        connection.send(result)


class Worker:
    """A process that simulates cases one after the other, and is replaced when it ends.

    Args:
        timeout_s: Seconds for one case.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._start()

    def run(self, case: Case) -> Result:
        """Return what came of the case, whatever happens to the process."""
        start = time.perf_counter()
        self._connection.send(case)
        if not self._connection.poll(self._timeout_s):
            self._restart()
            return Result(case.task, case.name, "timeout", None, time.perf_counter() - start)
        try:
            return self._connection.recv()
        except EOFError:
            self._process.join()
            reason = f"the process ended with code {self._process.exitcode}"
            self._restart()
            return Result(case.task, case.name, "abort", reason, time.perf_counter() - start)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other,), daemon=True)
        self._process.start()
        other.close()

    def _restart(self) -> None:
        self.close()
        self._start()


def run_all(cases: Iterable[Case], workers: int, timeout_s: float) -> list[Result]:
    """Run cases in worker processes and return the results in order of case."""
    waiting, results, lock = list(reversed(list(cases))), [], threading.Lock()

    def serve() -> None:
        worker = Worker(timeout_s)
        while True:
            with lock:
                case = waiting.pop() if waiting else None
            if case is None:
                worker.close()
                return
            results.append(worker.run(case))
            _show(results[-1])

    threads = [threading.Thread(target=serve) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(results, key=lambda result: (result.task, result.name))


def _show(result: Result) -> None:
    if result.status != "ok":
        print(f"{result.task:24} {result.name:28} {result.status:8} {result.reason or ''}")


def summary(results: list[Result]) -> dict[str, dict[str, float]]:
    """Return, by task and over all of transformers, how many simulate."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.task, []).append(result)
        if result.task not in (TORCHVISION, SHIPPED):
            groups.setdefault("transformers", []).append(result)
    return {task: _counts(group) for task, group in groups.items()}


def _counts(group: list[Result]) -> dict[str, float]:
    ok = sum(result.status == "ok" for result in group)
    return {"simulate": ok, "of": len(group), "share": ok / len(group)}


def document(results: list[Result]) -> dict[str, Any]:
    """Return the run as it is kept: the counts, and what does not simulate with its reason."""
    failures = [
        {"task": r.task, "name": r.name, "status": r.status, "reason": _first_line(r.reason)}
        for r in results
        if r.status != "ok"
    ]
    packages = ("torch", "torchvision", "transformers")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "software": {package: version(package) for package in packages},
        "summary": summary(results),
        "with_assumptions": sum(bool(r.assumptions) for r in results),
        "seconds": round(sum(r.seconds for r in results)),
        "failures": failures,
    }


def _first_line(reason: str | None) -> str | None:
    return None if reason is None else reason.splitlines()[0][:_LONGEST_REASON]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write counts and failures there")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--task", nargs="*", help="tasks; all by default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for one case")
    options = parser.parse_args()
    cases = [
        case
        for case in list_cases()
        if options.only in case.name and (not options.task or case.task in options.task)
    ]
    results = run_all(cases, options.workers, options.timeout)
    counts = summary(results)
    for task, row in counts.items():
        print(f"{task:24} {row['simulate']:4d} of {row['of']:4d}  {row['share']:.1%}")
    if options.json:
        text = json.dumps(document(results), indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
