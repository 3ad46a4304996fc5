"""What is wrong with a model or its file, apart from how to mend it."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ModelError


@dataclass(frozen=True)
class Problem:
    """Something that keeps a model from being used, and how to mend it.

    Attributes:
        text: what was found, and what was expected.
        remedy: how to mend it; empty where the text says all.
    """

    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


class ModelFileError(ModelError):
    """A model file cannot be opened.

    Attributes:
        problem: the message in its two parts.
    """

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.problem = problem
