"""Where cells run: on this machine, on a Ray cluster, under SLURM."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tvseg.errors import UsageError, UserError, one_line
from tvseg.extras import require
from tvseg.ray_cluster import ray_cluster
from tvseg.sweep.cells import CellRecord, SweepFolder, run_cell
from tvseg.sweep.plan import SweepCell, SweepPlan
from tvseg.sweep.processes import STOPPED, Processes
from tvseg.sweep.progress import progress_of

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


class SweepStopped(UserError):  # noqa: N818  (a state of the sweep, and reads as one)
    """A signal has stopped the sweep; the same command continues it."""

    exit_code = STOPPED

    @staticmethod
    def of(plan: SweepPlan, folder: SweepFolder) -> "SweepStopped":
        """Return the error that says how far a sweep came, and where it is continued."""
        progress = progress_of(plan, folder)
        return SweepStopped(f"sweep stopped, {progress}; the same command continues {folder.path}")


def local(
    plan: SweepPlan, cells: Sequence[SweepCell], folder: SweepFolder, resources: Resources
) -> Generator[Done]:
    """Run cells as processes of this machine, ``jobs`` at a time.

    At SIGINT, SIGTERM or SIGHUP trainings save their step and end, and no cell begins any more; a
    second signal kills them.

    Raises:
        SweepStopped: After such a signal, once all processes have ended.
    """
    processes = Processes()

    def run(cell: SweepCell) -> CellRecord | None:
        if processes.stopped:
            return None
        how: dict[str, Any] = {"threads": resources.cpus, "processes": processes}
        return _record_of(cell, folder, partial(run_cell, plan, cell, folder, **how))

    with processes.stopped_by_signals(), ThreadPoolExecutor(resources.jobs) as pool:
        waiting = {pool.submit(run, cell): cell for cell in cells}
        try:
            for done in as_completed(waiting):
                if record := done.result():
                    yield waiting[done], record
        except BaseException:  # of the caller
            processes.stop()
            raise
    if processes.stopped:
        raise SweepStopped.of(plan, folder)


def ray(
    plan: SweepPlan, cells: Sequence[SweepCell], folder: SweepFolder, resources: Resources
) -> Generator[Done]:
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
            cell = waiting.pop(done)
            result: Callable[[], Any] = partial(core.get, done)
            yield cell, _record_of(cell, folder, result)


def slurm(
    plan: SweepPlan, cells: Sequence[SweepCell], folder: SweepFolder, resources: Resources
) -> Generator[Done]:
    """Run cells as a job array of SLURM, through submitit."""
    require("submitit")
    import submitit

    options = dict(resources.slurm or {})
    if resources.gpus % 1:
        raise UsageError(f"--gpus must be a whole number under SLURM, got {resources.gpus}")
    try:
        executor = submitit.AutoExecutor(
            folder.path / "slurm", cluster=options.pop("cluster", "slurm")
        )
        executor.update_parameters(
            cpus_per_task=resources.cpus, gpus_per_node=int(resources.gpus), **options
        )
    except (NameError, ValueError, AssertionError, RuntimeError) as error:
        raise UsageError(f"--slurm: {one_line(error)}") from error
    if executor.cluster == "slurm":
        executor.update_parameters(slurm_array_parallelism=resources.jobs)
    with executor.batch():
        jobs = {
            executor.submit(run_cell, plan, cell, folder, threads=resources.cpus): cell
            for cell in cells
        }
    for job in submitit.helpers.as_completed(list(jobs), poll_frequency=2):
        yield jobs[job], _record_of(jobs[job], folder, job.result)


def _record_of(
    cell: SweepCell, folder: SweepFolder, result: Callable[[], CellRecord]
) -> CellRecord:
    """Return the record of a cell that has ended; one whose machine was lost has failed."""
    try:
        return result()
    except Exception as error:  # engines have errors of many classes
        before = folder.record(cell) or CellRecord(cell.fingerprint, "failed")
        record = replace(before, state="failed", reason=f"lost: {one_line(error)[:300]}")
        folder.write(cell, record)
        return record


def _call(run: Callable[[], CellRecord]) -> CellRecord:
    return run()


Engine = Callable[[SweepPlan, Sequence[SweepCell], SweepFolder, Resources], Generator[Done]]

ENGINES: dict[str, Engine] = {"local": local, "ray": ray, "slurm": slurm}
