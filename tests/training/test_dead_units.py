"""Units that carry nothing: found, and given weights towards what is rebuilt badly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from isthmus.config import Config, Model, Training
from isthmus.config.parts.codes import DeterministicCode, TopKCode
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.config.parts.penalties import L1
from isthmus.errors import ParameterError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.sources import ArraySource
from isthmus.training.dead_units import dead_in, revive_dead_units
from isthmus.training.loop import Trainer
from isthmus.training.rows import TensorRows
from isthmus.workflows.fit import prepare

torch.set_num_threads(1)
D, K = 8, 6
CPU = torch.device("cpu")
# Rows are one of six directions each, with a strength of their own.
AXES = torch.linalg.qr(Randomness(0, "axes").normal((D, K))).Q.T
ROWS = AXES[torch.arange(300) % K] * (0.5 + Randomness(0, "strength").uniform((300, 1)))


def made(code=None, hidden: tuple[int, ...] = (), *, tied: bool = False, penalties=()) -> AutoencoderModule:
    model = Model(
        code_size=K,
        network=Dense(hidden, "relu", tied),
        code=code or DeterministicCode("relu"),
        likelihood="squared_error",
        penalties=penalties,
    )
    return build(model, (D,), seed=0)


def kill(module: AutoencoderModule, units: list[int]) -> None:
    with torch.no_grad():
        module.encoder.layers[-1].bias[units] = -100.0


def plan(**params) -> Training:
    chosen = {"epochs": 16, "batch_size": 30, "learning_rate": 1e-2, "threads": 1, "device": "cpu", "seed": 0}
    return Training(**{**chosen, "patience": None, **params})


def test_which_units_are_dead() -> None:
    x = Randomness(0).normal((1000, 1))
    rare = torch.zeros(1000, 1)
    rare[7] = 1e-6
    h = torch.cat([x, x.relu(), torch.zeros(1000, 1), rare, 1 + 1e-3 * x, 0.1 * x], dim=1)
    assert dead_in(h).tolist() == [False, False, True, False, True, False]


@pytest.mark.parametrize(
    ("code", "hidden", "tied"),
    [(None, (), False), (None, (12,), False), (None, (), True), (TopKCode(1), (), False)],
    ids=["linear", "deep", "tied", "top-k"],
)
def test_training_with_revival_leaves_fewer_dead_and_a_lower_error(code, hidden, tied: bool) -> None:
    def trained(dead_units: str) -> tuple[int, float]:
        module = made(code, hidden, tied=tied)
        kill(module, [1, 3, 4])
        Trainer(module, plan(dead_units=dead_units)).fit(TensorRows(ROWS))
        with torch.no_grad():
            error = (module.reconstruct(ROWS) - ROWS).square().sum(dim=1).mean().item()
            return int(dead_in(module.encode(ROWS)).sum()), error

    (left, worse), (revived, better) = trained("left"), trained("revived")
    assert left >= 3
    assert revived < left
    assert better < 0.7 * worse


def test_new_weights_point_to_a_badly_rebuilt_row_and_down_its_loss() -> None:
    module = made()
    with torch.no_grad():
        module.encoder.layers[0].bias.fill_(1.0)
    kill(module, [2])
    with torch.no_grad():
        for parameter in (module.decoder.layers[0].weight, module.decoder.layers[0].bias):
            parameter.zero_()
        module.decoder.layers[0].weight[:, [0, 1, 3, 4, 5]] = 0.01
    rows = torch.cat([0.01 * ROWS[:-1], 3 * AXES[:1]])
    before = {name: value.clone() for name, value in module.state_dict().items()}
    optimiser = torch.optim.AdamW(module.parameters())
    assert revive_dead_units(module, optimiser, TensorRows(rows), Randomness(0), CPU) == 1
    after = module.state_dict()
    direction = rows[-1] - rows.mean(dim=0)
    row, column = after["network.encoder.layers.0.weight"][2], after["network.decoder.layers.0.weight"][:, 2]
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(row, direction, dim=0) > 0.9999
    live = before["network.encoder.layers.0.weight"][[0, 1, 3, 4, 5]].norm(dim=1).mean()
    torch.testing.assert_close(row.norm(), 0.2 * live)
    with torch.no_grad():
        known = module.decode(module.encode(rows[-1:]) * torch.tensor([1.0, 1, 0, 1, 1, 1]))
    assert cosine(column, rows[-1] - known[0], dim=0) > 0.9999
    assert module.encode(rows[-1:])[0, 2] > 0
    torch.testing.assert_close(
        (rows.mean(dim=0) @ row) + after["network.encoder.layers.0.bias"][2], torch.tensor(0.0)
    )
    for name, value in before.items():
        others = torch.ones(K, dtype=torch.bool)
        others[2] = False
        if "encoder" in name:
            assert torch.equal(after[name][others], value[others])
        elif name.endswith("weight"):
            assert torch.equal(after[name][:, others], value[:, others])


def test_the_optimiser_forgets_the_old_weights_alone() -> None:
    module = made()
    with torch.no_grad():
        module.encoder.layers[0].bias.fill_(1.0)  # every unit is active, and learns
    optimiser = torch.optim.AdamW(module.parameters())
    module.objective(ROWS, 0).loss.backward()
    optimiser.step()
    assert (optimiser.state[module.encoder.layers[0].weight]["exp_avg"] != 0).all()
    kill(module, [2])
    revive_dead_units(module, optimiser, TensorRows(ROWS), Randomness(0), CPU)
    state = optimiser.state[module.encoder.layers[0].weight]["exp_avg"]
    assert (state[2] == 0).all()
    assert (state[0] != 0).any()
    assert (optimiser.state[module.decoder.layers[0].weight]["exp_avg_sq"][:, 2] == 0).all()


def test_nothing_dead_changes_nothing() -> None:
    module = made(DeterministicCode("identity"))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert (
        revive_dead_units(
            module, torch.optim.AdamW(module.parameters()), TensorRows(ROWS), Randomness(0), CPU
        )
        == 0
    )
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_more_dead_units_than_rows_and_no_live_ones() -> None:
    module = made()
    kill(module, list(range(K)))
    optimiser = torch.optim.AdamW(module.parameters())
    assert revive_dead_units(module, optimiser, TensorRows(ROWS[:3]), Randomness(0), CPU) == K
    assert all(value.isfinite().all() for value in module.state_dict().values())


def test_it_is_a_function_of_the_seed_and_touches_no_global_chance() -> None:
    def weights() -> list[Tensor]:
        module = made(penalties=L1(0.3))
        kill(module, [0, 1])
        Trainer(module, plan(epochs=6, dead_units="revived")).fit(TensorRows(ROWS))
        return list(module.state_dict().values())

    before = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(weights(), weights(), strict=True))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("params", "what"),
    [({"network": Conv2d((2,))}, "Conv2d"), ({"code": "gaussian"}, "Gaussian, whose unused units")],
)
def test_what_cannot_be_revived_is_refused(params, what: str) -> None:
    model = Model(**{"code_size": 2, "network": Dense((4,)), "likelihood": "squared_error", **params})
    config = Config(model=model, training=Training(dead_units="revived", seed=0))
    source = ArraySource(Randomness(0).normal((20, 6, 6, 1)).numpy(), sample_shape=(6, 6, 1))
    with pytest.raises(ParameterError, match=f"dead_units = 'revived' needs a dense network .*got {what}"):
        prepare(source, config)
