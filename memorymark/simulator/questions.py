"""What a model asked of its data that a simulation could only guess."""

from __future__ import annotations

from memorymark.simulator.source_lines import running_line


class Questions:
    """The questions of one simulation that had no known answer.

    Args:
        contrary: Whether they get the other answer: a mask selects nothing, a condition is
            false, a number is one. Two simulations that differ in this tell whether it matters.

    Attributes:
        contrary: As given.
        asked: Whether there were any.
        number: The first line that asked for a whole number, such as a length; None for none.
    """

    def __init__(self, contrary: bool = False) -> None:
        self.contrary = contrary
        self.asked = False
        self.number: str | None = None

    def ask(self, sentence: str, *, number: bool = False) -> str:
        """Note a question.

        Args:
            sentence: What was asked and answered.
            number: Whether it was for a whole number, of which two answers say nothing.

        Returns:
            The sentence with the line that asked.
        """
        line = running_line()
        self.asked = True
        if number and self.number is None:
            self.number = line or "The model"
        return sentence if line is None else f"{line}: {sentence}"
