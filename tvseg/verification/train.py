"""Training of one face verification network, from settings to a finished run folder."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout
from ignite.metrics import Metric
from monai.engines import SupervisedEvaluator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tvseg.data.normalisation import Normalisation
from tvseg.device import autocast, choose_device, choose_precision
from tvseg.errors import UserError
from tvseg.files import remove_temporaries, write_text
from tvseg.runs.affinity import affinity_maps
from tvseg.runs.folder import RunFolder
from tvseg.runs.provenance import now, provenance
from tvseg.training.fit import Batch, Numerics
from tvseg.training.loop import TrainingLoop
from tvseg.training.state import take_up
from tvseg.verification.affinity_start import picture_statistics, start_affinity
from tvseg.verification.batches import EpochBatches, FaceSet
from tvseg.verification.data import Faces, PairSet, pair_files, read_faces, read_pair_set
from tvseg.verification.distances import VALIDATION_FILE, distances_of
from tvseg.verification.embedder import FaceEmbedder
from tvseg.verification.network import VERIFICATION, FaceCard, FaceNetwork
from tvseg.verification.scoring import honest
from tvseg.verification.settings import FaceSchedule, FaceSettings

CHOSEN = "selected on validation pairs"


class PairAccuracy(Metric):  # type: ignore[misc]  # ignite has no types
    """Accuracy over folds of the pairs of a set, from the embeddings of all its pictures.

    Args:
        pairs: The set; its pictures come in order.
    """

    def __init__(self, pairs: PairSet) -> None:
        self.pairs = pairs
        super().__init__(lambda output: output["pred"])

    def reset(self) -> None:
        """Forget all embeddings."""
        self.embedded: list[torch.Tensor] = []

    def update(self, output: torch.Tensor) -> None:
        """Keep the embeddings of a batch."""
        self.embedded.append(output.cpu())

    def compute(self) -> float:
        """Return the accuracy, 0 to 1."""
        features = torch.cat(self.embedded).double().numpy()
        pairs = self.pairs
        left, right = features[pairs.left], features[pairs.right]
        return honest(left, right, pairs.same, pairs.fold).mean


def train_faces(
    settings: FaceSettings,
    *,
    root: Path,
    runs: Path,
    device: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
) -> RunFolder:
    """Train one network to embed faces.

    Args:
        settings: What to train.
        root: Data root, see :mod:`tvseg.verification.data`.
        runs: Folder that gets the run folder.
        device: Name of a torch device; ``None`` chooses.
        resume: Continue an unfinished training of the same settings, bit for bit.
        overwrite: Replace a run of the name, whatever it holds.
        command: The command line, for the record.

    Returns:
        The finished run folder.

    Raises:
        UserError: Bad data or settings, a validation set that shares people with the training
            set, or a run folder in the way.
        TrainingDiverged: The loss is not finite; the last epoch's checkpoint stays.
    """
    run = RunFolder(runs / f"{settings.display_name}-seed{settings.seed}", FaceSettings)
    run.check_free(settings, resume=resume, overwrite=overwrite)
    if resume and not overwrite and _is_complete(run):
        return run
    chosen = choose_device(device)
    numerics = Numerics(chosen, choose_precision(settings.precision, chosen), Normalisation())
    faces = read_faces(root, side_px=settings.image_size)
    validation = _validation(root, settings, faces)
    steps = len(faces.names) // settings.train.batch
    if steps < 1:
        raise UserError(
            f"{root} has {len(faces.names)} training pictures, fewer than one batch: lower "
            f"train.batch ({settings.train.batch})"
        )
    plan = settings.train.model_copy(update={"steps_per_epoch": steps})
    torch.manual_seed(settings.seed)
    network = _network_for(settings, faces)
    network.to(chosen).to(memory_format=torch.channels_last)
    try:
        with run.lock():
            run.check_free(settings, resume=resume, overwrite=overwrite)
            if overwrite:
                run.clear()
            remove_temporaries(run.path)
            about = provenance(command, str(chosen)) | {"data": str(root.resolve())}
            _train(run, settings, plan, faces, validation, network, numerics, about)
            best = FaceEmbedder(run.path, device=device)
            distances = distances_of(validation, best(validation.pixels))
            write_text(run.path / VALIDATION_FILE, distances.to_csv(index=False))
    except Timeout as error:
        raise UserError(f"{run.path} is being written by another training") from error
    return run


def _network_for(settings: FaceSettings, faces: Faces) -> FaceNetwork:
    """Build the network, its affinity maps as the settings say."""
    network = FaceNetwork(settings, len(faces.people))
    if settings.train.log_affinity and not affinity_maps(network):
        raise UserError(
            f"train.log_affinity needs TVConv layers; operator={settings.operator} has none"
        )
    if settings.generator.start == "pictures":
        start_affinity(network, picture_statistics(faces.pixels))
    return network


def _is_complete(run: RunFolder) -> bool:
    """Whether nothing is left to do; the validation distances follow after the last epoch."""
    return _is_trained(run) and (run.path / VALIDATION_FILE).is_file()


def _is_trained(run: RunFolder) -> bool:
    return (run.path / "run.json").exists() and run.is_finished()


def _validation(root: Path, settings: FaceSettings, faces: Faces) -> PairSet:
    """Read the validation pairs; refuse them when people or pictures are in the training set."""
    files = pair_files(root)
    if settings.validation not in files:
        raise UserError(
            f"validation must name a set of pairs below {root} "
            f"({', '.join(files) or 'there is none'}), got {settings.validation!r}"
        )
    pairs = read_pair_set(files[settings.validation], side_px=settings.image_size)
    trained = {hashlib.sha256(picture.tobytes()).digest() for picture in faces.pixels}
    both = [
        name for name, picture in zip(pairs.names, pairs.pixels, strict=True)
        if hashlib.sha256(picture.tobytes()).digest() in trained
    ]  # fmt: skip
    people = {Path(name).parent.name for name in pairs.names} - {""}
    shared = sorted(people & set(faces.people))
    if both or shared:
        first = both[0] if both else shared[0]
        raise UserError(
            f"{pairs.name} must share neither people nor pictures with the training set: "
            f"{len(both)} pictures and {len(shared)} people are in both, first {first}; see "
            f"'tvseg faces check {root}'"
        )
    return pairs


def _train(
    run: RunFolder,
    settings: FaceSettings,
    plan: FaceSchedule,
    faces: Faces,
    validation: PairSet,
    network: FaceNetwork,
    numerics: Numerics,
    about: dict[str, Any],
) -> None:
    """Fit the network and write the run, from the newest checkpoint in it."""
    fingerprint = _fingerprint(faces)
    same = {"fingerprint": fingerprint, "precision": numerics.precision}
    if _is_trained(run):  # only the validation distances are missing
        run.continue_with(started=now(), **same)
        return
    kept = take_up(run, VERIFICATION, **same)
    if kept is None:
        splits = {"train": list(faces.names), "validation": list(validation.names)}
        about |= {"holdout": "none", "seed": settings.seed}
        run.begin(settings, splits, **about, **same)
    card = FaceCard(
        settings=settings,
        people=len(faces.people),
        fingerprint=fingerprint,
        epoch=0,
        chosen="last epoch",
        normalisation=numerics.normalisation,
    )
    with run.log():
        TrainingLoop(
            run,
            network,
            plan=plan,
            loss=network.loss,
            numerics=numerics,
            optimizer=torch.optim.SGD(
                network.parameters(), plan.learning_rate, momentum=plan.momentum,
                weight_decay=plan.weight_decay,
            ),
            rate=lambda step: _rate(plan, step),
            make_loader=lambda step: _make_loader(faces, settings, plan, numerics, first_step=step),
            validator=make_pair_validator(network, validation, numerics=numerics),
            card=card,
            chosen=CHOSEN,
            before_step=lambda step: _warm_up(network, settings.margin, plan, step),
        ).run_to_end(kept)  # fmt: skip


def _rate(plan: FaceSchedule, step: int) -> float:
    """Return the learning rate of a step over that of the first one."""
    return plan.drop_factor ** sum(step >= plan.steps_per_epoch * e for e in plan.drop_epochs)


def _warm_up(network: FaceNetwork, margin: float, plan: FaceSchedule, step: int) -> None:
    """Let the margin grow from 0 over the first epochs: few people are not learnt without it."""
    steps = plan.margin_warmup * plan.steps_per_epoch
    network.margin_loss.margin = margin * min(1.0, step / steps if steps else 1.0)


def _make_loader(
    faces: Faces,
    settings: FaceSettings,
    plan: FaceSchedule,
    numerics: Numerics,
    *,
    first_step: int,
) -> "DataLoader[dict[str, Any]]":
    batches = EpochBatches(
        len(faces.names), batch=plan.batch, epochs=plan.epochs, seed=settings.seed,
        first_step=first_step,
    )  # fmt: skip
    return DataLoader(
        FaceSet(faces, seed=settings.seed, flip=settings.flip, jitter=settings.jitter),
        batch_sampler=batches,
        num_workers=plan.workers,
        pin_memory=numerics.pins_memory,
        generator=torch.Generator(),
    )


def make_pair_validator(
    network: nn.Module, pairs: PairSet, *, numerics: Numerics
) -> SupervisedEvaluator:
    """Return an engine that computes ``accuracy``, the mean over folds of a set of pairs.

    Args:
        network: Pictures -> embeddings.
        pairs: The set.
        numerics: Device, autocast type, normalisation.
    """
    pictures = torch.from_numpy(pairs.pixels).permute(0, 3, 1, 2)  # (N, 3, S, S)

    def update(engine: SupervisedEvaluator, batch: Any) -> Batch:
        engine.network.eval()
        images = numerics.normalisation(batch[0].to(numerics.device))
        with torch.inference_mode(), autocast(numerics.device, numerics.autocast):
            return {"pred": engine.inferer(images, engine.network).float()}

    return SupervisedEvaluator(
        device=numerics.device,
        val_data_loader=DataLoader(
            TensorDataset(pictures), batch_size=256, generator=torch.Generator()
        ),
        network=network,
        iteration_update=update,
        key_val_metric={"accuracy": PairAccuracy(pairs)},
        decollate=False,
    )


def _fingerprint(faces: Faces) -> str:
    """Return a digest of the training pictures and their people."""
    digest = hashlib.sha256()
    for name, pixels, person in zip(faces.names, faces.pixels, faces.identities, strict=True):
        digest.update(f"{name}\t{person}\n".encode())
        digest.update(pixels.tobytes())
    return digest.hexdigest()[:16]
