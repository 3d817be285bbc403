import json
from pathlib import Path

from tvseg.data.prepare.kinds.polygons import read_polygons
from tvseg.data.prepare.raw_files import RawFile
from tvseg.inference.output.folder import OutputFolder
from tvseg.inference.output.progress import BatchRecord


def test_coco_names_photographs_by_their_folders_where_they_have_several(tmp_path: Path) -> None:
    for names in (["1.png", "2.png"], ["OD/1.png", "OS/1.png"]):
        out = OutputFolder(tmp_path / f"out-{names[0][:2]}", formats=["coco"], structures=["disc"])
        for number, name in enumerate(names):  # the second is one pixel higher
            row = {"id": name, "path": str(tmp_path / "in" / name), "flags": ""}
            polygon = {"category_id": 1, "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}
            out.progress.write(
                number,
                BatchRecord([name], [None], [row | {"width_px": 9, "height_px": 9 + number}],
                            annotations=[[polygon]]),
            )  # fmt: skip
        out.write_tables()
        path = out.path / "coco.json"
        images = json.loads(path.read_text())["images"]
        assert [image["file_name"] for image in images] == names
        for number, name in enumerate(names):
            masks = read_polygons(RawFile("coco.json", path), f"photos/{name}", ["disc"])
            assert masks["disc"].shape == (9 + number, 9)
