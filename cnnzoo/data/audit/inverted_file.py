"""The windows nearest to others, looked up in lists of alike ones (Sivic and Zisserman 2003, by FAISS)."""

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

NEIGHBOURS = 8  # alike windows looked at
LIST_LENGTH = 100  # windows in a list of the inverted file, on average
MOST_LISTS = 8192
SAMPLES_PER_LIST = 32  # windows that the lists' centres are found from
PROBES = 3  # lists looked through
_ADDED = 100_000  # windows at a time


def filled_index(spectra: npt.NDArray) -> Any:
    """Returns an inverted file of all windows."""
    index = _empty_index(spectra)
    for start in range(0, len(spectra), _ADDED):
        index.add(spectra[start : start + _ADDED].astype(np.float32))
    return index


def _empty_index(spectra: npt.NDArray) -> Any:
    """An inverted file whose lists are found through a graph, in time that hardly grows."""
    dims = spectra.shape[1]
    lists = int(np.clip(len(spectra) // LIST_LENGTH, 1, MOST_LISTS))
    sample = np.random.default_rng(0).permutation(len(spectra))[: SAMPLES_PER_LIST * lists]
    means: Any = faiss.Kmeans(
        dims, lists, niter=6, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=SAMPLES_PER_LIST,
    )  # fmt: skip
    means.train(spectra[sample].astype(np.float32))
    graph: Any = faiss.IndexHNSWFlat(dims, 16, faiss.METRIC_INNER_PRODUCT)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # several would link the graph in an order of chance
    graph.add(means.centroids)
    faiss.omp_set_num_threads(threads)
    index = faiss.IndexIVFFlat(graph, dims, lists, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = PROBES
    return index


def nearest(
    index: Any, queries: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Cosines and positions of each query's neighbours, list by list: a list is read once from memory.

    In the calling thread alone, so that several searches run side by side: FAISS's own threads wait for each
    other many times in a search, and beside other programs more than they work.
    """
    faiss.omp_set_num_threads(1)  # of this thread
    distances, lists = index.quantizer.search(queries, PROBES)
    order = np.argsort(lists[:, 0], kind="stable")
    alike, near = np.empty((len(queries), NEIGHBOURS), np.float32), np.empty((len(queries), NEIGHBOURS), int)
    alike[order], near[order] = index.search_preassigned(
        queries[order], NEIGHBOURS, lists[order], distances[order]
    )
    return alike, near
