"""Weights that several passes of one step share."""

import copy

import pytest
import torch
from torch import Tensor, nn

from tvseg.ops import TVConv2d, WeightGenerator, shared_weights


def network() -> nn.Sequential:
    """Two TVConv layers, one of them at another size than its own; nothing counts images."""
    torch.manual_seed(0)
    built = nn.Sequential(
        TVConv2d(3, (6, 4), hidden_channels=4, bias=True),
        nn.Conv2d(3, 5, 1),
        nn.ReLU(),
        TVConv2d(5, (4, 4), hidden_channels=4, resize="bilinear"),
    )
    for layer in built:
        if isinstance(layer, TVConv2d):
            nn.init.normal_(layer.affinity)
    return built


IMAGES = torch.randn(12, 3, 6, 4, generator=torch.Generator().manual_seed(1))


def backward(built: nn.Module, parts: int, dtype: torch.dtype | None = None) -> list[Tensor]:
    """Gradients of a step in parts."""
    for part in range(parts):
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            loss = built(IMAGES[part::parts]).float().square().mean()
        (loss / parts).backward()
    return [parameter.grad for parameter in built.parameters()]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[WeightGenerator]:
    """Generators in the order in which they run."""
    ran: list[WeightGenerator] = []
    generate = WeightGenerator._generate

    def counted(self: WeightGenerator, affinity: Tensor) -> Tensor:
        ran.append(self)
        return generate(self, affinity)

    monkeypatch.setattr(WeightGenerator, "_generate", counted)
    return ran


@pytest.mark.parametrize("parts", [1, 3])
def test_gradients_are_those_of_the_whole_step(parts: int, runs: list[WeightGenerator]) -> None:
    wanted = backward(network(), 1)
    built = network()
    runs.clear()
    with shared_weights(built):
        backward(built, parts)
        assert all(p.grad is None for p in built[0].generator.parameters())
    assert runs == [built[0].generator, built[3].generator]
    for parameter, gradient in zip(built.parameters(), wanted, strict=True):
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(parameter.grad, gradient)


def test_one_part_has_the_bits_of_a_plain_step() -> None:
    for dtype in (None, torch.bfloat16):
        wanted, built = backward(network()[:3], 1, dtype), network()[:3]
        with shared_weights(built):
            backward(built, 1, dtype)
        for parameter, gradient in zip(built.parameters(), wanted, strict=True):
            assert torch.equal(parameter.grad, gradient)


def test_gradients_of_bfloat16_weights_are_added_up_in_float32() -> None:
    built = network()
    with shared_weights(built):
        backward(built, 3, torch.bfloat16)
        generated, leaf = built[0].generator._shared
        assert (generated.dtype, leaf.dtype) == (torch.bfloat16, torch.float32)
        assert leaf.grad.dtype == torch.float32
    wanted = backward(network(), 1)
    for parameter, gradient in zip(built.parameters(), wanted, strict=True):
        assert (parameter.grad - gradient).norm() < 0.1 * gradient.norm()


def test_weights_are_fresh_in_every_step(runs: list[WeightGenerator]) -> None:
    built = network()
    optimizer = torch.optim.SGD(built.parameters(), lr=0.1)
    outputs = []
    for _ in range(2):
        with shared_weights(built):
            outputs.append(built(IMAGES).detach())
            backward(built, 2)
        optimizer.step()
        torch.testing.assert_close(built(IMAGES), copy.deepcopy(built)(IMAGES))
    assert not torch.allclose(*outputs)


def test_passes_without_gradients_do_not_share() -> None:
    built = network()
    with shared_weights(built):
        with torch.no_grad():
            before = built(IMAGES)
        assert built[0].generator._shared is None
        backward(built, 2)
    torch.testing.assert_close(built(IMAGES), before)


def test_an_error_ends_the_sharing_and_sends_nothing() -> None:
    built = network()

    def step() -> None:
        with shared_weights(built):
            backward(built, 2)
            built(IMAGES[0])

    with pytest.raises(ValueError, match="four axes"):
        step()
    assert all(parameter.grad is None for parameter in built[0].generator.parameters())
    assert built[0].generator._shared is None
    with shared_weights(built):  # can be entered again
        backward(built, 1)


def test_a_network_is_shared_once_at_a_time() -> None:
    built = network()
    twice = pytest.raises(ValueError, match="must not be entered twice")
    with shared_weights(built), twice, shared_weights(built):
        pass


def test_sharing_that_could_not_begin_leaves_nothing_shared() -> None:
    built = network()
    twice = pytest.raises(ValueError, match="must not be entered twice")
    with shared_weights(built[3]):
        with twice, shared_weights(built):
            pass
        assert [built[number].generator._sharing for number in (0, 3)] == [False, True]
    with shared_weights(built):
        backward(built, 1)


def test_layers_that_are_not_trained_are_left_alone() -> None:
    built, wanted = network(), network()
    for one in (built, wanted):
        one[0].requires_grad_(False)
    backward(wanted, 1)
    with shared_weights(built):
        backward(built, 2)
    assert all(parameter.grad is None for parameter in built[0].parameters())
    for one, other in zip(built[1:].parameters(), wanted[1:].parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_networks_without_generators_and_passes_without_backward_are_left_alone() -> None:
    with shared_weights(nn.Conv2d(1, 1, 1)):
        pass
    built = network()
    with shared_weights(built):
        built(IMAGES)
    assert all(parameter.grad is None for parameter in built.parameters())
