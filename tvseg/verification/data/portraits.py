"""Drawn portraits: faces that belong to nobody, for the demo and for every test.

A person is a set of shapes and colours; pose, expression, light, blur, noise, occlusion, background
and translation change from picture to picture. Everything follows from the seed, the person's
number and the picture's number.
"""

from dataclasses import dataclass, fields

import cv2
import numpy as np

SIDE_PX = 96
_DRAWN_PX = 192  # drawn twice as large, then averaged, for smooth edges

_SKIN = np.array([[255, 219, 187], [236, 188, 150], [205, 152, 112], [160, 110, 75], [105, 68, 46]])
_HAIR = np.array(
    [[25, 20, 18], [75, 48, 30], [140, 95, 55], [215, 180, 115], [165, 70, 35], [170, 170, 172]]
)
_IRIS = np.array([[70, 45, 25], [60, 95, 55], [70, 110, 150], [110, 110, 105]])


@dataclass(frozen=True)
class Nuisance:
    """How much pictures of one person differ.

    Attributes:
        translation_px: Standard deviation of the face's shift, in px of the 96.
        pose: Standard deviation of the turn of the head, as a share of the face's width.
        tilt_degrees: Standard deviation of the head's roll.
        light: Strength of the side light and of the exposure, 0 to 1.
        occlusion: Probability of a bar or glasses over the face.
    """

    translation_px: float = 1.5
    pose: float = 0.06
    tilt_degrees: float = 4.0
    light: float = 0.3
    occlusion: float = 0.1


DEFAULT = Nuisance()


@dataclass(frozen=True)
class _Person:
    """Shapes as shares of the drawn side; 0.5 is the middle of each range."""

    width: float
    height: float
    jaw: float
    eye_gap: float
    eye_size: float
    eye_row: float
    eye_slant: float
    brow_thickness: float
    brow_slant: float
    nose_length: float
    nose_width: float
    mouth_width: float
    mouth_thickness: float
    mouth_row: float
    hair_line: float
    hair_width: float
    hair_length: float
    beard: float
    ear_size: float
    mole_row: float
    mole_col: float


