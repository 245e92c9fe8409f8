"""What a user would take instead, each with the same layers, data, batches and epochs, and a fused optimiser if it may.

A peer that is not installed is left out. Each function gives what makes a training ready, as
:class:`speed.harness.Contestant` asks; the work gives the trained model, a module of plain calls.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import logging
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speed.harness import Work

os.environ["KERAS_BACKEND"] = "torch"
RATE = 1e-3
Ready = Callable[[], Work]


def is_installed(name: str) -> bool:
    return find_spec(name) is not None


class Variational(nn.Module):
    """The plain variational autoencoder, of an encoder to means and log variances and a decoder."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        h = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        return self.decoder(h), mean, log_variance

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x).chunk(2, dim=1)[0])

    @staticmethod
    def loss(outputs: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        """Twice pythae's, whose squared error is halved, summed over rows."""
        found, mean, log_variance = outputs
        rate = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
        return nn.functional.mse_loss(found, x, reduction="sum") + 2 * rate


def pythae(
    encoder: nn.Module,
    decoder: nn.Module,
    x: Tensor,
    batch: int,
    epochs: int,
    folder: Path,
    *,
    variational: bool = False,
) -> Ready:
    """Its ``BaseTrainer``: its ``train()`` is timed, which keeps the best model and writes it."""

    def ready() -> Work:
        trainer = pythae_trainer(encoder, decoder, x, batch, epochs, folder, variational=variational)

        def work() -> Callable[[Tensor], Tensor]:
            silently(trainer.train)
            halves = trainer.model.encoder.layers, trainer.model.decoder.layers
            return Variational(*halves).reconstruct if variational else nn.Sequential(*halves)

        return work

    return ready


def pythae_trainer(
    encoder: nn.Module,
    decoder: nn.Module,
    x: Tensor,
    batch: int,
    epochs: int,
    folder: Path,
    rate: float = RATE,
    *,
    variational: bool = False,
) -> Any:
    """A trainer of copies of two halves."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import AE, VAE, AEConfig, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = copy.deepcopy(encoder)

        def forward(self, x: Tensor) -> Any:
            if not variational:
                return ModelOutput(embedding=self.layers(x))
            mean, log_variance = self.layers(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = copy.deepcopy(decoder)

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.layers(z))

    logging.disable(logging.INFO)
    config = BaseTrainerConfig(
        output_dir=str(folder / "pythae"),
        num_epochs=epochs,
        learning_rate=rate,
        per_device_train_batch_size=batch,
        optimizer_params={"fused": True},
        no_cuda=True,
    )
    with torch.no_grad():
        code_size = encoder(x[:1]).shape[1] // (2 if variational else 1)
    kind, settings = (VAE, VAEConfig) if variational else (AE, AEConfig)
    model = kind(settings(input_dim=tuple(x.shape[1:]), latent_dim=code_size), Encoder(), Decoder())
    return BaseTrainer(model, BaseDataset(x, torch.ones(len(x))), training_config=config)


def at_epoch_end(call: Callable[[], None]) -> Any:
    """What pythae's trainer tells of the end of each epoch."""
    from pythae.trainers.training_callbacks import TrainingCallback

    class AtEnd(TrainingCallback):
        def on_epoch_end(self, training_config: Any, **_: Any) -> None:
            call()

    return AtEnd()


def silently(call: Callable[[], object]) -> None:
    """Without the bar that it draws."""
    with contextlib.redirect_stderr(io.StringIO()):
        call()


def autoencoders(
    encoder: nn.Module, decoder: nn.Module, x: Tensor, batch: int, epochs: int, folder: Path
) -> Ready:
    """Its ``AETrainer``, which validates after each epoch and writes what is best: here on one batch."""
    from autoencoders import AutoencoderConfig, AutoencoderModel
    from autoencoders.data.base import DatasetLoaders, TensorSpec
    from autoencoders.training.trainer import AETrainer, TrainingConfig
    from torch.utils.data import DataLoader

    class Silent:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_, **__: None

    few = DataLoader(x[:batch], batch)
    loaders = DatasetLoaders(DataLoader(x, batch, shuffle=True), few, few)
    arguments = TrainingConfig(str(folder / "autoencoders"), epochs, batch_size=batch, device="cpu")

    def ready() -> Work:
        layers = copy.deepcopy(encoder), copy.deepcopy(decoder)
        model = AutoencoderModel(AutoencoderConfig(), TensorSpec(tuple(x.shape[1:])), *layers)
        fused = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
        trainer = AETrainer(model, arguments, fused, Silent())

        def work() -> nn.Module:
            trainer.fit(loaders)
            return nn.Sequential(*layers)

        return work

    return ready


def keras(widths: Sequence[int], x: Tensor, batch: int, epochs: int) -> Ready:
    """A ``Sequential`` of dense layers, PyTorch behind it, its own Adam."""
    import keras as peer

    rows = x.flatten(1).numpy()
    inner, middle = widths[1:-1], len(widths) // 2 - 1

    def ready() -> Work:
        layers: list[Any] = [peer.Input((widths[0],))]
        for place, width in enumerate(inner):
            layers.append(peer.layers.Dense(width, activation=None if place == middle else "silu"))
        model = peer.Sequential([*layers, peer.layers.Dense(widths[-1])])
        model.compile(peer.optimizers.Adam(RATE), "mse")

        def work() -> Callable[[Tensor], Tensor]:
            model.fit(rows, rows, batch_size=batch, epochs=epochs, verbose=0)
            return lambda x: model(x.flatten(1)).detach().reshape(x.shape)

        return work

    return ready


def mlp_regressor(widths: Sequence[int], x: Tensor, batch: int, epochs: int) -> Ready:
    """scikit-learn's ``MLPRegressor`` of rows onto themselves; all its layers are rectifiers, it knows no others."""
    from sklearn.neural_network import MLPRegressor

    rows = x.flatten(1).numpy()

    def ready() -> Work:
        model = MLPRegressor(
            hidden_layer_sizes=widths[1:-1],
            batch_size=batch,
            learning_rate_init=RATE,
            max_iter=epochs,
            tol=0.0,
            n_iter_no_change=epochs,
        )

        def work() -> Callable[[Tensor], Tensor]:
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it has not converged
                model.fit(rows, rows)
            return lambda x: torch.from_numpy(model.predict(x.flatten(1).numpy())).reshape(x.shape)

        return work

    return ready


def principal_components(size: int, x: Tensor) -> Ready:
    """scikit-learn's ``PCA`` with its own choice of solver."""
    from sklearn.decomposition import PCA

    rows = x.flatten(1).numpy()

    def work() -> Callable[[Tensor], Tensor]:
        model = PCA(size).fit(rows)

        def rebuilt(x: Tensor) -> Tensor:
            found = model.inverse_transform(model.transform(x.flatten(1).numpy()))
            return torch.from_numpy(found.astype(np.float32)).reshape(x.shape)

        return rebuilt

    return lambda: work


def pyod(widths: Sequence[int], x: Tensor, batch: int, epochs: int) -> Ready:
    """Its ``AutoEncoder`` without dropout and normalisation of batches: all of ``fit``, scores of the rows included."""
    peer: Any = importlib.import_module("pyod.models.auto_encoder").AutoEncoder

    class Fused(peer):
        def training_prepare(self) -> None:
            super().training_prepare()
            self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.lr, fused=True)

    rows = x.numpy()

    def ready() -> Work:
        model = Fused(
            epoch_num=epochs,
            batch_size=batch,
            lr=RATE,
            verbose=0,
            hidden_neuron_list=list(widths[1 : len(widths) // 2 + 1]),
            batch_norm=False,
            dropout_rate=0.0,
            preprocessing=False,
        )

        def work() -> nn.Module:
            model.fit(rows)
            return model.model.eval()

        return work

    return ready
