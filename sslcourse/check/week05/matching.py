"""The check of cluster_accuracy: a matching is judged by what it gives, since several can be equally good."""

import torch
from torch import Tensor

from sslcourse.check.compare import close, gives, number, two_parts
from sslcourse.check.machinery import Student, Wrong
from sslcourse.check.week05 import clusters_oracle as oracle

GREEDY = (
    "It looks as if the matching is greedy: the first good pair may spoil the rest, scipy's linear_sum_assignment "
    "finds the best of all."
)


def _worked_out(*rows: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """assignments and labels with counts[cluster][class] as given."""
    pairs = [(c, y) for c, row in enumerate(rows) for y, count in enumerate(row) for _ in range(count)]
    return torch.tensor([c for c, _ in pairs]), torch.tensor([y for _, y in pairs])


def _cases(student: Student) -> list[tuple[str, Tensor, Tensor]]:
    def drawn(n: int, clusters: int, classes: int) -> tuple[Tensor, Tensor]:
        labels = torch.cat([torch.arange(classes), (student.uniform(n - classes) * classes).long()])
        noise = student.uniform(n) < 0.5
        shift = (labels * 2 + 1) % clusters if clusters % 2 else (labels + 1) % clusters
        assigned = torch.where(noise, (student.uniform(n) * clusters).long(), shift)
        return torch.cat([torch.arange(clusters), assigned[clusters:]]), labels

    return [
        ("permuted clusters", *_worked_out((0, 4, 0), (0, 0, 5), (6, 0, 0))),
        ("3 clusters of which two want the same class", *_worked_out((5, 4, 0), (6, 0, 1), (0, 1, 3))),
        ("3 clusters, 3 classes", *_worked_out((5, 4, 0), (4, 0, 0), (2, 3, 1))),
        ("40 images, 5 clusters, 5 classes", *drawn(40, 5, 5)),
        ("40 images, 7 clusters, 4 classes", *drawn(40, 7, 4)),
        ("40 images, 3 clusters, 5 classes", *drawn(40, 3, 5)),
        (
            "clusters and classes of which some ids do not occur",
            torch.tensor([5, 5, 2, 2, 2]),
            torch.tensor([1, 3, 1, 1, 3]),
        ),
        (
            "4 clusters, 2 classes",
            torch.tensor([0, 0, 1, 1, 2, 3]),
            torch.tensor([0, 0, 1, 1, 1, 0]),
        ),
        ("300 images of which most are of one class", *_worked_out((150, 10, 0), (60, 30, 5), (20, 5, 20))),
    ]


def _parts(result: object) -> tuple[float, dict]:
    accuracy, mapping = two_parts(result, "accuracy, mapping", "an accuracy and a dict")
    if not isinstance(mapping, dict):
        raise Wrong("It should return an accuracy and a dict: `return accuracy, mapping`.")
    return number(accuracy), {int(cluster): int(y) for cluster, y in mapping.items()}


def _judge_mapping(what: str, mapping: dict, assigned: Tensor, labels: Tensor, accuracy: float) -> None:
    """One-to-one, for every cluster that occurs, and as good as the accuracy says."""
    clusters = assigned.unique().tolist()
    if clusters != list(range(len(clusters))) and sorted(mapping) == list(range(len(clusters))):
        raise Wrong(f"For {what} the mapping numbers the clusters anew: its keys are the numbers in assignments.")
    if lacking := [cluster for cluster in clusters if cluster not in mapping]:
        raise Wrong(f"For {what} the mapping has no entry for cluster {lacking[0]}: unmatched clusters map to -1.")
    names = [mapping[cluster] for cluster in clusters if mapping[cluster] != -1]
    unknown = [(c, mapping[c]) for c in clusters if not -1 <= mapping[c] <= int(labels.max())]
    if unknown:
        raise Wrong(
            f"For {what} the mapping sends cluster {unknown[0][0]} to class {unknown[0][1]}, which does not exist: the "
            f"largest label is {int(labels.max())}. In a square table clusters are matched to empty columns; unmatched "
            "clusters map to -1."
        )
    if len(set(names)) < len(names):
        raise Wrong(f"For {what} the mapping gives one class to two clusters: each class is given once, others are -1.")

    def share(table: dict) -> float:
        return sum(table.get(a, -2) == y for a, y in zip(assigned.tolist(), labels.tolist(), strict=True)) / len(labels)

    if not close(share(mapping), accuracy):
        if close(share({y: cluster for cluster, y in mapping.items()}), accuracy):
            raise Wrong(f"For {what} the mapping is the wrong way round: it leads from clusters to classes.")
        raise Wrong(
            f"For {what} the accuracy is right, but labels are permuted: the mapping, applied to the clusters, agrees "
            f"with {share(mapping):.3f} of the labels, not {accuracy:.3f}."
        )


def examine_matching(student: Student) -> str:
    cases = _cases(student)
    results = [_parts(student(assigned, labels)) for _, assigned, labels in cases]
    lists = [(assigned.tolist(), labels.tolist()) for _, assigned, labels in cases]
    wanted = [oracle.best_matching(*pair) for pair in lists]
    values = [accuracy for accuracy, _ in results]
    if not all(map(close, values, wanted)):
        n = [close(*pair) for pair in zip(values, wanted, strict=True)].index(False)
        raise Wrong(f"For {cases[n][0]} {gives(values[n], wanted[n])}{_seen(values, lists, cases[n])}")
    for (what, assigned, labels), (accuracy, mapping) in zip(cases, results, strict=True):
        _judge_mapping(what, mapping, assigned, labels, accuracy)
    return "The best of all one-to-one matchings, with fewer, as many and more clusters than classes; the mapping fits."


def _seen(values: list[float], lists: list[tuple], case: tuple) -> str:
    """The named mistake that gives what came out, as a sentence; the assignments themselves where there is none."""
    named = {
        "It looks as if every cluster takes its commonest class: each class may be given to one cluster only.": (
            oracle.majority,
        ),
        GREEDY: tuple(lambda a, y, by=by: oracle.greedy(a, y, by) for by in ("largest", "cluster", "class")),
        "It looks as if the worst matching is taken: linear_sum_assignment minimises unless maximize=True.": (
            oracle.worst_matching,
        ),
        "It looks as if cluster numbers are compared with labels directly: match them first.": (
            lambda a, y: sum(map(int.__eq__, a, y)) / len(y),
        ),
        "It looks as if only the matched clusters are counted: images of unmatched clusters count as wrong.": (
            _among_matched,
        ),
        "It looks as if the classes are averaged: every image counts the same.": (_balanced,),
        "It looks as if it is the error: return the share that agrees.": (lambda a, y: 1 - oracle.best_matching(a, y),),
        "It looks as if it is a percentage: return a share between 0 and 1.": (
            lambda a, y: 100 * oracle.best_matching(a, y),
        ),
        "It looks as if it is a number of images: return their share.": (
            lambda a, y: len(y) * oracle.best_matching(a, y),
        ),
    }
    fitting = [
        sentence
        for sentence, variants in named.items()
        if any(all(close(v, variant(*pair)) for v, pair in zip(values, lists, strict=True)) for variant in variants)
    ]
    if len(fitting) == 1:
        return f"\n{fitting[0]}"
    _, assigned, labels = case
    return f"\nThe inputs were assignments = {assigned.tolist()}, labels = {labels.tolist()}."


def _matched(assigned: list[int], labels: list[int]) -> tuple[Tensor, list[int], list[int]]:
    """counts (clusters, classes), and the places of the best matching."""
    from scipy.optimize import linear_sum_assignment

    a, y = torch.tensor(assigned), torch.tensor(labels)
    counts = torch.zeros(int(a.max()) + 1, int(y.max()) + 1)
    counts.index_put_((a, y), torch.ones(len(a)), accumulate=True)
    rows, columns = linear_sum_assignment(counts.numpy(), maximize=True)
    return counts, rows.tolist(), columns.tolist()


def _among_matched(assigned: list[int], labels: list[int]) -> float:
    counts, rows, columns = _matched(assigned, labels)
    return float(counts[rows, columns].sum() / counts[rows].sum())


def _balanced(assigned: list[int], labels: list[int]) -> float:
    counts, rows, columns = _matched(assigned, labels)
    right = torch.zeros(counts.shape[1])
    right[columns] = counts[rows, columns]
    present = counts.sum(dim=0) > 0
    return float((right / counts.sum(dim=0))[present].mean())
