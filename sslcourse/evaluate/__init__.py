"""Evaluation: features, probes, neighbours, geometry and dimension of an embedding, similarity of two, clusters against
classes, out-of-distribution scores, contacts, what a representation is made of."""

from sslcourse.evaluate.clusters import cluster_accuracy
from sslcourse.evaluate.contacts import precision_at_l
from sslcourse.evaluate.dimension import participation_ratio, two_nn
from sslcourse.evaluate.explain import insertion_deletion, relax, sample_masks
from sslcourse.evaluate.features import extract_features, layer_features
from sslcourse.evaluate.interval import wilson_interval
from sslcourse.evaluate.neighbours import knn_accuracy, nearest_neighbours
from sslcourse.evaluate.ood import auroc, auroc_interval, fpr_at_95_tpr
from sslcourse.evaluate.overlap import neighbourhood_overlap
from sslcourse.evaluate.probe import Probe, linear_probe
from sslcourse.evaluate.reads import reads_its_input
from sslcourse.evaluate.retrieval import retrieval
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
    "fpr_at_95_tpr",
    "insertion_deletion",
    "knn_accuracy",
    "layer_features",
    "linear_cka",
    "linear_probe",
    "nearest_neighbours",
    "neighbourhood_overlap",
    "participation_ratio",
    "precision_at_l",
    "rankme",
    "reads_its_input",
    "relax",
    "retrieval",
    "sample_masks",
    "two_nn",
    "uniformity",
    "wilson_interval",
]
