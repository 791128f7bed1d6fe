"""How long a week takes those who work through it: reading, core exercises and questions, counted from its script.

An author tags the text that is to be read before class `before`; the word {time} in the first cell becomes the sentence
that this file makes, so that no minute is stated which nobody counted.
"""

import re
from dataclasses import dataclass

from sslcourse.cli import Refusal
from sslcourse.cli.source import Cell, Script

WORDS_A_MINUTE = 200
MINUTES_A_POINT = 4  # of a written question, as its authors reckon
PLACE = "{time}"
_STATED = re.compile(r"^#.*·\s+about (\d+) minutes?\s*$", re.MULTILINE)
_WORD = re.compile(r"\w")


@dataclass(frozen=True)
class Timing:
    """Minutes of a week's reading before class, core exercises and questions, and the points of the two."""

    words: int
    exercises: int
    exercise_points: int
    questions: int
    question_points: int

    @property
    def reading(self) -> int:
        return -(-self.words // WORDS_A_MINUTE)

    @property
    def total(self) -> int:
        return self.reading + self.exercises + self.questions

    def __str__(self) -> str:
        return (
            f"reading before class about {self.reading} minutes ({self.words:,} words), core exercises "
            f"{self.exercises} ({self.exercise_points} points), questions {self.questions} ({self.question_points} "
            f"points): {self.total} minutes together."
        )


def of(script: Script) -> Timing:
    """Raises Refusal, with the line, for a core exercise whose heading does not say how long it takes."""
    exercises = points = 0
    for text, cell in zip(script.cells, script.cells[1:], strict=False):
        if cell.role == "exercise" and cell.points:
            stated = _STATED.search(text.source)
            if not stated:
                raise Refusal(
                    f"{script.name}.py, line {text.line}: the heading of {cell.exercise} does not end in "
                    "'·  about 15 minutes'; say how long it takes."
                )
            exercises, points = exercises + int(stated[1]), points + cell.points
    asked = sum(cell.points for cell in script.cells if cell.role == "question")
    words = sum(count_words(cell.source) for cell in script.cells if cell.role == "before")
    return Timing(words, exercises, points, MINUTES_A_POINT * asked, asked)


def count_words(text: str) -> int:
    """What stands between spaces and holds a letter or digit: a formula counts by its parts, a dash does not."""
    return sum(bool(_WORD.search(word)) for word in text.split())


def filled(cell: Cell, script: Script) -> str:
    """The text of a markdown cell with {time} filled in, and with a line below the heading of what to read before.

    Its minutes are those by which the reading grows up to there, so that all of a week's add up to what its first cell
    says.
    """
    source = cell.source.replace(PLACE, str(of(script))) if PLACE in cell.source else cell.source
    if cell.role != "before":
        return source
    before = sum(count_words(one.source) for one in script.cells if one.role == "before" and one.line < cell.line)
    minutes = -(-(before + count_words(source)) // WORDS_A_MINUTE) - -(-before // WORDS_A_MINUTE)
    about = f", about {minutes} minute{'s' * (minutes != 1)}" if minutes else ""
    mark = f"*To read before class{about}.*"
    head, found, rest = source.partition("\n")
    return f"{head}\n\n{mark}\n{rest}" if head.startswith("#") and found else f"{mark}\n\n{source}"
