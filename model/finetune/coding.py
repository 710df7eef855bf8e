"""The model: *coding* is to write a program for a description, and to be judged by running the problem's tests on it, in a sandbox.

The tests stand behind the description in what the model reads, as they alone say what the program's functions are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.examples import Coded
from model.finetune.kinds import Forward
from model.finetune.reading import Reading
from model.finetune.writing import Frame, Writing
from model.sandbox import Outcome, check_sandbox, run_program


class Coding(Writing):
    """See the module and `model.finetune.kinds`."""

    def __init__(self, reading: Reading, frame: Frame, learned: Sequence[Coded]) -> None:
        """Raises `RequestError` where no sandbox can be had: before anything is learned."""
        check_sandbox()
        super().__init__(reading, frame, learned)

    def prompt(self, example: Coded) -> list[int]:
        return self._framed("\n".join([example.prompt, *example.tests]))

    def judged(self, model: Forward, examples: Sequence[Coded]) -> list[list[bool]]:
        """Of each problem, whether the one program that was written for it passes."""
        programs = self.answer(model, examples)
        return [[run_tests(str(program), example).passed] for program, example in zip(programs, examples, strict=True)]

    def _targets(self, example: Any) -> Sequence[str]:
        return (example.solution,)


def run_tests(program: str, example: Coded) -> Outcome:
    """What becomes of a problem's tests when they are run after a program, and what sets them up after it, too: it may need the program."""
    return run_program("\n\n".join([program, example.setup, *example.tests]))
