"""Draw docs/outlines.jpg, the README's picture: photographs with their outlines, and the discs.

    python scripts/readme_picture.py PREDICTIONS OUT.jpg ID ID ID

PREDICTIONS is a folder of ``tvseg predict``; of each photograph its overlay is shown, and below it
the region of interest, enlarged, with the vertical cup-to-disc ratio.
"""

import argparse
import csv
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH_PX = 400
GAP_PX = 8


def draw(folder: Path, names: list[str]) -> Image.Image:
    """Return one column per photograph: the overlay, and the region of interest below it."""
    with (folder / "measurements.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    columns = []
    for name in names:
        overlay = Image.open(folder / "overlays" / f"{name}.png").convert("RGB")
        row, col, side = (int(rows[name][key]) for key in ("roi_row", "roi_col", "roi_side"))
        height = round(WIDTH_PX * overlay.height / overlay.width)
        small = overlay.resize((WIDTH_PX, height), Image.Resampling.LANCZOS)
        region = overlay.crop((col, row, col + side, row + side))
        region = region.resize((WIDTH_PX, WIDTH_PX), Image.Resampling.LANCZOS)
        text = f"vCDR {float(rows[name]['vcdr']):.2f}"
        ImageDraw.Draw(region).text((12, 8), text, "white", ImageFont.load_default(26))
        columns.append((small, region))
    top = max(small.height for small, _ in columns)
    width = len(columns) * (WIDTH_PX + GAP_PX) - GAP_PX
    picture = Image.new("RGB", (width, top + GAP_PX + WIDTH_PX), "white")
    for number, (small, region) in enumerate(columns):
        picture.paste(small, (number * (WIDTH_PX + GAP_PX), 0))
        picture.paste(region, (number * (WIDTH_PX + GAP_PX), top + GAP_PX))
    return picture


def main() -> None:
    """Draw the picture from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("predictions", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("ids", nargs="+")
    arguments = parser.parse_args()
    draw(arguments.predictions, arguments.ids).save(arguments.out, quality=88, optimize=True)


if __name__ == "__main__":
    main()
