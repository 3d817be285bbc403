import pytest
import torch

from tvseg.device import choose_precision
from tvseg.errors import UserError

CPU = torch.device("cpu")


def able(patch: pytest.MonkeyPatch, *instructions: str) -> None:
    patch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(instructions, True))


def test_bf16_is_chosen_where_the_processor_computes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    able(monkeypatch, "avx2", "avx512_bf16")
    assert choose_precision("auto", CPU) == torch.bfloat16
    able(monkeypatch, "avx2")
    assert choose_precision("auto", CPU) is None
    able(monkeypatch, "avx512_bf16")
    assert choose_precision("fp32", CPU) is None


def test_bf16_without_instructions_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    able(monkeypatch, "avx512_bf16")
    assert choose_precision("bf16", CPU) == torch.bfloat16
    assert not caplog.records
    able(monkeypatch, "avx2")
    assert choose_precision("bf16", CPU) == torch.bfloat16
    assert "precision=bf16: this processor has no instructions for it" in caplog.text


def test_an_unknown_precision_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="precision must be auto, fp32 or bf16, got 'fp16'"):
        choose_precision("fp16", CPU)
