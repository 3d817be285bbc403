"""Archives in miniature: the owners' folders, names and encodings, phantoms for photographs."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import binary_dilation

from tvseg.data.phantoms.draw import Phantom, draw_field, draw_roi
from tvseg.data.phantoms.style import STYLES

WIDTH_PX = 160
FRAME_PX = 64


def fields(style: str, count: int) -> list[Phantom]:
    """Full photographs, 136 x 160 px; the disc is about 20 px wide."""
    rngs = [np.random.default_rng([7, ord(style), index]) for index in range(count)]
    return [draw_field(STYLES[style], rng, side_px=WIDTH_PX) for rng in rngs]


def rois(style: str, count: int) -> list[Phantom]:
    """Regions about the disc, 64 px."""
    rngs = [np.random.default_rng([8, ord(style), index]) for index in range(count)]
    return [draw_roi(STYLES[style], rng, side_px=FRAME_PX) for rng in rngs]


def save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def zip_up(folder: Path, archive: Path) -> Path:
    """A zip archive of a folder, the folder's own name in front."""
    made = shutil.make_archive(str(archive.with_suffix("")), "zip", folder.parent, folder.name)
    return Path(made)


def labels(phantom: Phantom, cup: int, rim: int, background: int) -> np.ndarray:
    drawn = np.where(phantom.cup, cup, np.where(phantom.disc, rim, background))
    return drawn.astype(np.uint8)


def votes(mask: np.ndarray) -> np.ndarray:
    """A soft map: four experts mark the structure, three a pixel more, and so on."""
    wider = [mask, *(binary_dilation(mask, iterations=count) for count in (1, 2, 3))]
    return np.array([0, 64, 128, 191, 255], np.uint8)[np.sum(wider, axis=0)]


def drishti_gs(folder: Path, phantoms: Sequence[Phantom]) -> Path:
    """The last photograph is the test set."""
    root = folder / "Drishti-GS1_files"
    for index, phantom in enumerate(phantoms, start=1):
        name = f"drishtiGS_{index:03d}"
        is_test = index == len(phantoms)
        part = root / ("Test" if is_test else "Training")
        save(phantom.image, part / "Images" / f"{name}.png")
        maps = part / ("Test_GT" if is_test else "GT") / name / "SoftMap"
        save(votes(phantom.disc), maps / f"{name}_ODsegSoftmap.png")
        save(votes(phantom.cup), maps / f"{name}_cupsegSoftmap.png")
        (maps.parent / f"{name}_cdrValues.txt").write_text("0.5")
    return root


def rim_one_r3(folder: Path, phantoms: Sequence[Phantom]) -> Path:
    """Stereo pairs: the second view is the first one mirrored; only the first is drawn on."""
    root = folder / "RIM-ONE r3"
    for index, phantom in enumerate(phantoms, start=1):
        letter, kind = ("N", "Healthy") if index % 2 else ("G", "Glaucoma and suspects")
        name = f"{letter}-{index}-{'R' if index % 2 else 'L'}"
        both = np.concatenate([phantom.image, phantom.image[:, ::-1]], axis=1)
        save(both, root / kind / "Stereo Images" / f"{name}.jpg")
        for structure, mask in (("Cup", phantom.cup), ("Disc", phantom.disc)):
            drawn = np.pad(mask, [(0, 0), (0, mask.shape[1])]).astype(np.uint8) * 255
            wider = binary_dilation(drawn).astype(np.uint8) * 255
            save(drawn, root / kind / "Average_masks" / f"{name}-{structure}-Avg.png")
            for expert in (1, 2):
                path = root / kind / f"Expert{expert}_masks"
                save(wider, path / f"{name}-1-{structure}-exp{expert}.png")
                (path / f"{name}-1-{structure}-exp{expert}.txt").write_text("1 1")
    return root


def rim_one_dl(folder: Path, phantoms: Sequence[Phantom]) -> Path:
    """Regions in both partitions; the last one is in the random partition's test set."""
    root = folder / "RIM-ONE_DL"
    for index, phantom in enumerate(phantoms, start=1):
        kind, letter = ("normal", "N") if index % 2 else ("glaucoma", "G")
        name = f"r3_{letter}-{index}-L_left_half" if index > 1 else "r1_Im001"
        split = "test_set" if index == len(phantoms) else "training_set"
        images = root / "RIM-ONE_DL_images"
        save(phantom.image, images / "partitioned_randomly" / split / kind / f"{name}.png")
        save(phantom.image, images / "partitioned_by_hospital/training_set" / kind / f"{name}.png")
        drawn = root / "RIM-ONE_DL_reference_segmentations" / kind
        save(phantom.cup.astype(np.uint8) * 255, drawn / f"{name}-1-Cup-T.png")
        save(phantom.disc.astype(np.uint8) * 255, drawn / f"{name}-1-Disc-T.png")
    return root


