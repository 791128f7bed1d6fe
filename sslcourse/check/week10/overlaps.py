"""The checks of week 10 that compare the neighbours of two spaces. Definitions: overlap_oracle, imbalance_oracle."""

import torch
from torch import Tensor

from sslcourse.check.compare import agree
from sslcourse.check.machinery import Student, exercise
from sslcourse.check.week10 import imbalance_oracle as imbalance
from sslcourse.check.week10 import overlap_oracle as overlap


def _pairs(a: Tensor, b: Tensor, k: int) -> str:
    return f"{len(a)} samples, k = {k}"


@exercise("week10")
def neighbourhood_overlap(student: Student) -> str:
    """neighbourhood_overlap(a, b, k) -> mean of |kNN_a & kNN_b| / k, Euclidean, itself left out."""
    a = student.normal(30, 4) + 1
    b = torch.cat([a[:, :3] + 0.7 * student.normal(30, 3), 0.3 * student.normal(30, 2)], dim=1)
    many = student.normal(260, 3)  # more than a chunk of 256
    many = many, many + 0.5 * student.normal(260, 3), 4
    few = torch.tensor([[0.0], [1.0], [4.0], [9.0], [11.0]]), torch.tensor([[4.0], [0.0], [11.0], [1.0], [9.0]]), 2
    agree(
        student,
        [(a, b, 5), (b, a, 3), (a, b, 11), (a[:12], b[:12], 4), many, (a, 2 * a + 1, 3)],
        overlap.neighbourhood_overlap,
        overlap.OVERLAP_MISTAKES,
        words=_pairs,
        small=few,
        hint="for each of the five samples write down its two nearest in a, its two nearest in b, and count.",
    )
    ends = [(a, b, 1), (a, b, 29), (a, 2 * a, 6), (a[:2], b[:2], 1)]
    agree(student, ends, overlap.neighbourhood_overlap, words=_pairs)
    return "Equal to the definition for k from 1 to N - 1; the same for rotated and scaled copies."


@exercise("week10")
def label_overlap(student: Student) -> str:
    """label_overlap(x, labels, k) -> mean share of the k nearest with the same label, itself left out."""
    # Classes of unequal size, whose numbers have gaps and a sign.
    names = torch.tensor([-3, 0, 7])
    kinds = torch.tensor([0] * 15 + [1] * 10 + [2] * 5)[torch.randperm(30, generator=student.generator)]
    labels, x = names[kinds], torch.eye(3)[kinds] * 1.2 + student.normal(30, 3) + 1
    many = student.normal(260, 2), torch.arange(260) % 4, 3
    agree(
        student,
        [(x, labels, 5), (x, labels, 4), (x[:13], labels[:13] + 7, 3), many],
        overlap.label_overlap,
        overlap.LABEL_MISTAKES,
        words=_pairs,
        hint="Of the k nearest of every sample, count those with its label, divide by k, take the mean.",
    )
    agree(student, [(x, labels, 1), (x, labels, 29), (x, labels * 0, 3)], overlap.label_overlap, words=_pairs)
    return "Equal to the definition for k from 1 to N - 1."


def _spaces(a: Tensor, b: Tensor) -> str:
    return f"{len(a)} samples in {a.shape[1]} and in {b.shape[1]} dimensions"


@exercise("week10")
def information_imbalance(student: Student) -> str:
    """information_imbalance(a, b) -> 2 / N x the mean rank in b of the nearest neighbour in a (Glielmo et al. 2022)."""
    # b holds less than a: from a to b little is lost, and much from b to a.
    a = student.normal(30, 5) + 1
    b = torch.cat([a[:, :2] + 0.2 * student.normal(30, 2), 0.1 * student.normal(30, 1)], dim=1)
    unrelated = student.normal(25, 4), student.normal(25, 6)
    many = student.normal(260, 3)
    many = many, many[:, :2] + 0.3 * student.normal(260, 2)
    few = torch.tensor([[0.0], [1.0], [4.0], [9.0]]), torch.tensor([[4.0], [0.0], [11.0], [1.0]])
    agree(
        student,
        [(a, b), (b, a), unrelated, (a[:12], b[:12]), many],
        imbalance.information_imbalance,
        imbalance.IMBALANCE_MISTAKES,
        words=_spaces,
        small=few,
        hint="for each of the four samples find the nearest other one in a; is it the first, second or third in b?",
    )
    agree(student, [few, (a, 3 * a - 1), (a[:2], b[:2])], imbalance.information_imbalance, words=_spaces)
    return "Equal to the definition in both directions, for related and unrelated spaces; 2 / N for equal ones."
