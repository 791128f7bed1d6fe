"""What is judged, and what comes of it: plain records that travel between processes."""

import ast
from dataclasses import dataclass, field

SECONDS = 10  # of computing that an exercise has
KINDS = ("right", "wrong", "not attempted", "by hand", "check failed")


@dataclass(frozen=True)
class Exercise:
    """As released. given: not graded, its code is there from the start; plain: it takes and gives plain values."""

    name: str
    cell: str
    points: int
    blank: str
    solution: str
    given: bool
    plain: bool


@dataclass(frozen=True)
class Question:
    """A written question as released: prompt and model answer in Markdown."""

    name: str
    cell: str
    points: int
    blank: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Plan:
    """What a week's release asks for. exercises: in their order, given ones too; setup: sources of its cells."""

    week: str
    notebook: str
    title: str
    setup: tuple[str, ...]
    exercises: tuple[Exercise, ...]
    questions: tuple[Question, ...]
    cells: frozenset[str]  # ids of all cells of the release

    @property
    def graded(self) -> list[Exercise]:
        return [exercise for exercise in self.exercises if not exercise.given]

    @property
    def points(self) -> int:
        return sum(exercise.points for exercise in self.graded)

    def modules(self) -> set[str]:
        """Names of modules that set-up and solutions import, wherever; some are names within a module."""
        names: set[str] = set()
        for source in (*self.setup, *(exercise.solution for exercise in self.exercises)):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        return names

    def before(self, name: str, own: dict[str, str], helpers: list[tuple[str, str]]) -> list[list]:
        """Cells ([source, whether a student wrote it]) that run before an exercise: set-up, earlier ones, helpers.

        own: sources that count, of earlier exercises; the others are the reference. helpers: (the exercise that they
        stand behind, source).
        """
        cells = [[source, False] for source in self.setup]
        cells += [[source, True] for after, source in helpers if not after]
        for exercise in self.exercises:
            if exercise.name != name:
                mine = exercise.name in own
                cells.append([own[exercise.name] if mine else exercise.solution, mine])
            cells += [[source, True] for after, source in helpers if after == exercise.name]
            if exercise.name == name:
                break
        return cells


@dataclass
class Task:
    """One submission, ready to be judged: what was pulled out of a notebook.

    sources: of exercises; helpers: (the exercise before, source); refused: exercises that cannot be judged and why;
    reasons: why there is nothing of an exercise; notes: what was mended, for people.
    """

    student: str
    week: str
    sources: dict[str, str] = field(default_factory=dict)
    helpers: list[tuple[str, str]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: int = SECONDS

    def reason(self, name: str) -> str:
        return self.reasons.get(name, f"Nothing is named {name}: its cell was deleted, or defines another name.")


@dataclass(frozen=True)
class Verdict:
    """kind: right, wrong, not attempted, by hand or check failed; the last two are for a person.

    broken: its process took too long, ended or said nothing that can be read.
    """

    kind: str
    message: str
    remarks: list[str] = field(default_factory=list)
    broken: bool = False

    @property
    def for_a_person(self) -> bool:
        return self.kind in ("by hand", "check failed")


@dataclass
class Graded:
    """A submission and its verdicts; or refused, with the reason."""

    student: str
    week: str
    file: str
    task: Task | None = None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    refusal: str = ""

    def score(self, plan: Plan) -> int:
        return sum(one.points for one in plan.graded if self.verdicts[one.name].kind == "right")