def draw_portrait(
    *, seed: int, person: int, picture: int, nuisance: Nuisance = DEFAULT
) -> np.ndarray:
    """Draw one picture of one person.

    Args:
        seed: Of the whole set.
        person: Number of the person; decides shape and colour.
        picture: Number of the picture; decides pose, light and what else is not the person's.
        nuisance: How much pictures of one person differ.

    Returns:
        uint8 (96, 96, 3), RGB.
    """
    shape = np.random.default_rng((seed, person))
    who = _Person(*shape.uniform(size=len(fields(_Person))))
    colours = [_mixed(shape, table) for table in (_SKIN, _HAIR, _IRIS)]
    draws = np.random.default_rng((seed, person, 1 + picture))
    canvas = _background(draws)
    _draw_face(canvas, who, colours, draws, nuisance)
    small = cv2.resize(canvas, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return _photographed(small, draws, nuisance)


def _mixed(draws: np.random.Generator, table: np.ndarray) -> np.ndarray:
    """Return a colour between two neighbours of a table."""
    at = draws.uniform(0, len(table) - 1)
    low = min(int(at), len(table) - 2)
    mixed: np.ndarray = table[low] + (at - low) * (table[low + 1] - table[low])
    return mixed


def _background(draws: np.random.Generator) -> np.ndarray:
    coarse = draws.uniform(30, 225, (3, 3, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (_DRAWN_PX, _DRAWN_PX), interpolation=cv2.INTER_CUBIC)
    canvas: np.ndarray = np.clip(smooth, 0, 255).astype(np.uint8)
    return canvas


def _draw_face(
    canvas: np.ndarray,
    who: _Person,
    colours: list[np.ndarray],
    draws: np.random.Generator,
    nuisance: Nuisance,
) -> None:
    """Draw hair, head, ears and features, turned and shifted, into the canvas."""
    skin, hair, iris = colours
    scale = _DRAWN_PX / SIDE_PX
    row, col = _DRAWN_PX / 2 + draws.normal(0, nuisance.translation_px * scale, 2)
    turn = float(draws.normal(0, nuisance.pose))
    tilt = float(draws.normal(0, nuisance.tilt_degrees))
    half_width = (0.23 + 0.09 * who.width) * _DRAWN_PX
    half_height = (0.32 + 0.08 * who.height) * _DRAWN_PX
    pen = _Pen(canvas, row, col, tilt, turn, half_width, half_height)

    locks = 1.12 + 0.3 * who.hair_width
    pen.ellipse(-0.12, 0, (locks, 1.08 + 0.15 * who.hair_width), hair, turning=0.2)
    if who.hair_length > 0.5:
        pen.box(0.3 * who.hair_length, 0, (0.95 * locks, 0.6 + 0.5 * who.hair_length), hair)
    for side in (-1, 1):
        pen.ellipse(0.0, side * 1.0, (0.1 + 0.12 * who.ear_size, 0.16 + 0.1 * who.ear_size), skin)
    pen.ellipse(0.0, 0, (1, 0.95), skin, turning=0)
    pen.ellipse(0.35, 0, (0.62 + 0.36 * who.jaw, 0.62), skin, turning=0.1)
    if who.beard > 0.6:
        pen.ellipse(0.66, 0, (0.45 + 0.3 * who.jaw, 0.12 + 0.5 * (who.beard - 0.6)), hair)
    pen.ellipse(-0.88 + 0.2 * who.hair_line, 0, (0.78, 0.2 + 0.2 * who.hair_line), hair)
    _draw_features(pen, who, skin, hair, iris, draws)
    if draws.uniform() < nuisance.occlusion:
        _occlude(pen, who, draws)


def _draw_features(
    pen: "_Pen",
    who: _Person,
    skin: np.ndarray,
    hair: np.ndarray,
    iris: np.ndarray,
    draws: np.random.Generator,
) -> None:
    eye_row = -0.28 + 0.22 * who.eye_row
    gap = 0.3 + 0.2 * who.eye_gap
    width = 0.12 + 0.11 * who.eye_size
    opened = (0.45 + 0.25 * who.eye_size) * draws.uniform(0.6, 1.1)
    smile = draws.normal(0, 0.04)
    for side in (-1, 1):
        slant = side * (who.eye_slant - 0.5) * 30
        pen.ellipse(eye_row, side * gap, (width, width * opened), (235, 235, 230), slant)
        pen.ellipse(eye_row, side * gap, (0.5 * width, 0.5 * width), iris)
        pen.ellipse(eye_row, side * gap, (0.22 * width, 0.22 * width), (15, 15, 15))
        brow = eye_row - 0.17 - 0.05 * draws.uniform()
        size = (0.18 + 0.06 * who.eye_size, 0.02 + 0.05 * who.brow_thickness)
        pen.ellipse(brow, side * gap, size, 0.8 * hair, side * (who.brow_slant - 0.5) * 50)
    tip = eye_row + 0.3 + 0.2 * who.nose_length
    pen.ellipse(tip - 0.15, 0.02, (0.05, 0.2), 0.9 * skin)
    pen.ellipse(tip, 0, (0.09 + 0.12 * who.nose_width, 0.06), 0.78 * skin)
    mouth = min(tip + 0.16 + 0.1 * who.mouth_row, 0.72)
    lips = 0.55 * skin + 0.45 * np.array([165, 40, 50])
    size = (0.18 + 0.2 * who.mouth_width + smile, 0.025 + 0.06 * who.mouth_thickness)
    pen.ellipse(mouth, 0, size, lips)
    pen.ellipse(mouth, 0, (0.9 * size[0], 0.012), 0.4 * lips)
    pen.ellipse(0.1 + 0.4 * who.mole_row, 1.4 * (who.mole_col - 0.5), (0.035, 0.035), 0.35 * skin)


def _occlude(pen: "_Pen", who: _Person, draws: np.random.Generator) -> None:
    if draws.uniform() < 0.5:  # glasses
        row, gap = -0.28 + 0.22 * who.eye_row, 0.3 + 0.2 * who.eye_gap
        shade = draws.uniform(0, 90, 3)
        for side in (-1, 1):
            pen.ellipse(row, side * gap, (0.24, 0.2), shade, thickness=4)
        pen.box(row, 0, (0.12, 0.02), shade)
        return
    row, col = draws.uniform(-0.9, 0.9, 2)
    pen.box(row, col, tuple(draws.uniform(0.12, 0.4, 2)), draws.uniform(0, 255, 3))


def _photographed(pixels: np.ndarray, draws: np.random.Generator, nuisance: Nuisance) -> np.ndarray:
    """Add side light, exposure, colour cast, blur and noise."""
    rows, cols = np.mgrid[-1 : 1 : SIDE_PX * 1j, -1 : 1 : SIDE_PX * 1j]
    angle = draws.uniform(0, 2 * np.pi)
    slope = nuisance.light * draws.uniform(0, 0.9)
    light = 1 + slope * (np.cos(angle) * cols + np.sin(angle) * rows)
    exposure = np.exp(nuisance.light * draws.normal(0, 0.4))
    cast = np.exp(nuisance.light * draws.normal(0, 0.12, 3))
    shown = pixels * (light[..., None] * exposure * cast)
    shown = cv2.GaussianBlur(shown, (0, 0), 0.3 + draws.uniform(0, 0.9))
    shown = shown + draws.normal(0, draws.uniform(1, 6), shown.shape)
    finished: np.ndarray = np.clip(shown, 0, 255).round().astype(np.uint8)
    return finished


class _Pen:
    """Draws in a face's coordinates: rows and columns in half heights and half widths.

    Args:
        canvas: uint8 (S, S, 3), drawn into.
        row: Centre of the face in px.
        col: Centre of the face in px.
        tilt: Roll in degrees.
        turn: Shift of what lies in front of the head, in half widths.
        half_width: In px.
        half_height: In px.
    """

    def __init__(
        self,
        canvas: np.ndarray,
        row: float,
        col: float,
        tilt: float,
        turn: float,
        half_width: float,
        half_height: float,
    ) -> None:
        self.canvas, self.row, self.col = canvas, row, col
        self.tilt, self.turn = tilt, turn
        self.half_width, self.half_height = half_width, half_height

    def ellipse(
        self,
        row: float,
        col: float,
        size: tuple[float, float],
        colour: np.ndarray | tuple[int, int, int],
        slant: float = 0.0,
        *,
        turning: float = 1.0,
        thickness: int = cv2.FILLED,
    ) -> None:
        """Draw an ellipse; ``size`` is its half axes (across, down), ``turning`` its depth."""
        centre = self._point(row, col + 2.5 * turning * self.turn)
        axes = max(1, round(size[0] * self.half_width)), max(1, round(size[1] * self.half_height))
        rgb = tuple(float(value) for value in np.clip(colour, 0, 255))
        cv2.ellipse(
            self.canvas, centre, axes, self.tilt + slant, 0, 360, rgb, thickness, cv2.LINE_AA
        )

    def box(self, row: float, col: float, size: tuple[float, ...], colour: np.ndarray) -> None:
        """Fill a rectangle; ``size`` is its half sides (across, down)."""
        across, down = size
        corners = [
            self._point(row + i * down, col + j * across)
            for i, j in ((-1, -1), (-1, 1), (1, 1), (1, -1))
        ]
        rgb = tuple(float(value) for value in np.clip(colour, 0, 255))
        cv2.fillPoly(self.canvas, [np.array(corners, np.int32)], rgb, cv2.LINE_AA)

    def _point(self, row: float, col: float) -> tuple[int, int]:
        angle = np.deg2rad(self.tilt)
        across, down = col * self.half_width, row * self.half_height
        x = self.col + across * np.cos(angle) - down * np.sin(angle)
        y = self.row + across * np.sin(angle) + down * np.cos(angle)
        return round(x), round(y)
