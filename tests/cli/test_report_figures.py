"""``report --json`` of a Gaussian code: evidence, its code against the prior, collapse in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


def fitted(isthmus: Command, data: str, *settings: str) -> None:
    chosen = [word for setting in settings for word in ("--set", setting)]
    quick = ("--epochs", "2", "--seed", "0", "--code-size", "3", "--set", "model.network.hidden_sizes=[8]")
    done = isthmus("fit", data, "-o", "v.safetensors", "--kind", "variational", *quick, *chosen)
    assert done.status == 0, done.err


def test_the_figures_of_a_density(place: Path, isthmus: Command) -> None:
    fitted(isthmus, "pictures.npy", "model.likelihood={type='bernoulli',sampled=true}")
    done = isthmus("report", "v.safetensors", "pictures.npy", "-o", "page.html", "--samples", "60", "--json")
    assert done.status == 0, done.err
    found = done.json
    evidence = found["evidence"]
    assert (evidence["rows"], evidence["samples"], list(evidence["iwae_nats"])) == (40, 60, ["5", "50"])
    bounds = [evidence["elbo_nats"], *evidence["iwae_nats"].values(), evidence["log_likelihood_nats"]]
    assert bounds == sorted(bounds)
    assert bounds[0] == pytest.approx(found["elbo_nats"], abs=1.5)
    assert len(found["rates_nats"]) == 3
    assert sum(found["rates_nats"]) == pytest.approx(found["rate_nats"], rel=1e-4)
    assert set(found["aggregate"]) == {"ks_largest", "ks_median", "ks_critical"}
    page = Path("page.html").read_text("utf-8")
    for words in ("New examples", "Between two", "Log-likelihood of x", "60 draws of the code on 40 rows"):
        assert words in page
    again = isthmus("report", "v.safetensors", "pictures.npy", "-o", "again.html", "--samples", "60")
    assert again.status == 0
    assert Path("again.html").read_text("utf-8") == page


def test_collapse_is_told_with_what_to_do(place: Path, isthmus: Command) -> None:
    fitted(isthmus, "table.npy", "model.code.beta=1000.0")
    found = isthmus("report", "v.safetensors", "table.npy", "-o", "page.html", "--json").json
    assert "evidence" not in found
    assert "carry nothing" in found["collapse"]
    assert "free_bits" in found["collapse"]
    assert "Posterior collapse" in Path("page.html").read_text("utf-8")


@pytest.mark.parametrize(("samples", "status"), [("0", 2), ("1", 0)])
def test_how_many_draws(place: Path, isthmus: Command, samples: str, status: int) -> None:
    fitted(isthmus, "table.npy", "model.likelihood=gaussian")
    done = isthmus("report", "v.safetensors", "table.npy", "-o", "page.html", "--samples", samples)
    assert done.status == status, done.err
    assert Path("page.html").exists() == (status == 0)


def test_another_code_has_none_of_it(place: Path, isthmus: Command) -> None:
    found = isthmus("report", "model.safetensors", "labelled.npz", "-o", "page.html", "--json").json
    assert not {"evidence", "aggregate", "collapse", "rates_nats"} & set(found)
    assert "New examples" not in Path("page.html").read_text("utf-8")
