"""What a model asked of its data that a simulation could only guess."""

from __future__ import annotations

from collections import Counter

from memorymark.errors import UnsupportedOperation
from memorymark.simulator.source_lines import running_line

# A loop that asks more often than this, and than so many times a sample, is taken as endless.
_MOST_ASKED = 1000
_MOST_ASKED_A_SAMPLE = 20


class Questions:
    """The questions of one simulation that had no known answer.

    Args:
        contrary: Whether they get the other answer: a mask selects nothing, a condition is
            false, a number is one. Two simulations that differ in this tell whether it matters.
        except_at: A line of the model's code whose questions get the opposite of that.
        batch_size: Samples of the batch.

    Attributes:
        asked: Whether there were any.
        number: The first line that asked for a whole number, such as a length; None for none.
        conditions: The lines that asked whether something is true.
        endless: What was raised where a line asked on and on; None where none did.
    """

    def __init__(
        self, contrary: bool = False, except_at: str | None = None, batch_size: int = 1
    ) -> None:
        self.asked = False
        self.number: str | None = None
        self.conditions: dict[str, None] = {}
        self.endless: UnsupportedOperation | None = None
        self._contrary = contrary
        self._except_at = except_at
        self._most = max(_MOST_ASKED, _MOST_ASKED_A_SAMPLE * batch_size)
        self._times: Counter[str | None] = Counter()

    @property
    def contrary(self) -> bool:
        """Whether the line that is running gets the other answer."""
        is_exception = self._except_at is not None and running_line() == self._except_at
        return self._contrary != is_exception

    def ask(self, sentence: str, *, number: bool = False, condition: bool = False) -> str:
        """Note a question.

        Args:
            sentence: What was asked and answered.
            number: Whether it was for a whole number, of which two answers say nothing.
            condition: Whether it was for a truth.

        Returns:
            The sentence with the line that asked.

        Raises:
            UnsupportedOperation: The line asks on and on: its loop waits for another answer.
        """
        line = running_line()
        self.asked = True
        if number and self.number is None:
            self.number = line or "The model"
        if condition and line is not None:
            self.conditions.setdefault(line)
        self._times[line] += 1
        if self._times[line] > self._most:
            self.endless = UnsupportedOperation(
                f"{line or 'The model'}: the loop goes on until values that a simulation does not "
                "have end it. Measure it on a device instead."
            )
            raise self.endless
        return sentence if line is None else f"{line}: {sentence}"
