"""How the next token is chosen: the likeliest, drawn, or given by the model's own form.

All that is done here is done alike on tensors without data, so that a simulation allocates what
a run does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from memorymark.inference.inference_step import (
    likeliest,
    sampled,
    shares_at,
    takes_likeliest,
)
from memorymark.records.generation_plan import GenerationPlan

NO_TOKEN = -1
"""Stands for the next token where the model's answer says none."""

_NEVER = float("-inf")


class Chooser:
    """Chooses the tokens of one generation, one after the other.

    Args:
        plan: Temperature, and among which tokens is drawn.
        generator: Draws; None takes torch's own.
        opening: What the text begins with, token by token: a token's number, or a mask
            (vocabulary) of those that may not stand there. Not drawn: of a mask the likeliest.
        refused: A mask of the tokens that are never written.
        refused_first: A mask of those with which the text does not begin.

    Attributes:
        chosen: How many tokens were chosen, the opening included.
    """

    def __init__(
        self,
        plan: GenerationPlan,
        generator: torch.Generator | None = None,
        opening: Sequence[int | Tensor] = (),
        refused: Tensor | None = None,
        refused_first: Tensor | None = None,
    ) -> None:
        self.chosen = 0
        self._plan, self._opening = plan, tuple(opening)
        self._refused, self._refused_first = refused, refused_first
        self._draw = sampled(plan.temperature, generator)

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the next token of each sequence, (batch_size, 1), from logits in fp32.

        It is NO_TOKEN where the logits hold NaN or infinity. The logits are written to.
        """
        unknown = _unknown(logits)
        return self._chosen(logits).masked_fill_(unknown, NO_TOKEN)

    def allowed(self, logits: Tensor) -> Tensor:
        """Return the logits of a token of the text without what may not stand there.

        It counts as chosen. The logits are written to.
        """
        turn, self.chosen = self.chosen, self.chosen + 1
        if self._refused is not None:
            logits.masked_fill_(self._refused, _NEVER)
        if self._refused_first is not None and turn == len(self._opening):
            logits.masked_fill_(self._refused_first, _NEVER)
        return logits

    def drawn(self, logits: Tensor) -> Tensor:
        """Return the likeliest token, or one that is drawn among the likely ones."""
        if not takes_likeliest(self._plan.temperature):
            logits = _among_likely(logits, self._plan)
        return self._draw(logits)

    def _chosen(self, logits: Tensor) -> Tensor:
        if self.chosen < len(self._opening):
            given, self.chosen = self._opening[self.chosen], self.chosen + 1
            if isinstance(given, int):
                return torch.full((len(logits), 1), given, device=logits.device)
            return likeliest(logits.masked_fill_(given, _NEVER))
        return self.drawn(self.allowed(logits))


class BlendedChooser:
    """Chooses tokens by the probabilities of two models: (1 - a) p_A + a p_B.

    p are the probabilities at the plan's temperature, of the likeliest token those at 1; top k and
    top p hold for the mixture. At a = 0 and a = 1 it is one model's own chooser that chooses, so
    that the text is that model's to the letter.

    Args:
        plan: Temperature, among which tokens is drawn, and a.
        first: Chooses the tokens of A alone.
        second: Chooses those of B.

    Attributes:
        share: The share of B in the probability of the newest token, (batch_size, 1).
    """

    share: Tensor

    def __init__(self, plan: GenerationPlan, first: Chooser, second: Chooser) -> None:
        self._a, self._temperature = plan.blend_share, plan.temperature
        if takes_likeliest(plan.temperature):
            self._temperature = 1.0
        self._first, self._second = first, second
        self._waiting: list[Tensor] = []

    def keep(self, logits: Tensor) -> Tensor:
        """Keep the logits of A until those of B are there; nothing is chosen yet."""
        self._waiting.append(logits)
        return logits

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the next token of each sequence, (batch_size, 1), from the logits of B in fp32.

        It is NO_TOKEN where logits hold NaN or infinity. The logits of both are written to.
        """
        others = self._waiting.pop()
        if self._a in (0, 1):
            self.share = torch.full((len(logits), 1), float(self._a), device=logits.device)
            return self._second(logits) if self._a else self._first(others)
        ours = self._log_shares(self._first.allowed(others)).add_(math.log1p(-self._a))
        theirs = self._log_shares(self._second.allowed(logits)).add_(math.log(self._a))
        mixed = torch.logaddexp(ours, theirs)
        token = self._first.drawn(mixed * self._temperature)
        self.share = (theirs - mixed).gather(-1, token).exp_()
        return token.masked_fill_(_unknown(mixed), NO_TOKEN)

    def _log_shares(self, logits: Tensor) -> Tensor:
        """Return the logarithms of the probabilities; see shares_at."""
        largest = logits.amax(dim=-1, keepdim=True)
        return torch.log_softmax((logits - largest).div_(self._temperature), dim=-1)


def _unknown(logits: Tensor) -> Tensor:
    """Return where the likeliest token is none, (batch_size, 1)."""
    return torch.isfinite(logits.amax(dim=-1, keepdim=True)).logical_not_()


def _among_likely(logits: Tensor, plan: GenerationPlan) -> Tensor:
    """Leave out the tokens that are not among the likeliest of a plan."""
    if plan.top_k is not None and plan.top_k < logits.shape[-1]:
        least = logits.topk(plan.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, _NEVER)
    if plan.top_p is not None and plan.top_p < 1:
        ordered, places = logits.sort(dim=-1, descending=True)
        shares = shares_at(ordered, plan.temperature)
        before = shares.cumsum(dim=-1) - shares  # of those that are likelier: the first has none
        beyond = before >= plan.top_p
        beyond[:, 0] = False
        logits = logits.masked_fill(beyond.scatter(-1, places, beyond), _NEVER)
    return logits
