"""What a distribution of lengths means for the batch: worst case, promise of the mean, batching."""

from __future__ import annotations

from dataclasses import dataclass

from memorymark.records.costs import cost_band


@dataclass(frozen=True)
class LengthTrial:
    """One batch size tried at one length.

    Attributes:
        seq_len: Tokens to which each sample is padded.
        batch_size: Samples of a batch.
        share: Share of the data set's samples in such batches.
        fits: Whether the step completes; None where the trial failed.
        memory_bytes: The memory that it takes, as of any trial.
        step_seconds: Seconds of one optimizer step.
        samples_per_second: Samples through it over these seconds.
        speed_band: Where they are estimated, the least and the most samples a second that are
            likely.
    """

    seq_len: int
    batch_size: int
    share: float
    fits: bool | None = None
    memory_bytes: int | None = None
    step_seconds: float | None = None
    samples_per_second: float | None = None
    speed_band: tuple[float, float] | None = None

    def likely(self, figure: float | None) -> tuple[float, float] | None:
        """The least and the most that is likely of what goes with its step time."""
        return cost_band(figure, self.samples_per_second, self.speed_band)


@dataclass(frozen=True)
class Batching:
    """One way to make batches of samples of several lengths.

    Attributes:
        name: "shuffled", "by length" or "token budget".
        trials: Its batches, by the length to which they are padded.
        batch_size: Samples of a batch, on average.
        samples_per_second: Samples of the data set over the seconds that all of them take.
        samples_per_second_low: The least that any distribution with that shortest, mean and
            longest length gives, where no more is known of it.
        samples_per_second_high: The most.
        speed_band: Where seconds are estimated, the least and the most samples a second that are
            likely.
        tokens: Tokens of a batch, padding included, where they are what is held.
    """

    name: str
    trials: tuple[LengthTrial, ...]
    batch_size: float | None = None
    samples_per_second: float | None = None
    samples_per_second_low: float | None = None
    samples_per_second_high: float | None = None
    speed_band: tuple[float, float] | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class LengthReport:
    """What the lengths of a data set mean for the batch.

    Attributes:
        longest: The largest length, in tokens: that of the analysis.
        mean: The mean length, in tokens.
        samples: How many samples were counted; None where the distribution is assumed.
        assumed: What was assumed of it, in a sentence.
        surviving_batch_size: The largest batch that fits at the longest length.
        promised_batch_size: The largest that fits at the mean length, rounded up.
        batchings: Ways to make batches that survive, the usual one first.
    """

    longest: int
    mean: float
    samples: int | None
    assumed: str | None
    surviving_batch_size: int | None
    promised_batch_size: int | None
    batchings: tuple[Batching, ...] = ()
