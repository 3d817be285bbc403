"""Where to compute, and in which precision."""

import ctypes
import logging
import platform
from contextlib import AbstractContextManager, nullcontext

import torch

from tvseg.errors import UserError

_log = logging.getLogger(__name__)

NATIVE_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # names of glibc's mallopt(3)


def choose_device(name: str | None = None) -> torch.device:
    """The device of a name, or else the best there is: cuda, mps, cpu.

    Raises:
        ValueError: The named device is not there.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # meta has no data
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"device must be one that torch finds here, got {name!r}: {reason}"
        ) from error
    return device


def choose_precision(precision: str, device: torch.device) -> torch.dtype | None:
    """The autocast type of a precision, ``None`` for plain fp32; warn of one that is slow here.

    Args:
        precision: ``fp32``, ``bf16``, or ``auto`` for bf16 where the device computes it natively.
        device: Where to compute.

    Raises:
        ValueError: An unknown precision.
    """
    types = {"bf16": torch.bfloat16, "fp32": None}
    if precision == "auto":
        precision = "bf16" if _computes_bf16(device) else "fp32"
    elif precision not in types:
        raise UserError(f"precision must be auto, fp32 or bf16, got {precision!r}")
    elif precision == "bf16" and device.type == "cpu" and not _computes_bf16(device):
        _log.warning(
            "precision=bf16: this processor has no instructions for it and takes many times as "
            "long as with fp32, which precision=auto would choose here"
        )
    return types[precision]


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # older torch cannot say
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(able.get(name) for name in NATIVE_BF16)


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    """The context in which networks run: autocast to ``dtype``, or nothing."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed buffers for reuse; does nothing with another C library.

    By default it returns each buffer above 32 MB to the system and faults its pages in again at
    the next use, which takes about a tenth of a training step on a CPU.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def exact_fp32(device: torch.device) -> AbstractContextManager[object]:
    """The context in which convolutions on CUDA are computed in fp32 proper, not in TF32.

    Elsewhere it changes nothing: the flags are the process's, and threads that enter and leave in
    turn would restore each other's.
    """
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
