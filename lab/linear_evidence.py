"""A linear variational autoencoder is probabilistic PCA: its evidence is known to the last digit."""

from __future__ import annotations

import math

import numpy as np
import torch
from harness import ACCENT, INK, Experiment, Finding, Lab, Outcome, start, train
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus.model.autoencoder import AutoencoderModule

EXPERIMENT = Experiment(
    name="linear_evidence",
    title="Variational, linear: the evidence of probabilistic PCA",
    claim="Variational: code mean and variance. A linear one with a learned output scale has probabilistic PCA's "
    "evidence (Tipping and Bishop 1999; Lucas et al. 2019).",
    minutes=4,
)
KNOWN = {4: (7.4039, 5.5850), 8: (14.6994, 12.9926), 16: (24.5397, 22.1895)}
"""Log likelihood in nats an image of scikit-learn's digits / 16, training and test rows of the 0.35 split."""


def evidence_bound(module: AutoencoderModule, x: np.ndarray) -> float:
    """Mean evidence bound of rows in nats, its expectation over h taken exactly: the decoder is linear."""
    rows = torch.from_numpy(x).double()
    module = module.double()
    with torch.no_grad():
        mean, scale = module.code_distribution(rows)
        weight, log_noise = module.decoder.layers[0].weight, module.likelihood.log_scale
        rate = module.code.rate_per_unit(module.encoder(rows)[0]).sum(dim=1)
        error = (rows - module.decoder(mean)).square().sum(dim=1) + scale.square() @ weight.square().sum(
            dim=0
        )
        constant = rows.shape[1] * (log_noise + math.log(2 * math.pi) / 2)
        return float((-error / (2 * torch.exp(2 * log_noise)) - constant - rate).mean())


def fitted(lab: Lab, k: int) -> list[float]:
    """The bound on training and test rows; nothing in the training knows of PCA."""
    x = (load_digits().data / 16).astype(np.float32)
    parts = train_test_split(x, test_size=0.35, random_state=0)
    inference = train(
        parts[0],
        {
            "code_size": k,
            "network": {"type": "dense", "hidden_sizes": []},
            "code": "gaussian",
            "likelihood": {"type": "gaussian", "scale": "learned"},
        },
        {"epochs": lab.pick(8000, 20), "batch_size": len(parts[0]), "learning_rate": 0.03, "threads": 1},
    )
    return [evidence_bound(inference.module, part) for part in parts]


def run(lab: Lab) -> Outcome:
    sizes = lab.pick((4, 8, 16), (8,))
    found = {k: lab.once(f"code {k}", lambda k=k: fitted(lab, k)) for k in sizes}
    findings = [
        Finding(
            f"evidence bound, code {k}, {rows} rows (nats)",
            f"{ours:.4f}",
            f"closed form {known:.4f}",
            "+- 0.02",
            None if lab.quick else math.isclose(ours, known, abs_tol=0.02),
        )
        for k in sizes
        for rows, ours, known in zip(("training", "test"), found[k], KNOWN[k], strict=True)
    ]
    figure, axis = plt.subplots(figsize=(5, 3.2))
    for index, rows in enumerate(("training", "test")):
        known = [KNOWN[k][index] for k in sizes]
        axis.plot(sizes, known, color=INK, lw=1, ls=("-", "--")[index], label=f"closed form, {rows}")
        axis.plot(
            sizes, [found[k][index] for k in sizes], "o^"[index], color=ACCENT, label=f"trained, {rows}"
        )
    axis.set(xlabel="units of the code", ylabel="evidence (nats an image)", xticks=sizes)
    axis.legend(frameon=False)
    lab.figure(figure)
    return Outcome(findings, "Gradient descent on sampled codes finds what linear algebra knows.")


if __name__ == "__main__":
    start(EXPERIMENT, run)
