"""Clustering methods to compare with: the specification's greedy pass, and libraries."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from facecore.clustering import Detections, cluster
from facecore.vectors import unit

Method = Callable[[Detections, float, float], NDArray[np.int64]]
"""(detections, threshold, sampling interval in seconds) → labels."""


def greedy(detections: Detections, threshold: float) -> NDArray[np.int64]:
    """The specification's four steps: each face, in order of time and place, joins the most similar
    representative if that is similar enough, else founds a person; the best face represents him."""
    units, quality = unit(detections.embeddings), detections.quality
    labels = np.empty(len(detections), np.int64)
    best: list[int] = []
    for i in np.lexsort((detections.boxes[:, 0], detections.timestamps)):
        cosines = units[best] @ units[i]
        if len(best) and cosines.max() >= threshold:
            labels[i] = person = int(cosines.argmax())
            if quality[i] > quality[best[person]]:
                best[person] = i
        else:
            labels[i] = len(best)
            best.append(i)
    return labels


def agglomerative(method: str) -> Method:
    """scipy's agglomeration by cosine distance, cut at 1 - threshold."""

    def run(detections: Detections, threshold: float, _: float) -> NDArray[np.int64]:
        if len(detections) < 2:
            return np.zeros(len(detections), np.int64)
        tree = linkage(unit(detections.embeddings), method, metric="cosine")
        return np.asarray(fcluster(tree, 1 - threshold, "distance"), np.int64)

    return run


def hdbscan(detections: Detections, _: float, __: float) -> NDArray[np.int64]:
    """scikit-learn's HDBSCAN on unit vectors, which needs no threshold; what it calls noise is a person each."""
    from sklearn.cluster import HDBSCAN

    if len(detections) < 2:
        return np.zeros(len(detections), np.int64)
    model = HDBSCAN(min_cluster_size=2, allow_single_cluster=True, copy=True)
    labels = np.asarray(model.fit_predict(unit(detections.embeddings)), np.int64)
    noise = np.flatnonzero(labels < 0)
    labels[noise] = labels.max() + 1 + np.arange(len(noise))
    return labels


METHODS: dict[str, Method] = {
    "faces": lambda detections, threshold, interval: cluster(
        detections, threshold, sampling_interval=interval
    ),
    "greedy": lambda detections, threshold, _: greedy(detections, threshold),
    "average linkage (scipy)": agglomerative("average"),
    "single linkage (scipy)": agglomerative("single"),
}
if find_spec("sklearn"):
    METHODS["HDBSCAN (scikit-learn)"] = hdbscan
