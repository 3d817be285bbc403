"""Predictions of DICOM photographs as DICOM segmentations, which archives show with them."""

import copy
import io
from typing import TYPE_CHECKING, Any

import numpy as np

import tvseg
from tvseg.data.images import MAX_FILE_BYTES
from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.inference.input.find import is_dicom
from tvseg.inference.prediction import Prediction
from tvseg.remote_files import read_file

if TYPE_CHECKING:
    from pydicom import Dataset

VL_PHOTOGRAPHIC = "1.2.840.10008.5.1.4.1.1.77.1.4"

DISC = ("81016008", "SCT", "Optic nerve head")
"""SNOMED CT, as in DICOM's context groups 4209 and 4266."""

PRIVATE = "99TVSEG"
"""Coding scheme of all else: DICOM's context groups and pydicom know no code for the cup."""

TYPES = {"disc": DISC, "cup": ("cup", PRIVATE, "Optic cup")}
"""Code, scheme and meaning of structures."""


def dicom_seg(prediction: Prediction) -> bytes:
    """Return a binary segmentation object with a segment per structure that was found.

    Every segment's anatomic region is the optic nerve head. The object refers to the photograph and
    keeps its study, patient and laterality.

    Raises:
        UserError: The photograph is no DICOM file, lacks what a reference needs, or shows none of
            the structures.
    """
    require("pydicom", "highdicom")
    import pydicom

    path = prediction.photograph.path
    if not is_dicom(path):
        raise UserError("format dicom-seg takes DICOM photographs; choose another of --formats")
    found = {name: mask for name, mask in prediction.masks.items() if mask.any()}
    if not found:
        raise UserError("format dicom-seg has nothing to hold: no structure was found")
    content = io.BytesIO(read_file(path, limit=MAX_FILE_BYTES))
    source = pydicom.dcmread(content, stop_before_pixels=True)
    masks = np.stack(list(found.values()), axis=-1)  # (H, W, S)
    try:
        made = _segmentation(source, masks, list(found))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"its DICOM header cannot be referred to: {reason:.150}") from error
    eye = {"right": "R", "left": "L"}.get(prediction.laterality)
    if eye and not source.get("ImageLaterality"):
        made.ImageLaterality = eye
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _segmentation(source: "Dataset", masks: np.ndarray, names: list[str]) -> "Dataset":
    from highdicom.seg import Segmentation
    from pydicom.uid import generate_uid

    made = Segmentation(
        source_images=[_as_photograph(source)],
        pixel_array=masks[None],
        segmentation_type="BINARY",
        segment_descriptions=[_segment(number, name) for number, name in enumerate(names, start=1)],
        # of the same photograph and masks the same, so that archives see a repetition
        series_instance_uid=generate_uid(
            entropy_srcs=["tvseg", tvseg.__version__, str(source.SeriesInstanceUID)]
        ),
        sop_instance_uid=generate_uid(
            entropy_srcs=["tvseg", str(source.SOPInstanceUID), *names, masks.tobytes().hex()]
        ),
        series_number=int(source.get("SeriesNumber") or 1) + 100,
        instance_number=int(source.get("InstanceNumber") or 1),
        manufacturer="tvseg",
        manufacturer_model_name="tvseg predict",
        software_versions=tvseg.__version__,
        device_serial_number="none",
        content_label="DISC_AND_CUP",
        content_description="Optic disc and cup; research software, not for diagnosis",
    )
    for element in made.iterall():
        if element.keyword == "ReferencedSOPClassUID" and element.value == VL_PHOTOGRAPHIC:
            element.value = source.SOPClassUID
    made.PatientOrientation = source.get("PatientOrientation") or ""
    for key in ("ImageLaterality", "Laterality"):
        if source.get(key):
            setattr(made, key, source[key].value)
    return made


def _as_photograph(source: "Dataset") -> "Dataset":
    """Return a copy that highdicom takes: it refuses ophthalmic photographs, multi-frame by class.

    They have a number of frames but, unlike others with one, no functional groups.
    """
    disguised = copy.deepcopy(source)
    disguised.SOPClassUID = VL_PHOTOGRAPHIC
    if "NumberOfFrames" in disguised:
        del disguised.NumberOfFrames
    for key in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber",
                "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"):  # fmt: skip
        if key not in disguised:
            setattr(disguised, key, "")  # each may be empty in a file, but must be there
    return disguised


def _segment(number: int, name: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    return SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=Code(*TYPES.get(name, (name[:16], PRIVATE, name[:64]))),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name="tvseg", version=tvseg.__version__, family=codes.cid7162.ArtificialIntelligence
        ),
        anatomic_regions=[Code(*DISC)],
    )
