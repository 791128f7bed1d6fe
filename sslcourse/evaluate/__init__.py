"""Evaluation: features, probes, neighbours, geometry of an embedding, similarity of two, clusters against classes,
what a representation is made of."""
"""Evaluation: features, probes, neighbours, geometry, similarity, clusters against classes, out-of-distribution."""

from sslcourse.evaluate.clusters import cluster_accuracy
from sslcourse.evaluate.contacts import precision_at_l
from sslcourse.evaluate.explain import insertion_deletion, relax, sample_masks
from sslcourse.evaluate.features import extract_features, layer_features
from sslcourse.evaluate.interval import wilson_interval
from sslcourse.evaluate.neighbours import knn_accuracy, nearest_neighbours
from sslcourse.evaluate.ood import auroc, auroc_interval, fpr_at_95_tpr

"""Evaluation: features, probes, neighbours, geometry and dimension of an embedding, similarity of two, clusters."""

from sslcourse.evaluate.dimension import participation_ratio, two_nn
from sslcourse.evaluate.overlap import neighbourhood_overlap
from sslcourse.evaluate.probe import Probe, linear_probe
from sslcourse.evaluate.similarity import linear_cka
from sslcourse.evaluate.spectrum import rankme
from sslcourse.evaluate.sphere import alignment, uniformity

__all__ = [
    "Probe",
    "alignment",
    "auroc",
    "auroc_interval",
    "cluster_accuracy",
    "extract_features",
    "insertion_deletion",
    "fpr_at_95_tpr",
    "knn_accuracy",
    "layer_features",
    "linear_cka",
    "linear_probe",
    "nearest_neighbours",
    "precision_at_l",
    "rankme",
    "relax",
    "sample_masks",
    "neighbourhood_overlap",
    "participation_ratio",
    "rankme",
    "two_nn",
    "uniformity",
    "wilson_interval",
]
