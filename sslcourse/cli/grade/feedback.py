"""One page for one student: their code, the verdict, the points; their answers beside the model answers."""

import html
from collections.abc import Callable

from sslcourse.cli.grade.plan import Graded, Plan, Verdict

SHOWN = 20_000  # characters of one cell that are shown
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
pre{background:#8881;padding:.7rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}
table{border-collapse:collapse}td,th{border:1px solid #8886;padding:.3rem .6rem;text-align:left;vertical-align:top}
.right{border-left:.4rem solid #0072b2}.wrong,.by-hand,.check-failed{border-left:.4rem solid #d55e00}
.not-attempted{border-left:.4rem solid #999}section{padding-left:1rem;margin:1.5rem 0}"""


def page(plan: Plan, graded: Graded, mistake: Callable[[Verdict], str]) -> str:
    """The page as HTML. All that is a student's is text in it, never markup."""
    parts = [f"<h1>{text(plan.title)}</h1><p>{text(graded.student)}: {graded.score(plan)} of {plan.points} points"]
    parts.append(" for the exercises; written answers are read by a person.</p>" if plan.questions else ".</p>")
    parts += [f"<p>{text(note)}</p>" for note in graded.task.notes]
    for exercise in plan.graded:
        verdict = graded.verdicts[exercise.name]
        earned = exercise.points if verdict.kind == "right" else 0
        worth = f"{earned} of {exercise.points} points" if exercise.points else "optional"
        if verdict.for_a_person:
            worth = f"a person decides, {exercise.points} points"
        source = graded.task.sources.get(exercise.name, "")
        parts.append(
            f'<section class="{verdict.kind.replace(" ", "-")}"><h2>{exercise.name}: {verdict.kind}, {worth}</h2>'
            f"<p>{text(verdict.message)}</p>{''.join(f'<p>{text(one)}</p>' for one in verdict.remarks)}"
            f"{f'<pre>{text(source)}</pre>' if source else ''}</section>"
        )
    for question in plan.questions:
        answer = graded.task.answers.get(question.name, "")
        given = f"<pre>{text(answer)}</pre>" if answer else "<p>No answer.</p>"
        parts.append(
            f"<section><h2>{question.name}: {question.points} points</h2><pre>{text(question.prompt)}</pre>"
            f"<h3>Your answer</h3>{given}<h3>A model answer</h3><pre>{text(question.answer)}</pre></section>"
        )
    return document(f"{plan.week}: {graded.student}", "".join(parts))


def document(title: str, body: str) -> str:
    """A whole page that loads nothing and runs nothing."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>{body}</body></html>\n'
    )


def text(value: str) -> str:
    """As text in HTML, cut where it is very long; control characters are made visible."""
    cut = value if len(value) <= SHOWN else f"{value[:SHOWN]}\n... ({len(value)} characters)"
    shown = "".join(c if c in "\n\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in cut)
    return html.escape(shown)
