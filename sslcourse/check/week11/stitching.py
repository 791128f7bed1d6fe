"""How stitching is examined (week 11): with a head that notes what it is asked, in which mode, with which weights."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, gives, number
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week11.oracle import _relative, _unit

ANCHORS, CLASSES = 6, 5


class Head(nn.Sequential):
    """A head that gives other answers in train mode, on other inputs, and after a step of training."""

    asked: list[tuple[Tensor, bool, float]] = []  # inputs, whether in train mode, a sum over weights; copies share it

    def __init__(self, student: Student):
        first, last = nn.Linear(ANCHORS, 16), nn.Linear(16, CLASSES)
        super().__init__(first, nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), last)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(2 * student.normal(*weight.shape))
            last.bias.sub_(20)  # logits like log probabilities, all of them negative
            self[1].running_mean.copy_(student.normal(16))
            self[1].running_var.copy_(0.5 + student.uniform(16))

    def forward(self, relative: Tensor) -> Tensor:
        training = any(part.training for part in self.modules())
        self.asked.append((torch.as_tensor(relative).detach().clone(), training, self.weight()))
        return super().forward(relative)

    def weight(self) -> float:
        return float(sum(value.detach().double().abs().sum() for value in self.parameters()))


def examine_stitch(student: Student) -> str:
    """Heads in train and in eval mode; 300 samples, the last ones answered less well; classes of unequal size."""
    cases, left_in_eval = [], False
    for n, width, training in ((80, ANCHORS, True), (60, ANCHORS, False), (300, 9, True)):
        x, anchors = student.normal(n, width) * 2 + 1, student.normal(ANCHORS, width) + 0.5
        head = Head(student)
        own = copy.deepcopy(head).eval().double()
        answers = _answers(own, _relative(x.double(), anchors.double()))
        kept = student.uniform(n) < torch.where(torch.arange(n) < 256, 0.7, 0.2)
        labels = torch.where(kept, answers, torch.randint(CLASSES, (n,), generator=student.generator))
        labels[labels == 2] = 3  # a gap in the numbers, and one class larger than the others

        state, weight = copy.deepcopy(head.state_dict()), head.weight()
        learns = [parameter.requires_grad for parameter in head.parameters()]
        head.train(training)
        Head.asked.clear()
        given = student(head, x, anchors, labels)
        value, asked = number(given), list(Head.asked)
        _head_as_it_was(head, state, asked, weight)
        if [parameter.requires_grad for parameter in head.parameters()] != learns:
            raise Wrong(
                "The head's weights are frozen afterwards (requires_grad is False), so that it could not be trained "
                "any more: use `with torch.no_grad():` instead."
            )
        if head.training and not training:
            raise Wrong(
                "The head came in eval mode and is in train mode afterwards, so that whoever asks it next gets other "
                "answers: keep `mode = head.training`, and put it back with head.train(mode)."
            )
        left_in_eval |= head.training != training
        if isinstance(given, Tensor) and given.requires_grad:
            raise Wrong("The accuracy carries a gradient: return a number.")
        cases.append((own, x.double(), anchors.double(), labels, value, asked))
    _as_defined(cases)
    praise = "The trained head, unchanged and in eval mode, on the relative space; a share in [0, 1]."
    left = " Mind that it leaves a head that came in train mode in eval mode; head.train(mode) puts it back."
    return praise + left * left_in_eval


def _answers(head: nn.Module, space: Tensor) -> Tensor:
    with torch.no_grad():
        return head(space).argmax(dim=1)


def _head_as_it_was(head: Head, state: dict, asked: list[tuple], weight: float) -> None:
    """What the head noted: asked with the weights that it came with, in eval mode, and left as it was."""
    changed = [name for name, now in head.state_dict().items() if not close(now, state[name])]
    if any(name in changed for name, _ in head.named_parameters()):
        raise Wrong("The head has other weights afterwards: it is used unchanged, without training it further.")
    if any(not math.isclose(used, weight, rel_tol=1e-4) for *_, used in asked):
        raise Wrong("The head that was asked has other weights than the one that was given: it is used unchanged.")
    if any(training for _, training, _ in asked):
        raise Wrong(
            "The head was asked in train mode: with dropout on, or with statistics of the batch, it is not the head "
            "that was trained. head.eval() puts it and all its parts into eval mode."
        )
    if changed:
        raise Wrong(f"The head is not the same afterwards ({', '.join(changed)}): it is used unchanged.")


# --- the value


def _wrong_spaces(x: Tensor, anchors: Tensor) -> dict[str, tuple[Tensor, ...]]:
    """{sentence: spaces that a head is shown by that mistake}."""
    right = _relative(x, anchors)
    mean = anchors.mean(dim=0)
    return {
        "sees the centred relative space: it was trained without centring.": (
            _relative(x, anchors, True),
            _relative(x, anchors, True, means="each its own"),
            _relative(x, anchors, True, means="samples"),
            _relative(x, anchors, True, means="samples only"),
            _unit(x) @ _unit(anchors - mean).T,
        ),
        "sees x itself: it was trained on similarities to anchors, relative(x, anchors).": (x, x[:, :ANCHORS]),
        "sees x at length 1, and no anchors: it was trained on similarities to anchors.": (_unit(x),),
        "sees x @ anchors.T, inner products that are not normalised: use relative(x, anchors).": (x @ anchors.T,),
        "sees similarities that are normalised on one side only: use relative(x, anchors).": (
            _unit(x) @ anchors.T,
            x @ _unit(anchors).T,
        ),
        "sees distances: use relative(x, anchors).": (
            1 - right,
            torch.cdist(x, anchors),
            -torch.cdist(x, anchors),
            torch.cdist(_unit(x), _unit(anchors)),
        ),
        "sees standardised similarities: it was trained on the cosines as they are.": tuple(
            (right - right.mean(dim=dim, keepdim=True)) / (right.std(dim=dim, keepdim=True) if scaled else 1)
            for dim in (0, 1)
            for scaled in (True, False)
        ),
        "sees a softmax of the similarities: it was trained on the cosines as they are.": (
            right.softmax(dim=1),
            right.softmax(dim=0),
        ),
        "sees similarities without their sign: a cosine runs from -1 to 1.": (
            right.abs(),
            right.square(),
            right.clamp(min=0),
        ),
        "sees the anchors in another order: row n of `anchors` belongs to its n-th input.": (right.flip(1),),
        "sees similarities to the first samples: the anchors are those that are given.": (_relative(x, x[:ANCHORS]),),
    }


def _share(right: Tensor) -> float:
    return float(right.double().mean())


def _in_batches(right: Tensor, size: int) -> float:
    return sum(map(_share, right.split(size))) / len(right.split(size))


def _wrong_counts(own: nn.Module, x: Tensor, anchors: Tensor, labels: Tensor) -> dict[str, tuple[float, ...]]:
    """{sentence: values that a mistake after the right logits gives}."""
    with torch.no_grad():
        logits = own(_relative(x, anchors))
    answers = logits.argmax(dim=1)
    right = answers == labels
    classes = labels.unique()
    return {
        "the right answers are counted: divide by their number.": (float(right.sum()),),
        "this is a percentage: the accuracy is a share in [0, 1].": (100 * _share(right),),
        "this is the share of wrong answers.": (1 - _share(right),),
        "the accuracies of batches are averaged without weights: the last one is smaller. Count the right answers of "
        "all batches and divide once.": tuple(_in_batches(right, size) for size in (32, 50, 64, 100, 128, 256)),
        "every class has the same weight: the accuracy is over all samples.": (
            sum(_share(right[labels == c]) for c in classes) / len(classes),
            sum(_share(right[labels == c]) for c in classes) / CLASSES,
        ),
        "a softmax runs over the samples: the classes of one sample compete, dim=1.": (
            _share(logits.softmax(dim=0).argmax(dim=1) == labels),
        ),
        "the least likely class is taken: use argmax.": (_share(logits.argmin(dim=1) == labels),),
        "the largest logit without its sign is taken: argmax of the logits as they are.": (
            _share(logits.abs().argmax(dim=1) == labels),
        ),
        "the right class may be among several: the accuracy asks for the first.": tuple(
            _share((logits.topk(k).indices == labels[:, None]).any(dim=1)) for k in (2, 3)
        ),
        "answers are counted from 1: argmax gives class numbers as they are in labels.": (
            _share(answers + 1 == labels),
            _share(answers - 1 == labels),
        ),
        "the labels are numbered anew: they are the class numbers of the head already.": (
            _share(torch.searchsorted(classes, labels) == answers),
        ),
        "samples of class 0 are left out: 0 is a class like the others.": (_share(right[labels > 0]),),
        "it is the mean probability of the right class: the accuracy counts right answers.": (
            float(logits.softmax(dim=1).gather(1, labels[:, None]).mean()),
        ),
    }


def _as_defined(cases: list[tuple]) -> None:
    """Compare all values with the definition; a mistake is named where it fits them all, and the plain one does not."""
    wanted = [_share(_answers(own, _relative(x, a)) == labels) for own, x, a, labels, *_ in cases]
    values = [value for *_, value, _ in cases]
    if all(map(close, values, wanted)):
        return
    n = list(map(close, values, wanted)).index(False)
    found = f"On {len(cases[n][1])} samples {gives(values[n], wanted[n])}"

    # What the head saw tells more than an accuracy does.
    seen = [_seen(x, asked) for _, x, _, _, _, asked in cases]
    if all(part is None for part in seen) and not any(asked for *_, asked in cases):
        raise Wrong(f"{found}\nThe head was never asked: its answers to relative(x, anchors) are compared with labels.")
    if all(part is not None for part in seen):
        right = [_relative(x, a) for _, x, a, *_ in cases]
        if not all(map(_close, seen, right)):
            known = [_wrong_spaces(x, a) for _, x, a, *_ in cases]
            said = _only(known, lambda spaces: all(map(_close, seen, spaces)))
            raise Wrong(f"{found}\n" + (f"The head {said}" if said else _what_it_saw(seen, right)))
    said = _only([_wrong_counts(*case[:4]) for case in cases], lambda counts: all(map(close, values, counts)))
    raise Wrong(f"{found}\nIt looks as if {said}" if said else found)


def _seen(x: Tensor, asked: list[tuple]) -> Tensor | None:
    """What the head was asked for all samples, (N, ...), in one piece or in several; None where it does not fit."""
    rows = [part.reshape(-1, part.shape[-1]).double() for part, *_ in asked if part.dim()]
    if not rows or len({part.shape[1] for part in rows}) > 1:
        return None
    together = torch.cat(rows)
    return together if len(together) == len(x) else None


def _close(seen: Tensor, wanted: Tensor) -> bool:
    return seen.shape == wanted.shape and close(seen, wanted)


def _only(known: list[dict[str, tuple]], fits: Callable) -> str:
    """The sentence of the only mistake one of whose variants fits all cases; nothing where none or several do."""
    sentences = [
        sentence
        for sentence in known[0]
        if any(fits(variants) for variants in zip(*(mistakes[sentence] for mistakes in known), strict=True))
    ]
    return sentences[0] if len(sentences) == 1 else ""


def _what_it_saw(seen: list[Tensor], right: list[Tensor]) -> str:
    n = [_close(*pair) for pair in zip(seen, right, strict=True)].index(False)
    first, should = ([round(v, 3) for v in space[0].tolist()] for space in (seen[n], right[n]))
    return (
        f"For the first sample the head was asked {first}, it should be {should}: the cosines of this sample to the "
        f"{ANCHORS} anchors, relative(x, anchors)."
    )
