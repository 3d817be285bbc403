"""Where cells run: on this machine, on a Ray cluster, under SLURM."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvseg.extras import require
from tvseg.ray_cluster import ray_cluster
from tvseg.sweep.cells import CellRecord, SweepFolder, run_cell
from tvseg.sweep.plan import SweepCell, SweepPlan

Done = tuple[SweepCell, CellRecord]


@dataclass(frozen=True)
class Resources:
    """What cells may use.

    Attributes:
        jobs: Cells at a time.
        cpus: Threads of each cell.
        gpus: GPUs of each cell, also a part of one.
        address: Of a Ray cluster; None starts one on this machine.
        slurm: Options of submitit, such as ``slurm_partition``.
    """

    jobs: int = 1
    cpus: int = 1
    gpus: float = 0
    address: str | None = None
    slurm: dict[str, Any] | None = None


def local(
    plan: SweepPlan, cells: Sequence[SweepCell], folder: SweepFolder, resources: Resources
) -> Iterator[Done]:
    """Run cells as processes of this machine, ``jobs`` at a time."""
    with ThreadPoolExecutor(resources.jobs) as pool:
        waiting = {
            pool.submit(run_cell, plan, cell, folder, threads=resources.cpus): cell
            for cell in cells
        }
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        except BaseException:  # an interrupt: cells that have not begun must not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def ray(
    plan: SweepPlan, cells: Sequence[SweepCell], folder: SweepFolder, resources: Resources
) -> Iterator[Done]:
    """Run each cell as one remote task of Ray core."""
    with ray_cluster(resources.address, cpus=resources.jobs * resources.cpus):
        import ray as core

        runs = {
            cell: partial(run_cell, plan, cell, folder, threads=resources.cpus) for cell in cells
        }
        task = core.remote(max_retries=3)(_call).options(
            num_cpus=resources.cpus, num_gpus=resources.gpus
        )
        waiting = {task.remote(run): cell for cell, run in runs.items()}
        while waiting:
            (done,), _ = core.wait(list(waiting), num_returns=1)
            yield waiting.pop(done), core.get(done)


def slurm(
    plan: SweepPlan, cells: Sequence[SweepCell], folder: SweepFolder, resources: Resources
) -> Iterator[Done]:
    """Run cells as a job array of SLURM, through submitit."""
    require("submitit")
    import submitit

    options = dict(resources.slurm or {})
    executor = submitit.AutoExecutor(folder.path / "slurm", cluster=options.pop("cluster", None))
    executor.update_parameters(
        cpus_per_task=resources.cpus, gpus_per_node=int(resources.gpus), **options
    )
    if executor.cluster == "slurm":
        executor.update_parameters(slurm_array_parallelism=resources.jobs)
    with executor.batch():
        jobs = {
            executor.submit(run_cell, plan, cell, folder, threads=resources.cpus): cell
            for cell in cells
        }
    for job in submitit.helpers.as_completed(list(jobs)):
        yield jobs[job], job.result()


def _call(run: Callable[[], CellRecord]) -> CellRecord:
    return run()


Engine = Callable[[SweepPlan, Sequence[SweepCell], SweepFolder, Resources], Iterator[Done]]

ENGINES: dict[str, Engine] = {"local": local, "ray": ray, "slurm": slurm}
