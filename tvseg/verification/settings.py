"""What a face verification run can be told."""

from typing import Literal

from pydantic import Field, field_validator

from tvseg.settings import RunSettings, ScheduleSettings


class FaceSchedule(ScheduleSettings):
    """SGD with drops of the learning rate at the ends of some epochs; an epoch sees all pictures.

    ``steps_per_epoch`` is 0 until the training set is read: as many whole batches as it fills.
    """

    epochs: int = Field(default=38, ge=1, le=1_000_000)
    steps_per_epoch: int = Field(default=0, ge=0, le=1_000_000)
    batch: int = Field(default=512, ge=2, le=65_536)
    learning_rate: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0, allow_inf_nan=False)
    drop_epochs: tuple[int, ...] = (22, 30, 35)
    drop_factor: float = Field(default=0.1, gt=0, le=1)
    margin_warmup: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class FaceSettings(RunSettings):
    """Everything that decides what a face verification run computes.

    ``stages`` are the stages of the backbone that get the operator, counted from 1; None for all,
    for attention the late ones.
    """

    backbone: Literal["mobilenet_v2", "shufflenet_v2"] = "mobilenet_v2"
    width: float = Field(default=0.1, gt=0, le=4)
    operator: str = "depthwise"  # checked by the builder, which knows the operators
    stages: tuple[int, ...] | None = None
    image_size: int = Field(default=96, ge=32, le=1024)
    embedding: int = Field(default=512, ge=2, le=8192)
    scale: float = Field(default=32.0, gt=0, allow_inf_nan=False)
    margin: float = Field(default=0.35, ge=0, lt=1)
    flip: bool = True
    validation: str = "pairs_val"
    train: FaceSchedule = FaceSchedule()

    @field_validator("train")
    @classmethod
    def _parts_are_equal(cls, train: FaceSchedule) -> FaceSchedule:
        if train.batch % train.micro_batches:
            raise ValueError(f"micro_batches must divide batch ({train.batch})")
        return train

    @property
    def display_name(self) -> str:
        """The ``name`` key, by default backbone, width and operator."""
        width = f"{self.width:g}".replace(".", "_")
        return self.name or f"{self.backbone}_x{width}-{self.operator}"
