"""A Ray cluster on this machine: a head that only hands out the work, and nodes of a core each."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CACHE = "cache-of-the-nodes"
SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="session")
def ray_head(tmp_path_factory):
    pytest.importorskip("ray", reason="Ray comes with the extra cluster")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("CNNZOO_CACHE", str(tmp_path_factory.mktemp("nodes") / CACHE))
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
        yield made
        made.shutdown()


@pytest.fixture
def cluster(ray_head):
    """The cluster with two nodes, whatever the test before has left of them."""
    for _ in range(2 - len(ray_head.worker_nodes)):
        ray_head.add_node(num_cpus=1, **SMALL)
    return ray_head
