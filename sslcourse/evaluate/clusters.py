"""Clusters against classes.

References: Kuhn 1955, "The Hungarian method for the assignment problem"; Van Gansbeke et al. 2020, "SCAN: learning to
classify images without labels", which evaluates so.
"""

import torch

from sslcourse import arguments
from sslcourse.evaluate import inputs


def cluster_accuracy(assignments: torch.Tensor, labels: torch.Tensor) -> tuple[float, dict[int, int]]:
    """Share of samples in the class that their cluster is matched to, under the best one-to-one matching.

    assignments, labels: whole numbers (N,). Returns the accuracy and the matching {cluster: class} of the clusters
    that occur; where there are more clusters than classes the unmatched ones map to -1, and their samples count as
    wrong.
    """
    from scipy.optimize import linear_sum_assignment

    assignments = arguments.tensor("assignments", assignments, "whole numbers (N,)")
    if assignments.dim() != 1 or len(assignments) == 0:
        raise ValueError(f"assignments has shape {tuple(assignments.shape)}; expected (N,) with at least one sample.")
    assignments = inputs.labels(assignments, "assignments", len(assignments))
    assignments, labels = assignments.cpu(), inputs.labels(labels, "labels", len(assignments)).cpu()

    # Only ids that occur get a row or column, so that ids may have gaps and be large.
    clusters, rows = assignments.unique(return_inverse=True)
    classes, columns = labels.unique(return_inverse=True)
    counts = torch.zeros(len(clusters), len(classes), dtype=torch.int64)
    counts.index_put_((rows, columns), torch.ones_like(rows), accumulate=True)
    matched = linear_sum_assignment(counts.numpy(), maximize=True)
    mapping = dict.fromkeys(clusters.tolist(), -1)
    mapping |= {int(clusters[row]): int(classes[column]) for row, column in zip(*matched, strict=True)}
    return counts[matched].sum().item() / len(labels), mapping
