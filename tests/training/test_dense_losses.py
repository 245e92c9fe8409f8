"""Steps of tables without a graph: loss and gradient are autograd's, of all kinds of columns, with and without gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from isthmus.config import Model, Training
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.corruptions import Masking
from isthmus.config.parts.likelihoods import Mixed
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import Contractive
from isthmus.likelihoods.mixed import SMALLEST_SCALE
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.model.objective import Cost, Objective
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.threads import torch_threads
from isthmus.shapes import Block
from isthmus.training.dense_step import DenseStep
from isthmus.training.loop import Trainer
from isthmus.training.rows import TensorRows

NUMBER, BOOLEAN, THREE, FIVE = (
    Block("number", 1, 0.8), Block("boolean", 1, 0.6), Block("category", 3, 1.05), Block("category", 5, 1.4),
)  # fmt: skip
LAYOUTS = {
    "numbers": (NUMBER,) * 6,
    "booleans": (BOOLEAN,) * 3,
    "blocks alike": (THREE, THREE),
    "blocks": (FIVE, THREE),
    "kinds in order": (NUMBER, NUMBER, BOOLEAN, BOOLEAN, THREE, FIVE),
    "kinds mixed": (THREE, NUMBER, BOOLEAN, FIVE, BOOLEAN, NUMBER, THREE, NUMBER),
    "blocks alike, mixed": (THREE, NUMBER, THREE),
}

Same = Callable[[Cost, Objective], None]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def rows_of(layout: tuple[Block, ...], *, gaps: bool, n: int = 48) -> Tensor:
    """With a gap in each fourth place; the last row of a category is of none that is known."""
    chance, columns = Randomness(3), list[Tensor]()
    for place, block in enumerate(layout):
        some = chance.at(place)
        if block.kind == "number":
            column = some.normal((n, 1))
        elif block.kind == "boolean":
            column = (some.uniform((n, 1)) < 0.4).float()
        else:
            column = torch.eye(block.size)[(some.uniform((n,)) * block.size).long()]
            column[-1] = 0
        if gaps:
            column[some.at("gaps").uniform((n,)) < 0.25] = torch.nan
        columns.append(column)
    return torch.cat(columns, dim=1)


def made(layout: tuple[Block, ...], *, gaps: bool = False, **params: Any) -> AutoencoderModule:
    chosen = {"code_size": 3, "network": Dense((9,), "silu"), "likelihood": Mixed("squared_error"), **params}
    width = sum(block.size for block in layout)
    return build(Model(**chosen), (width,), seed=1, layout=layout, gaps=gaps)


def adamw(module: AutoencoderModule) -> torch.optim.AdamW:
    return torch.optim.AdamW(module.parameters(), lr=0.01, weight_decay=0.1, fused=True)


@pytest.mark.parametrize("most_rows", [None, 48], ids=["by rows", "by units"])
@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
@pytest.mark.parametrize("numbers", ["squared_error", "gaussian"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"likelihood": False},
        {"code": GaussianCode(0.3), "corruption": Masking(0.4), "network": Dense((9, 5), "tanh")},
        {
            "code": DeterministicCode(noise=0.5),
            "corruption": Masking(0.4, emphasis=0.9),
            "network": Dense((9,), "tanh"),
        },
    ],
    ids=["balanced", "as they are", "drawn and hidden", "noisy, hidden, emphasised"],
)
def test_the_gradient_is_that_of_autograd(
    same_terms: Same, params: dict[str, Any], layout: str, numbers: Any, gaps: bool, most_rows: int | None
) -> None:
    blocks, x = LAYOUTS[layout], rows_of(LAYOUTS[layout], gaps=gaps)
    params = {**params, "likelihood": Mixed(numbers, balanced=params.get("likelihood", True))}
    module, twin = (made(blocks, gaps=gaps, **params) for _ in range(2))
    for each in (module, twin):
        scales = dict(each.named_parameters()).get("likelihood.log_scale")
        if scales is not None:
            with torch.no_grad():  # the first is below the least
                scales.copy_(torch.linspace(2 * torch.tensor(SMALLEST_SCALE).log(), 0.3, len(scales)))
    optimiser, other = adamw(module), adamw(twin)
    assert DenseStep.fits(module, optimiser)
    steps = DenseStep(module, optimiser, most_rows)
    for step, (n, progress) in enumerate(((48, 0.0), (37, 0.4), (1, 1.0), (48, 0.9))):
        module.load_state_dict(twin.state_dict())
        found = steps.differentiate(x[-n:], progress, step)
        other.zero_grad()
        expected = twin.objective(x[-n:], step, progress=progress)
        expected.loss.backward()
        same_terms(found, expected)
        for (name, parameter), beside in zip(module.named_parameters(), twin.parameters(), strict=True):
            if not beside.numel():  # scales of no numbers
                continue
            assert beside.grad is not None
            largest = float(beside.grad.abs().max())
            torch.testing.assert_close(
                parameter.grad, beside.grad, rtol=1e-4, atol=2e-6 * (1 + largest), msg=name
            )
        steps.update()
        other.step()
    steps.release()
    for (name, parameter), beside in zip(module.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, beside, rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.parametrize("numbers", ["squared_error", "gaussian"])
def test_a_training_ends_where_one_with_autograd_does(numbers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Training(
        epochs=5, batch_size=10, learning_rate=0.02, weight_decay=0.1, patience=None, seed=2, device="cpu", threads=1,
        validation_share=0.0,
    )  # fmt: skip
    blocks = LAYOUTS["kinds mixed"]
    x = rows_of(blocks, gaps=True)
    rows, some = TensorRows(x), TensorRows(x[:9])
    module, twin = (made(blocks, gaps=True, likelihood=Mixed(numbers)) for _ in range(2))
    made_of, fits = list[bool](), DenseStep.fits
    monkeypatch.setattr(DenseStep, "fits", lambda *given: made_of.append(fits(*given)) or made_of[-1])
    history = Trainer(module, plan).fit(rows, some)
    assert made_of == [True]
    monkeypatch.setattr(DenseStep, "fits", lambda *_: False)
    beside = Trainer(twin, plan).fit(rows, some)
    for ours, theirs in zip(history.epochs, beside.epochs, strict=True):
        assert ours.training["loss"] == pytest.approx(theirs.training["loss"], rel=1e-5)
    for parameter, other in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-4, atol=1e-5)


def test_penalties_of_rows_with_gaps_are_left_to_autograd() -> None:
    sigmoid = {"network": Dense(()), "code": DeterministicCode("sigmoid"), "penalties": (Contractive(0.1),)}
    for gaps in (False, True):
        module = made(LAYOUTS["kinds mixed"], gaps=gaps, **sigmoid)
        assert DenseStep.fits(module, adamw(module)) == (not gaps)
