"""Checks of week 3, BERT. The definitions and the named mistakes are in oracle.py and attention_oracle.py."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sslcourse.check.compare import agree, by_hand, close, doubled, gives, gradients_agree, number, shown, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week03 import attention_oracle, oracle
from sslcourse.check.week03.inputs import BertEmbeddings, sentence_pairs
from sslcourse.check.week03.masking import IGNORED, mask_tokens
from sslcourse.check.week03.turning import examine_rotary

__all__ = ["BertEmbeddings", "attention", "mask_tokens", "mlm_accuracy", "mlm_loss", "pool", "report", "sweep"]
__all__ += ["rotary", "sentence_pairs"]

# --- rotary


@exercise("week03")
def rotary(student: Student) -> str:
    """rotary(q, k, positions) -> (q, k), all (N, heads, L, d), positions (L,) (Su et al. 2021, eq. 14 and 15)."""
    return examine_rotary(student)


# --- attention


def _attended(student: Student, *case) -> tuple[Tensor, Tensor]:
    result = student(*case)
    if result is None:
        raise Wrong("It returns None: is the `return` missing?")
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong("It should return two tensors: `return output, weights`.")
    n, heads, length, d = case[0].shape
    if length != d and tuple(getattr(result[0], "shape", ())) == (n, heads, length, length):
        raise Wrong("It returns the weights first: the order is output, weights.")
    return tensor(result[0], (n, heads, length, d), "output is"), tensor(
        result[1], (n, heads, length, length), "weights is"
    )


@exercise("week03")
def attention(student: Student) -> str:
    """attention(q, k, v, key_padding_mask=None) -> (output (N, heads, L, d), weights (N, heads, L, L))."""
    q, k, v = (1.3 * student.normal(3, 5, 6, 4) for _ in range(3))
    padding = torch.arange(6) >= torch.tensor([[5], [6], [2]])  # (3, 6), True = padding
    cases = [(q, k, v), (q, k, v, padding), (2 * k, q, v, padding.flip(1))]
    came = [_attended(student, *case) for case in cases]
    wanted = [attention_oracle.attention(*doubled(case)) for case in cases]
    weights = [weight for _, weight in came]
    for case, (output, weight), (right_output, right_weight) in zip(cases, came, wanted, strict=True):
        if close(weight, right_weight):
            if close(output, right_output):
                continue
            found = "The weights are right, the output is not: each output is the sum of the values times its weights."
            raise Wrong(found + _why_output(cases, came, wanted))
        where = "with a padding mask" if len(case) > 3 else "without a mask"
        n, head, query, key = (
            (weight.double() - right_weight)
            .abs()
            .nan_to_num(torch.inf)
            .eq((weight.double() - right_weight).abs().nan_to_num(torch.inf).max())
            .nonzero()[0]
            .tolist()
        )
        value, should = weight[n, head, query, key].item(), right_weight[n, head, query, key].item()
        found = f"The weight of key {key} for query {query}, {where}: {gives(value, should)}"
        if any(not torch.equal(a, b) for a, b in zip(came[0], _attended(student, *cases[0]), strict=True)):
            raise Wrong(
                f"{found}\nA second call on the same inputs gives something else: no dropout here, nothing kept."
            )
        fitting = [mistake for mistake in attention_oracle.WEIGHT_MISTAKES if mistake.fits(cases, weights, 1e-4)]
        if len(fitting) == 1:
            raise Wrong(f"{found}\nIt looks as if {fitting[0].sentence}")
        if not fitting and not weights[0].triu(1).any():
            raise Wrong(f"{found}\nIt looks as if {attention_oracle.CAUSAL}")
        sentence = "" if fitting or len(case) > 3 else attention_oracle.of_weights(weights[0], wanted[0][1])
        if sentence:
            raise Wrong(f"{found}\nIt looks as if {sentence}")
        if close(weights[0], q @ k.transpose(2, 3) / 2) or close(weights[0], q @ k.transpose(2, 3)):
            raise Wrong(f"{found}\nIt looks as if scores are returned for weights: those after the softmax are meant.")
        raise Wrong(f"{found}\nThe weights are softmax(q k^T / sqrt(d)) over the keys that are no padding.")

    for (_, weight), case in zip(came, cases, strict=True):
        if len(case) > 3 and weight.masked_select(case[3][:, None, None].expand_as(weight)).any():
            raise Wrong("Padded keys get a weight that is tiny, but not 0: fill their scores with -inf or near it.")
    if any(not close(a, b) for a, b in zip(came[0], _attended(student, *cases[0]), strict=True)):
        raise Wrong("A second call on the same inputs gives something else: no dropout here, and nothing kept.")
    large = 30 * q, k, v
    if not all(map(close, _attended(student, *large), attention_oracle.attention(*doubled(large)))):
        raise Wrong(
            "For queries thirty times as long the weights are wrong or NaN: the exponential of a large score "
            "overflows. "
            "torch.softmax takes the largest score off first."
        )
    _nothing_to_look_at(student, q, k, v)
    return (
        "Equal to the definition with and without padding; padded keys get weight 0, and so does everything where all "
        "is padding, with finite gradients."
    )


def _why_output(cases: Sequence[tuple], came: Sequence[tuple], wanted: Sequence[tuple]) -> str:
    """What the outputs of all cases are instead, where there is one sentence for it."""
    hidden = [case[3][:, None, :, None] if len(case) > 3 else torch.tensor(False) for case in cases]
    if all(
        close(output, right.masked_fill(rows, 0))
        for (output, _), (right, _), rows in zip(came, wanted, hidden, strict=True)
    ):
        return "\nIt looks as if outputs of padded queries are set to 0: the mask hides keys, and nothing else."
    for sentence, variants in attention_oracle.OUTPUT_MISTAKES.items():
        for wrong in variants if isinstance(variants, tuple) else (variants,):
            if all(
                close(output, wrong(weights, *doubled(case[:3])))
                for case, (output, _), (_, weights) in zip(cases, came, wanted, strict=True)
            ):
                return f"\nIt looks as if {sentence}"
    return ""


def _nothing_to_look_at(student: Student, q: Tensor, k: Tensor, v: Tensor) -> None:
    """A row of nothing but padding, beside a row of real tokens: zeros, and gradients that are numbers."""
    mask = torch.tensor([[True] * 6, [False] * 6, [False] * 6])
    inputs = [x.clone().requires_grad_() for x in (q, k, v)]
    output, weights = _attended(student, *inputs, mask)
    if output.isnan().any() or weights.isnan().any():
        raise Wrong(
            "A row of nothing but padding gives NaN: a softmax over -inf alone is 0 / 0. Output and weights should be "
            "0 there."
        )
    if weights[0].any() or output[0].any():
        raise Wrong("In a row of nothing but padding output and weights should be 0, yours are not.")
    if not output.requires_grad:
        raise Wrong("The values are right, but the output carries no gradient, so nothing could learn from it.")
    output.sum().backward()
    if any(x.grad is None or not x.grad.any() for x in inputs):
        raise Wrong("The values are right, but no gradient reaches one of q, k and v: it is detached on the way.")
    if any(not x.grad.isfinite().all() for x in inputs):
        raise Wrong(
            "The values are right, but a row of nothing but padding makes the gradient NaN: a softmax over -inf alone "
            "is 0 / 0 also on the way back. Fill with the smallest finite number, and set the weights to 0 afterwards."
        )


# --- mlm_loss, mlm_accuracy


def _predictions(logits: Tensor, labels: Tensor) -> str:
    chosen = int((labels != IGNORED).sum())
    return f"{labels.numel()} positions, {chosen} of them chosen, and a vocabulary of {logits.shape[-1]},"


def _few(student: Student) -> tuple[Tensor, Tensor]:
    return by_hand(student.normal(1, 3, 2)), torch.tensor([[IGNORED, 1, IGNORED]])


@exercise("week03")
def mlm_loss(student: Student) -> str:
    """mlm_loss(logits (..., V), labels (...)) -> scalar: mean over chosen positions; 0 with gradient if none."""
    logits = 2 * student.normal(4, 7, 9)
    labels = torch.randint(0, 9, (4, 7), generator=student.generator)
    labels[0, 3], labels[2, 1] = 0, 0  # chosen below, and a word like any other
    unchosen = torch.arange(7) % torch.tensor([[2], [3], [7], [4]]) != 1  # rows with different numbers of chosen words
    labels = labels.masked_fill(unchosen, IGNORED)
    few = _few(student)
    agree(
        student,
        [(logits, labels), (logits.flip(0), labels), (-logits, labels.flip(1))],
        oracle.mlm_loss,
        oracle.MLM_LOSS_MISTAKES,
        words=_predictions,
        small=few,
        hint="one position is chosen, so the loss is minus the log probability of word 1 there.",
    )
    agree(student, [few, (logits.flatten(0, 1), labels.flatten())], oracle.mlm_loss, words=_predictions)
    gradients_agree(student, (logits, labels), oracle.mlm_loss, names=("logits",))
    value, wanted = number(student(30 * logits, labels)), float(oracle.mlm_loss(30 * logits.double(), labels))
    if not close(value, wanted):
        raise Wrong(
            f"For logits thirty times as large {gives(value, wanted)} The exponential overflows, or a probability is "
            "rounded to 0 before its logarithm is taken, or a small number is added to it: F.cross_entropy and "
            "log_softmax do none of this."
        )

    # Nothing chosen happens: a short text and 15 % of its words.
    free = logits.clone().requires_grad_()
    nothing = student(free, torch.full_like(labels, IGNORED))
    if not close(value := number(nothing), 0.0):
        raise Wrong(f"Where no position is chosen yours gives {value}, it should be 0: a mean over nothing is NaN.")
    if not isinstance(nothing, Tensor) or not nothing.requires_grad:
        raise Wrong("Where no position is chosen it is 0, but without a gradient, and backward() would fail.")
    nothing.backward()
    if free.grad is None or free.grad.isnan().any():
        raise Wrong("Where no position is chosen the gradient is missing or NaN; it should be 0.")
    return "Equal to the definition; every chosen position counts alike; 0 with a gradient where none is chosen."


@exercise("week03")
def mlm_accuracy(student: Student) -> str:
    """mlm_accuracy(logits (..., V), labels (...)) -> float: the share of chosen positions that are predicted right."""
    labels = torch.randint(0, 4, (5, 8), generator=student.generator)
    logits = student.normal(5, 8, 4) + torch.nn.functional.one_hot(labels, 4)  # right more often than by chance
    hidden = student.uniform(5, 8) < 0.5
    hidden[:, 2] = False  # rows without a chosen position come below
    labels = labels.masked_fill(hidden, IGNORED)
    cases = [(logits, labels), (logits.flatten(0, 1), labels.flatten())]
    agree(student, cases, oracle.mlm_accuracy, oracle.MLM_ACCURACY_MISTAKES, words=_predictions)
    value = number(student(logits, torch.full_like(labels, IGNORED)))
    if value == value:
        raise Wrong(f"Where no position is chosen yours gives {value:.3g}: there is no share of nothing, it is NaN.")
    return "The share of chosen positions whose most likely word is the original one."


# --- pool


def _states(hidden: Tensor, mask: Tensor) -> str:
    return f"hidden states of shape {tuple(hidden.shape)}, {', '.join(map(str, mask.sum(1).tolist()))} of them real,"


@exercise("week03")
def pool(student: Student) -> str:
    """pool(hidden (N, L, D), attention_mask (N, L)) -> (N, D): the mean over real tokens, mask 1 = real."""
    hidden = student.normal(4, 6, 5)
    mask = (torch.arange(6) < torch.tensor([[5], [4], [1], [3]])).long()
    cases: Sequence[tuple] = [(hidden, mask), (3 * hidden.flip(0), mask), (hidden + 1, mask.flip(1))]
    came = [tensor(student(*case), (4, 5), "It returns") for case in cases]
    for case, value in zip(cases, came, strict=True):
        right = oracle.pool(*doubled(case))
        if close(value, right):
            continue
        apart = (value.double() - right).abs().nan_to_num(torch.inf)
        row, feature = divmod(int(apart.argmax()), apart.shape[1])
        found = f"For {_states(*case)} row {row}, feature {feature}: "
        found += gives(value[row, feature].item(), right[row, feature].item())
        fitting = [mistake for mistake in oracle.POOL_MISTAKES if mistake.fits(cases, came, 1e-4)]
        if len(fitting) == 1:
            raise Wrong(f"{found}\nIt looks as if {fitting[0].sentence}")
        for mask in ([[1, 1, 0]], [[0, 1, 1]], [[1, 0, 1]]):
            small = by_hand(student.normal(1, 3, 1)), torch.tensor(mask)
            yours = tensor(student(*small), (1, 1), "It returns").item()
            if not close(yours, should := oracle.pool(*doubled(small)).item()):
                found += f"\nTry one by hand: hidden = {shown(small[0])}, mask = {mask}; {gives(yours, should)}"
                break
        raise Wrong(found)

    # Masks come as bool, too, and a text may be nothing but padding.
    tensor(value := student(hidden, mask.bool()), (4, 5), "With a bool mask it returns")
    if not close(value, oracle.pool(hidden.double(), mask)):
        raise Wrong("With a mask of bools (True = real) the result is another than with 0 and 1.")
    empty = mask.clone()
    empty[2] = 0
    value = student(hidden.clone().requires_grad_(), empty)
    if value.isnan().any():
        raise Wrong("A row of nothing but padding gives NaN: the mean over nothing is 0 / 0. It should be 0.")
    if not close(value, oracle.pool(hidden.double(), empty)):
        raise Wrong("A row of nothing but padding should give 0, and change nothing in the other rows.")
    if not value.requires_grad:
        raise Wrong("The values are right, but they carry no gradient, so the encoder could not be fine-tuned.")
    return "The mean of the real tokens of every text; padding changes nothing, and a text of padding alone gives 0."
