"""Clustering methods to compare with: the specification's greedy pass, and libraries."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from facecore.clustering import Detections, cluster
from facecore.vectors import unit

Method = Callable[[Detections, float, float], NDArray[np.int64]]
"""(detections, threshold, sampling interval in seconds) → labels."""

IMMICH_SIMILARITY, IMMICH_FACES = 0.5, 3
"""Defaults of immich 2 (server/src/config.ts): greatest cosine distance 0.5, at least 3 faces for a person."""

FINCH, HDBSCAN = "FINCH, given the number of people", "HDBSCAN (scikit-learn)"


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


def hdbscan(*, may_be_one: bool) -> Method:
    """Returns scikit-learn's HDBSCAN on unit vectors, which needs no threshold; what it calls noise is a person each.

    Args:
        may_be_one: whether all faces may be of one person, as in many films; in a crowd it finds one person then.
    """

    def run(detections: Detections, _: float, __: float) -> NDArray[np.int64]:
        from sklearn.cluster import HDBSCAN as Model

        if len(detections) < 2:
            return np.zeros(len(detections), np.int64)
        model = Model(min_cluster_size=2, allow_single_cluster=may_be_one, copy=True)
        labels = np.asarray(model.fit_predict(unit(detections.embeddings)), np.int64)
        noise = np.flatnonzero(labels < 0)
        labels[noise] = labels.max() + 1 + np.arange(len(noise))
        return labels

    return run


def immich(detections: Detections, _: float, __: float) -> NDArray[np.int64]:
    """Clusters as immich does, when all faces are there (`by_immich`)."""
    return by_immich(unit(detections.embeddings), arriving=False)


def by_immich(units: NDArray[np.float32], *, arriving: bool) -> NDArray[np.int64]:
    """Clusters as immich does: DBSCAN (Ester et al. 1996) with faces that come one after the other. A face joins the
    person of its most similar face, founds a person when enough are similar, else it is left without one.

    Args:
        arriving: a face does not see those after it, until all are there.
    """
    labels = np.full(len(units), -1)
    for round_ in range(2):  # faces without a person are tried once more when all are known
        for i in np.flatnonzero(labels < 0):
            cosines = units @ units[i]
            if arriving and round_ == 0:
                cosines[i + 1 :] = -1
            similar = np.flatnonzero(cosines >= IMMICH_SIMILARITY)
            settled = similar[labels[similar] >= 0]
            if len(settled):
                labels[i] = labels[settled[cosines[settled].argmax()]]
            elif len(similar) >= IMMICH_FACES:
                labels[i] = labels.max() + 1
    alone = np.flatnonzero(labels < 0)
    labels[alone] = labels.max(initial=-1) + 1 + np.arange(len(alone))
    return labels


def finch(people: int) -> Method:
    """Clusters by first neighbours (FINCH, Sarfraz et al., CVPR 2019); of its levels the one whose number of clusters
    is closest to the true number of people, which no other method is given."""

    def run(found: Detections, _: float, __: float) -> NDArray[np.int64]:
        units = unit(found.embeddings)
        labels = best = np.arange(len(units))
        while True:
            means = np.zeros((labels.max() + 1, units.shape[1]), np.float32)
            np.add.at(means, labels, units)
            cosines = unit(means) @ unit(means).T
            np.fill_diagonal(cosines, -np.inf)
            first = cosines.argmax(axis=1)
            rows = np.arange(len(first))
            graph = csr_array((np.ones(len(first)), (rows, first)), shape=(len(first), len(first)))
            count, merged = connected_components(graph, directed=False)
            if count == len(first) or count < 2:
                return best
            labels = merged[labels].astype(np.int64)
            if abs(count - people) < abs(int(best.max()) + 1 - people):
                best = labels

    return run


METHODS: dict[str, Method] = {
    "faces": lambda detections, threshold, interval: cluster(
        detections, threshold, sampling_interval=interval
    ),
    "greedy": lambda detections, threshold, _: greedy(detections, threshold),
    "average linkage (scipy)": agglomerative("average"),
    "single linkage (scipy)": agglomerative("single"),
    "DBSCAN (immich)": immich,
}
if find_spec("sklearn"):
    METHODS[HDBSCAN] = hdbscan(may_be_one=True)
