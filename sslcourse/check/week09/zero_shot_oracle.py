"""Week 9: CLIP's zero-shot classifier, one class and one prompt after another.

Reference: Radford et al. 2021, "Learning transferable visual models from natural language supervision", section 3.1.4.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week04.oracle import unit


def _as_is(z: Tensor) -> Tensor:
    return z


def _unit_columns(z: Tensor) -> Tensor:
    return z / z.norm(dim=0)


def zero_shot_weights(class_names: Sequence[str], templates: Sequence[str], encode_text: Callable) -> Tensor:
    """A column for each class: the normalised mean of the normalised embeddings of its prompts, (D, K)."""
    columns = []
    for name in class_names:
        rows = [unit(encode_text([template.replace("{}", name)]).double())[0] for template in templates]
        mean = sum(rows) / len(rows)
        columns.append(mean / mean.norm())
    return torch.stack(columns, dim=1)


def _zero_shot(
    class_names,
    templates,
    encode_text,
    *,
    before=unit,
    after=unit,
    pick=slice(None),
    mean: Callable = lambda rows: rows.mean(dim=0, keepdim=True),
) -> Tensor:
    columns = []
    for name in class_names:
        rows = encode_text([template.replace("{}", name) for template in templates[pick]]).double()
        columns.append(after(mean(before(rows)))[0])
    return torch.stack(columns, dim=1)


def _mixed(class_names, templates, encode_text, *, by_class: bool) -> Tensor:
    """All prompts at once, listed class by class (or template by template) and grouped as if it were the other way."""
    k, m = len(class_names), len(templates)
    pairs = [(name, t) for name in class_names for t in templates]
    if not by_class:
        pairs = [(name, t) for t in templates for name in class_names]
    rows = unit(encode_text([template.replace("{}", name) for name, template in pairs]).double())
    mean = rows.reshape(m, k, -1).mean(dim=0) if by_class else rows.reshape(k, m, -1).mean(dim=1)
    return unit(mean).T


def _running(rows: Tensor) -> Tensor:
    """The mean of the mean so far and the next one: the last prompt counts for a half."""
    so_far = rows[:1]
    for row in rows[1:]:
        so_far = (so_far + row) / 2
    return so_far


ZERO_SHOT_MISTAKES = (
    Mistake(
        "the mean of the prompts is not normalised again: it is shorter than 1.", (partial(_zero_shot, after=_as_is),)
    ),
    Mistake(
        "the embeddings are not normalised before the mean: a long one counts for more.",
        (partial(_zero_shot, before=_as_is),),
    ),
    Mistake(
        "nothing is normalised, neither before the mean nor after.", (partial(_zero_shot, before=_as_is, after=_as_is),)
    ),
    Mistake(
        "the prompts are summed and not normalised: the weights are to have length 1.",
        tuple(
            partial(_zero_shot, before=before, after=_as_is, mean=lambda rows: rows.sum(dim=0, keepdim=True))
            for before in (unit, _as_is)
        ),
    ),
    Mistake(
        "the embeddings of a class are normalised over its prompts: divide every row by its own length, dim=1.",
        tuple(partial(_zero_shot, before=_unit_columns, after=after) for after in (unit, _as_is)),
    ),
    Mistake(
        "the weights are normalised over the classes: every column (D numbers of one class) is to have length 1.",
        tuple(lambda *a, before=before: unit(_zero_shot(*a, before=before, after=_as_is)) for before in (unit, _as_is)),
    ),
    Mistake(
        "all weights are divided by one number: every column is divided by its own length.",
        tuple(
            lambda *a, before=before: (w := _zero_shot(*a, before=before, after=_as_is)) / w.norm()
            for before in (unit, _as_is)
        ),
    ),
    Mistake(
        "only one prompt is used: average over all templates.",
        tuple(
            partial(_zero_shot, pick=pick, after=after)
            for pick in (slice(1), slice(-1, None))
            for after in (unit, _as_is)
        )
        + tuple(partial(_zero_shot, pick=pick, before=_as_is, after=_as_is) for pick in (slice(1), slice(-1, None))),
    ),
    Mistake(
        "one template is left out: average over all of them.",
        (partial(_zero_shot, pick=slice(-1)), partial(_zero_shot, pick=slice(1, None))),
    ),
    Mistake(
        "the templates are not used: put the name in place of {}.",
        (lambda names, templates, encode: _zero_shot(names, ["{}"], encode),),
    ),
    Mistake(
        "the names are not put in: every class gets the template as it is.",
        (lambda names, templates, encode: _zero_shot(["{}"] * len(names), templates, encode),),
    ),
    Mistake(
        "the prompts of different classes are mixed: they are listed in one order and grouped in the other.",
        (partial(_mixed, by_class=True), partial(_mixed, by_class=False)),
    ),
    Mistake(
        "the prompts do not count equally: a mean of the mean so far and the next one is no mean of all.",
        tuple(partial(_zero_shot, mean=_running, before=before) for before in (unit, _as_is)),
    ),
    Mistake(
        "the prompts are not averaged: the weights of a class are the mean of its prompts, normalised.",
        tuple(
            partial(_zero_shot, mean=mean, before=before, after=after)
            for mean in (
                lambda rows: rows.max(dim=0, keepdim=True).values,
                lambda rows: rows.median(dim=0, keepdim=True).values,
                lambda rows: rows.prod(dim=0, keepdim=True),
            )
            for before in (unit, _as_is)
            for after in (unit, _as_is)
        ),
    ),
    Mistake(
        "the classes are in another order than class_names.",
        (
            lambda names, templates, encode: _zero_shot(sorted(names), templates, encode),
            lambda names, templates, encode: _zero_shot(list(reversed(names)), templates, encode),
        ),
    ),
)
