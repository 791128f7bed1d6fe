"""The check of week 1's linear probe: ten small sets, each made for some mistakes."""

import torch
from torch import Tensor

from sslcourse.check.compare import close, doubled, gives, number
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.recall import recall
from sslcourse.check.week01 import probe_oracle
from sslcourse.check.week01.probe_oracle import ALONE, HINGE


def _features(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> str:
    sets = f"{len(train_x)} training and {len(test_x)} test samples"
    return f"{sets} of {len(train_y.unique())} classes with {train_x.shape[1]} features"


@exercise("week01")
def linear_probe(student: Student) -> str:
    """linear_probe(train_x, train_y, test_x, test_y) -> float: test accuracy in [0, 1] of a logistic regression.

    A result with `.accuracy` is right too, and so is a strength of regularisation that is chosen on a part of the
    training set: hence the tolerance, which the mistakes exceed by far.
    """
    cases = [case(student) for case in CASES]
    values = [number(student(*case)) for case in cases]
    wanted = [recall(probe_oracle.linear_probe, *doubled(case)) for case in cases]
    for case, value, right in zip(cases, values, wanted, strict=True):
        if not close(value, right, 0.06):
            found = f"On {_features(*case)} {gives(value, right)}"
            # Whoever makes one of these mistakes makes the same answers but for a few samples.
            fitting = [mistake for mistake in probe_oracle.LINEAR_PROBE_MISTAKES if mistake.fits(cases, values, 0.03)]
            if saw := fitting[0].sentence if len(fitting) == 1 else _another_classifier(values, wanted):
                raise Wrong(f"{found}\nIt looks as if {saw}")
            raise Wrong(
                f"{found}\nStandardise both sets with mean and standard deviation of train_x, fit a logistic "
                "regression with C = 1 on train_x, score on test_x."
            )
    return "The accuracy of a logistic regression on standardised features, fitted on the training set alone."


def _another_classifier(values: list[float], wanted: list[float]) -> str:
    """What kind of classifier gives such answers, whatever its settings are; empty where none shows."""
    off = {case: value - right for case, value, right in zip(CASES, values, wanted, strict=True)}

    def met(*cases) -> bool:
        return all(abs(off[case]) <= 0.06 for case in cases)

    if off[_bent] > 0.08:
        return (
            "the classifier is not linear, but one with a kernel, neighbours, trees, layers or a variance for each "
            "class: it knows what no straight line could. Use LogisticRegression on the features as they are."
        )
    if met(_uneven, _scales, _relabelled, _bent) and abs(off[_given_up] + 0.5) < 0.03:
        return HINGE
    if met(_scales, _relabelled, _bent, _given_up) and off[_in_a_row] < -0.12:
        return ALONE
    if met(_scales, _relabelled, _bent, _in_a_row, _given_up) and off[_far_out] < -0.5:
        return (
            "the classifier is made of the classes' means and one covariance, as LinearDiscriminantAnalysis is: two "
            "values far out turn it round. Use LogisticRegression."
        )
    return ""


def _scales(student: Student) -> tuple:
    """The two features that tell the classes apart are tiny beside the others: standardising brings them out."""
    corners = 2.2 * torch.tensor([[1.0, 0, 0, 0], [-0.5, 0.87, 0, 0], [-0.5, -0.87, 0, 0]])
    size = torch.tensor([1e-3, 1e-3, 10, 100])
    train_y = torch.arange(90) % 3
    test_y = (3 * student.uniform(200) ** 2).long()
    # The training set is noisier than the test set, so that their accuracies differ.
    train_x, test_x = corners[train_y] + 1.6 * student.normal(90, 4), corners[test_y] + 0.7 * student.normal(200, 4)
    return train_x * size, train_y, test_x * size, test_y


def _tempting(student: Student) -> tuple:
    """The first feature tells two classes apart; the second does so worse, and the other way round in the test set.

    A few huge values make the first small once it is divided by a standard deviation of the test set.
    """
    train_y, test_y = torch.arange(100) % 2, torch.arange(200) % 2
    train_sign, test_sign = 2.0 * train_y - 1, 2.0 * test_y - 1
    lie = torch.where(torch.arange(100) % 8 < 6, 1.0, -1.0)
    far = torch.where(torch.arange(200) < 20, 300.0, 1.0)
    train_x = torch.stack([train_sign, train_sign * lie], dim=1) + 0.3 * student.normal(100, 2)
    test_x = torch.stack([far * test_sign, -0.8 * test_sign], dim=1) + 0.3 * student.normal(200, 2)
    return train_x, train_y, test_x, test_y


def _relabelled(student: Student) -> tuple:
    """In the test set two of three classes have swapped labels: whoever has seen test labels does too well."""
    corners = 2.5 * torch.tensor([[1.0, 0], [-0.5, 0.87], [-0.5, -0.87]])
    train_y, test_y = torch.arange(90) % 3, torch.arange(200) % 3
    train_x, test_x = corners[train_y] + 0.6 * student.normal(90, 2), corners[test_y] + 0.6 * student.normal(200, 2)
    return train_x, train_y, test_x, torch.tensor([1, 0, 2])[test_y]


def _far_out(student: Student) -> tuple:
    """As `_tempting`, but it is two values of the training set that make the good feature small for a min-max scale."""
    train_y, test_y = torch.arange(100) % 2, torch.arange(200) % 2
    train_sign, test_sign = 2.0 * train_y - 1, 2.0 * test_y - 1
    lie = torch.where(torch.arange(100) % 8 < 6, 1.0, -1.0)
    train_x = torch.stack([train_sign, train_sign * lie], dim=1) + 0.3 * student.normal(100, 2)
    train_x[:2, 0] = torch.tensor([-15.0, 15])
    test_x = torch.stack([test_sign, -test_sign], dim=1) + 0.3 * student.normal(200, 2)
    return train_x, train_y, test_x, test_y


def _bent(student: Student) -> tuple:
    """The second feature is large, of either sign, in one class: no help to a straight line, all that others need."""
    train_y, test_y = torch.arange(120) % 2, torch.arange(300) % 2
    train_x, test_x = (
        torch.stack(
            [
                1.6 * y + student.normal(len(y)),
                torch.where(torch.arange(len(y)) % 4 < 2, 1.0, -1.0) * (3.0 * y + 0.5) + 0.3 * student.normal(len(y)),
            ],
            dim=1,
        )
        for y in (train_y, test_y)
    )
    return train_x, train_y, test_x, test_y


def _heavy(student: Student) -> tuple:
    """The good feature has a few huge values in training, so that it is small beside its standard deviation.

    Quartiles do not notice them. As in `_tempting`, the second feature is the better one then, and lies in the test.
    """
    train_y, test_y = torch.arange(100) % 2, torch.arange(200) % 2
    train_sign, test_sign = 2.0 * train_y - 1, 2.0 * test_y - 1
    far = torch.where(torch.arange(100) < 8, 1000.0, 1.0)
    lie, few = (torch.where(torch.arange(n) % 8 < k, 1.0, -1.0) for n, k in ((100, 6), (200, 2)))
    train_x = torch.stack([far * train_sign, train_sign * lie], dim=1) + 0.3 * student.normal(100, 2)
    test_x = torch.stack([test_sign, test_sign * few], dim=1) + 0.3 * student.normal(200, 2)
    return train_x, train_y, test_x, test_y


def _in_a_row(student: Student) -> tuple:
    """Five classes along a line: a softmax over all knows the inner three, which no line tells from all others."""
    train_y, test_y = torch.arange(300) % 5, 1 + torch.arange(200) % 3
    train_x, test_x = (
        torch.stack([2.0 * y + 0.25 * student.normal(len(y)), student.normal(len(y))], dim=1) for y in (train_y, test_y)
    )
    return train_x, train_y, test_x, test_y


def _uneven(student: Student) -> tuple:
    """Three classes of 80, 15 and 5 %, whose ids have gaps, away from the origin and overlapping."""
    ids, corners = torch.tensor([1, 4, 6]), torch.tensor([[0.0, 0], [1.4, 0], [0, 1.4]])
    train_y, test_y = (torch.arange(3).repeat_interleave(torch.tensor([16, 3, 1]) * n) for n in (12, 20))
    train_x, test_x = (corners[y] + 0.8 * student.normal(len(y), 2) + 3 for y in (train_y, test_y))
    return train_x, ids[train_y], test_x, ids[test_y]


def _copies(student: Student) -> tuple:
    """One feature sixty times, each copy with a little noise, and some wrong labels.

    Only who hardly regularises can use the noise to learn those labels by heart, and pays for it: the test set has
    more of it. Between C = 0.01 and C = 10 nothing changes.
    """
    truth, test_y = torch.arange(80) % 2, torch.arange(200) % 2
    train, test = (1.3 * (2.0 * y - 1) + student.normal(len(y)) for y in (truth, test_y))
    train_y = torch.where(torch.arange(80) % 10 == 3, 1 - truth, truth)
    train_x = train[:, None] + 0.02 * student.normal(80, 60)
    return train_x, train_y, test[:, None] + 0.16 * student.normal(200, 60), test_y


def _given_up(student: Student) -> tuple:
    """Two classes that overlap, but for a tenth of the smaller one, which lies far out, as half of the test set does.

    A probability has to be right there too. A hinge is smallest with the larger class as the answer everywhere: any
    slope costs more on the many that overlap than it gains on the few. So many samples, that a fit with a small C,
    or one that is chosen by cross-validation, still sees those few.
    """
    sizes = torch.tensor([720, 432, 48])
    train_y = torch.tensor([0, 1, 1]).repeat_interleave(sizes)
    near = [torch.linspace(-1.7, 1.7, 720), torch.linspace(-1.8, 1.6, 432)]
    train = torch.cat([*near, 5 + 0.1 * student.normal(48)])
    test_y = torch.arange(200) % 2
    test = torch.where(test_y == 1, 5 + 0.1 * student.normal(200), 2.5 * student.uniform(200) - 1.5)
    train_x, test_x = (torch.stack([x, student.normal(len(x))], dim=1) for x in (train, test))
    order = torch.randperm(len(train_y), generator=student.generator)
    return train_x[order], train_y[order], test_x, test_y


CASES = (_uneven, _scales, _tempting, _relabelled, _far_out, _bent, _copies, _heavy, _in_a_row, _given_up)
