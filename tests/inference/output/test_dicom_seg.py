"""DICOM segmentations of DICOM photographs."""

import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.inference.drawn import draw_field, make_pipeline
from tvseg.errors import UserError
from tvseg.inference.load import Model
from tvseg.inference.output.formats.dicom_seg import dicom_seg
from tvseg.inference.prediction import Prediction

highdicom = pytest.importorskip("highdicom")

OPHTHALMIC_8_BIT = "1.2.840.10008.5.1.4.1.1.77.1.5.1"


def photograph(path: Path, samples: np.ndarray, **tags: Any) -> Dataset:
    content = Dataset()
    content.file_meta = FileMetaDataset()
    content.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content.SOPClassUID = content.file_meta.MediaStorageSOPClassUID = OPHTHALMIC_8_BIT
    content.SOPInstanceUID = content.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    content.StudyInstanceUID = generate_uid()
    content.SeriesInstanceUID = generate_uid()
    content.Modality, content.PatientID, content.NumberOfFrames = "OP", "17", 1
    content.Rows, content.Columns = samples.shape[:2]
    content.SamplesPerPixel, content.PhotometricInterpretation = 3, "RGB"
    content.PlanarConfiguration = content.PixelRepresentation = 0
    content.BitsAllocated = content.BitsStored = 8
    content.HighBit = 7
    content.PixelData = samples.tobytes()
    for name, value in tags.items():
        setattr(content, name, value)
    content.save_as(path, enforce_file_format=True)
    return content


def predict(path: Path, **tags: Any) -> tuple[Dataset, Prediction]:
    field = draw_field(120, 60, 50, 20)[:101]  # not square
    return photograph(path, field, **tags), Model(make_pipeline())(path)


def test_a_segmentation_reads_back_and_refers_to_the_photograph(tmp_path: Path) -> None:
    source, found = predict(tmp_path / "a.dcm", ImageLaterality="L")
    content = dicom_seg(found)
    made = highdicom.seg.segread(io.BytesIO(content))
    masks = made.get_pixels_by_source_instance([source.SOPInstanceUID], combine_segments=False)
    names = [made.get_segment_description(number).segment_label for number in (1, 2)]
    assert names == ["cup", "disc"]
    for index, name in enumerate(names):
        assert found.masks[name].any()
        assert (masks[0, ..., index] == found.masks[name]).all()
    classes = {
        element.value for element in made.iterall() if element.keyword == "ReferencedSOPClassUID"
    }
    assert classes == {OPHTHALMIC_8_BIT}
    assert (made.PatientID, made.StudyInstanceUID) == ("17", source.StudyInstanceUID)
    assert made.ImageLaterality == "L"
    disc = made.get_segment_description(2)
    assert disc.segmented_property_type == highdicom.sr.CodedConcept(
        "81016008", "SCT", "Optic nerve head"
    )
    assert dcmread(io.BytesIO(dicom_seg(found))).SOPInstanceUID == made.SOPInstanceUID


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs Debian's dicom3tools")
@pytest.mark.parametrize("tags", [{"ImageLaterality": "R", "PatientOrientation": ["L", "F"]}, {}])
def test_dciodvfy_reports_no_error(tags: dict[str, Any], tmp_path: Path) -> None:
    _, found = predict(tmp_path / "a.dcm", **tags)
    (tmp_path / "seg.dcm").write_bytes(dicom_seg(found))
    done = subprocess.run(
        ["dciodvfy", tmp_path / "seg.dcm"], capture_output=True, text=True, check=False
    )
    assert "Segmentation\n" in done.stderr
    assert "Error" not in done.stderr


def test_the_eye_of_a_list_is_kept(tmp_path: Path) -> None:
    _, found = predict(tmp_path / "a.dcm")
    assert "ImageLaterality" not in dcmread(io.BytesIO(dicom_seg(found)))
    listed = replace(found, laterality="right")
    assert dcmread(io.BytesIO(dicom_seg(listed))).ImageLaterality == "R"


def test_what_cannot_be_referred_to_is_refused(tmp_path: Path) -> None:
    source, found = predict(tmp_path / "a.dcm")
    del source.SeriesInstanceUID
    source.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(
        UserError, match=r"its DICOM header cannot be referred to: .*SeriesInstance"
    ):
        dicom_seg(found)
    picture = Model(make_pipeline())(draw_field(120, 60, 50, 20))
    with pytest.raises(UserError, match="takes DICOM photographs"):
        dicom_seg(picture)
