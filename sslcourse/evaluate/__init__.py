"""Evaluation: features, probes, neighbours, geometry of an embedding, similarity of two, clusters against classes."""

from sslcourse.evaluate.clusters import cluster_accuracy
from sslcourse.evaluate.features import extract_features, layer_features
from sslcourse.evaluate.interval import wilson_interval
from sslcourse.evaluate.neighbours import knn_accuracy, nearest_neighbours
from sslcourse.evaluate.probe import Probe, linear_probe
from sslcourse.evaluate.retrieval import retrieval
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
    "rankme",
    "retrieval",
    "uniformity",
    "wilson_interval",
]
