"""Packages that only some commands use, and the extra of tvseg that installs each."""

from importlib.util import find_spec

from tvseg.errors import UserError

EXTRAS = {
    "ignite": "train",
    "tensorboard": "train",
    "mlflow": "tracking",
    "matplotlib": "report",
    "jinja2": "report",
    "pydicom": "dicom",
    "highdicom": "dicom",
    "pytorch_metric_learning": "faces",
    "sklearn": "faces",
    "ray": "ray",
    "submitit": "slurm",
    "pyarrow": "parquet",
    "fsspec": "remote",
    "aiohttp": "remote",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "onnxruntime": "onnx",
}


def require(*modules: str) -> None:
    """Raise UserError unless optional packages are installed.

    Args:
        modules: Names that are imported, keys of `EXTRAS`.
    """
    for module in modules:
        if find_spec(module) is None:
            raise UserError(how_to_install(module))


def how_to_install(module: str) -> str:
    """Return the message that names a missing package and the command that installs it.

    Args:
        module: Name that is imported, a key of `EXTRAS`.
    """
    return f'the package {module} is not installed: run pip install "tvseg[{EXTRAS[module]}]"'