def refuge(folder: Path, parts: dict[str, Sequence[Phantom]]) -> Path:
    """All six archives in a folder, as they are downloaded; parts train, val and test."""
    folders = {
        "train": ("Training400/{}", "Annotation-Training400/Disc_Cup_Masks/{}"),
        "val": ("REFUGE-Validation400", "REFUGE-Validation400-GT/Disc_Cup_Masks"),
        "test": ("Test400", "REFUGE-Test-GT/Disc_Cup_Masks/{}"),
    }
    kinds = {"train": ("Glaucoma", "Non-Glaucoma"), "val": ("", ""), "test": ("G", "N")}
    letters = {"train": "gn", "val": "VV", "test": "TT"}
    work, root = folder / "work", folder / "REFUGE2"
    root.mkdir(parents=True)
    for part, phantoms in parts.items():
        photographs, masks = folders[part]
        for index, phantom in enumerate(phantoms):
            name = f"{letters[part][index % 2]}{index + 1:04d}"
            kind = kinds[part][index % 2]
            save(phantom.image, work / photographs.format(kind) / f"{name}.jpg")
            save(labels(phantom, 0, 128, 255), work / masks.format(kind) / f"{name}.bmp")
        for top in (photographs, masks):
            unpacked = work / Path(top).parts[0]
            prefix = "REFUGE-" if unpacked.name in ("Training400", "Test400") else ""
            zip_up(unpacked, root / f"{prefix}{unpacked.name}.zip")
    return root


def origa(folder: Path, phantoms: Sequence[Phantom]) -> Path:
    """With the owner's list; a folder of cropped copies must be left alone."""
    root = folder / "ORIGA"
    rows = ["Eye,Filename,ExpCDR,Set,Glaucoma"]
    for index, phantom in enumerate(phantoms, start=1):
        name = f"{index:03d}"
        save(phantom.image, root / "Images" / f"{name}.jpg")
        save(phantom.image[:50, :50], root / "Images_Cropped" / f"{name}.jpg")
        drawn = root / "Semi-automatic-annotations" / f"{name}.mat"
        drawn.parent.mkdir(exist_ok=True)
        savemat(drawn, {"mask": labels(phantom, 2, 1, 0)}, do_compression=True)
        rows.append(f"OS,'{name}.jpg',0.6,{'B' if index == len(phantoms) else 'A'},0")
    (root / "OrigaList.csv").write_text("\n".join(rows))
    return root


def origa_650(folder: Path, phantoms: Sequence[Phantom]) -> Path:
    """The other form, without a list."""
    root = folder / "ORIGA"
    for index, phantom in enumerate(phantoms, start=1):
        save(phantom.image, root / "650image" / f"AGLAIA_GT_{index:03d}.jpg")
        (root / "650mask").mkdir(exist_ok=True)
        drawn = {"maskFull": labels(phantom, 2, 1, 0).astype(float)}
        savemat(root / "650mask" / f"AGLAIA_GT_{index:03d}.mat", drawn)
    return root


def dofe(folder: Path, phantoms: Sequence[Phantom]) -> Path:
    """Two domains, masks with three channels; the last of each tests."""
    root = folder / "Fundus"
    for index, phantom in enumerate(phantoms):
        split = "test" if index >= len(phantoms) - 2 else "train"
        part = root / f"Domain{index % 2 + 1}" / split / "ROIs"
        save(phantom.image, part / "image" / f"g{index:04d}.png")
        coloured = np.repeat(labels(phantom, 0, 128, 255)[..., None], 3, axis=-1)
        save(coloured, part / "mask" / f"g{index:04d}.png")
    return root


def corners(mask: np.ndarray) -> list[list[float]]:
    """The outline of a mask as x and y, row by row along its left and its right edge."""
    rows = np.flatnonzero(mask.any(axis=1))
    left = [float(np.flatnonzero(mask[row])[0]) for row in rows]
    right = [float(np.flatnonzero(mask[row])[-1]) + 1 for row in rows]
    down = [point for row, x in zip(rows, right, strict=True) for point in ([x, row], [x, row + 1])]
    up = [point for row, x in zip(rows, left, strict=True) for point in ([x, row], [x, row + 1])]
    return [[float(x), float(y)] for x, y in (*down, *reversed(up))]


def labelme(phantom: Phantom, path: Path, *, cup: str = "Cup", disc: str = "disc") -> None:
    height, width = phantom.disc.shape
    shapes = [
        {"label": label, "points": corners(mask), "shape_type": "polygon"}
        for label, mask in ((cup, phantom.cup), (disc, phantom.disc))
    ]
    tree = {"imageHeight": height, "imageWidth": width, "shapes": shapes}
    path.write_text(json.dumps(tree))


