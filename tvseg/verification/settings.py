"""Settings of a face verification run."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tvseg.settings import FrozenSettings, RunSettings, ScheduleSettings


class JitterSettings(FrozenSettings):
    """Random affine changes of each training picture, drawn evenly from -value to value.

    Attributes:
        rotation: In degrees.
        scale: Share by which the face grows or shrinks.
        shear: In degrees.
        translation: Along rows and along columns, as a share of the side.
    """

    rotation: float = Field(default=0.0, ge=0, le=180)
    scale: float = Field(default=0.0, ge=0, le=0.9)
    shear: float = Field(default=0.0, ge=0, le=60)
    translation: float = Field(default=0.0, ge=0, le=1)


class GeneratorSettings(FrozenSettings):
    """Shape and start of TVConv's affinity maps and weight generator.

    Attributes:
        affinity_channels: Number of affinity maps of each layer.
        hidden_channels: Channels inside the generator.
        hidden_layers: Hidden blocks after the first.
        start: Affinity maps of ones, as published, or made of the training pictures; see
            :mod:`tvseg.verification.training.affinity_start`.
    """

    affinity_channels: int = Field(default=4, ge=1, le=256)
    hidden_channels: int = Field(default=64, ge=1, le=1024)
    hidden_layers: int = Field(default=3, ge=0, le=32)
    start: Literal["ones", "pictures"] = "ones"


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

    distinctive_key = "backbone"
    backbone: Literal["mobilenet_v2", "shufflenet_v2"] = "mobilenet_v2"
    width: float = Field(default=0.1, gt=0, le=4)
    operator: str = "depthwise"  # checked by the builder, which knows the operators
    stages: tuple[int, ...] | None = None
    generator: GeneratorSettings = GeneratorSettings()
    image_size: int = Field(default=96, ge=32, le=1024)
    embedding: int = Field(default=512, ge=2, le=8192)
    scale: float = Field(default=32.0, gt=0, allow_inf_nan=False)
    margin: float = Field(default=0.35, ge=0, lt=1)
    flip: bool = True
    jitter: JitterSettings = JitterSettings()
    validation: str = "pairs_val"
    train: FaceSchedule = FaceSchedule()

    @field_validator("train")
    @classmethod
    def _parts_are_equal(cls, train: FaceSchedule) -> FaceSchedule:
        if train.batch % train.micro_batches:
            raise ValueError(f"micro_batches must divide batch ({train.batch})")
        return train

    @model_validator(mode="after")
    def _only_tvconv_has_a_generator(self) -> "FaceSettings":
        if self.operator != "tvconv" and self.generator != GeneratorSettings():
            raise ValueError(
                f"generator: must be left out, or operator must be tvconv, which is {self.operator}"
            )
        return self

    @property
    def display_name(self) -> str:
        """The ``name`` key, by default backbone, width and operator."""
        width = f"{self.width:g}".replace(".", "_")
        return self.name or f"{self.backbone}_x{width}-{self.operator}"
