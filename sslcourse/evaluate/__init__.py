"""Evaluation: features, probes, neighbours, geometry and dimension of an embedding, similarity of two, clusters."""

from sslcourse.evaluate.clusters import cluster_accuracy
from sslcourse.evaluate.dimension import participation_ratio, two_nn
from sslcourse.evaluate.features import extract_features, layer_features
from sslcourse.evaluate.interval import wilson_interval
from sslcourse.evaluate.neighbours import knn_accuracy, nearest_neighbours
from sslcourse.evaluate.overlap import neighbourhood_overlap
from sslcourse.evaluate.probe import Probe, linear_probe
from sslcourse.evaluate.similarity import linear_cka
from sslcourse.evaluate.spectrum import rankme
from sslcourse.evaluate.sphere import alignment, uniformity

__all__ = [
    "Probe",
    "alignment",
    "cluster_accuracy",
    "extract_features",
    "knn_accuracy",
    "layer_features",
    "linear_cka",
    "linear_probe",
    "nearest_neighbours",
    "neighbourhood_overlap",
    "participation_ratio",
    "rankme",
    "two_nn",
    "uniformity",
    "wilson_interval",
]