def coco(phantoms: dict[str, Phantom], path: Path) -> None:
    """One file for many photographs, by file name."""
    images, annotations = [], []
    for index, (name, phantom) in enumerate(phantoms.items()):
        height, width = phantom.disc.shape
        images.append({"id": index, "file_name": name, "height": height, "width": width})
        for category, mask in ((4, phantom.cup), (9, phantom.disc)):
            flat = [value for point in corners(mask) for value in point]
            annotations.append({"image_id": index, "category_id": category, "segmentation": [flat]})
    categories = [{"id": 4, "name": "cup"}, {"id": 9, "name": "disc"}]
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )


def chaksu(folder: Path, phantoms: Sequence[Phantom]) -> Path:
    """Two cameras; the test folder of one is misspelt, and its expert's labels are JPEG."""
    root = folder / "Chaksu"
    for index, phantom in enumerate(phantoms):
        part = root / ("Test" if index >= len(phantoms) - 2 else "Train")
        camera = ("Bosch", "Remidio")[index % 2]
        drawn = part / "4.0_OD_CO_Fusion_Images"
        misspelt = "Remedio" if camera == "Remidio" and part.name == "Test" else camera
        picture = part / "1.0_Original_Fundus_Images" / camera / f"Image{index}.JPG"
        save(phantom.image, picture)
        grey = labels(phantom, 255, 127, 0)
        save(grey, drawn / misspelt / "STAPLE" / f"Image{index}.tif")
        save(np.zeros_like(grey), drawn / misspelt / "Mean" / f"Image{index}.tif")
        wider = np.where(binary_dilation(phantom.disc), np.maximum(grey, 127), 0).astype(np.uint8)
        save(wider, drawn / "expert 1" / camera / f"Image{index}.png")
        binary = part / "3.0_Doctors_Annotations_Binary_OD_OC" / "Expert 1" / camera / "Disc"
        save(wider, binary / f"Image{index}.tif")
    return root


def papila(folder: Path, phantoms: Sequence[Phantom]) -> Path:
    """Both eyes of each patient; the second expert draws wider discs; a copy is left alone."""
    root = folder / "PapilaDB-PAPILA"
    for index, phantom in enumerate(phantoms):
        name = f"RET{2 + index // 2:03d}{('OD', 'OS')[index % 2]}"
        save(phantom.image, root / "FundusImages" / f"{name}.jpg")
        contours = root / "ExpertsSegmentations" / "Contours"
        contours.mkdir(parents=True, exist_ok=True)
        wider = binary_dilation(phantom.disc)
        for expert, disc in ((1, phantom.disc), (2, wider)):
            for structure, mask in (("cup", phantom.cup), ("disc", disc)):
                points = np.array(corners(mask)) - 0.5  # skimage counts from pixel centres
                text = "\n".join(f"   {x:.7e}   {y:.7e}" for x, y in points)
                (contours / f"{name}_{structure}_exp{expert}.txt").write_text(text)
        (contours / f"{name}_cup_exp2 2.txt").write_text("a copy")
        save(phantom.image, root / "ExpertsSegmentations" / "ImagesWithContours" / f"{name}.jpg")
    return root


def grape(folder: Path, phantoms: Sequence[Phantom]) -> Path:
    """Regions of two visits of each eye; whole photographs beside them are left alone."""
    root = folder / "GRAPE"
    (root / "json").mkdir(parents=True)
    for index, phantom in enumerate(phantoms):
        name = f"{1 + index // 2}_OS_{1 + index % 2}"
        save(phantom.image, root / "ROI images" / f"{name}.jpg")
        save(np.zeros((90, 90, 3), np.uint8), root / "CFPs" / f"{name}.jpg")
        labelme(phantom, root / "json" / f"{name}.json", cup="OC", disc="OD")
    return root


def hrf_seg(folder: Path, phantoms: Sequence[Phantom]) -> Path:
    """Structures as opaque pixels; the disc's picture leaves the cup out."""
    root = folder / "HRF-Seg+"
    for index, phantom in enumerate(phantoms, start=1):
        name = f"{index:02d}_{('g', 'h', 'dr')[index % 3]}"
        save(phantom.image, root / "Folder_6_Original_Images" / f"{name}.png")
        parts = {"1_Optic_Disc": phantom.disc & ~phantom.cup, "2_Optic_Cup": phantom.cup,
                 "3_Vessels": phantom.disc}  # fmt: skip
        for part, mask in parts.items():
            rgba = np.zeros((*mask.shape, 4), np.uint8)
            rgba[mask] = (128, 64, 128, 255)
            save(rgba, root / f"Folder_{part}" / f"{name}.png")
    return root
