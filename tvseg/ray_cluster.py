"""A Ray cluster to compute on, with Ray's usage statistics switched off."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tvseg.extras import require


@contextmanager
def ray_cluster(address: str | None, *, cpus: int) -> Iterator[None]:
    """Connect to a cluster, or start one on this machine; it is left, or ends, with the block.

    Args:
        address: Of a running cluster; ``None`` starts one.
        cpus: Of the cluster that is started.

    Raises:
        UserError: Ray is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    require("ray")
    import ray

    if address:
        ray.init(address=address, log_to_driver=False)
    else:
        ray.init(
            num_cpus=cpus, include_dashboard=False, log_to_driver=False, configure_logging=False
        )
    try:
        yield
    finally:
        ray.shutdown()
