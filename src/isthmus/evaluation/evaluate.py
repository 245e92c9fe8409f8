"""From a model and a source to everything that a report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.artifact import FittedModel
from isthmus.config.catalogue import part_name
from isthmus.config.description import Description
from isthmus.evaluation.advice import COLLAPSE
from isthmus.evaluation.evidence import density_figures
from isthmus.evaluation.metrics import Measured, measure
from isthmus.evaluation.report_data import (
    Codes,
    Denoising,
    Errors,
    Examples,
    Facts,
    Filters,
    Generated,
    ReportData,
    Role,
    SoundExample,
)
from isthmus.evaluation.robustness import Robustness, robustness
from isthmus.evaluation.sound import SoundQuality, original_sounds, spectral_distance
from isthmus.exploration.interpolation import path_between
from isthmus.exploration.priors import StandardNormal, has_density
from isthmus.exploration.sampling import sample
from isthmus.inference import Inference
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Preprocessing, Scaling, TableScaling
from isthmus.preprocessing.table_fit import sizes_of
from isthmus.schema import Schema
from isthmus.sources import Source
from isthmus.sources.spectrogram import sounds_of
from isthmus.sources.subset import Subset

EXAMPLES_A_ROLE = 3
DENOISED_EXAMPLES = 6
MOST_FILTERS = 64
GENERATED, STEPS = 24, 9
LIKELIHOODS = {
    "bernoulli": "Bernoulli (log loss)",
    "squared_error": "squared error",
    "gaussian": "Gaussian (normal density)",
}
ROLES: tuple[Role, Role, Role] = ("best", "typical", "worst")


def report_data(
    model: FittedModel,
    source: Source,
    *,
    title: str,
    rows_are: str = "held-out",
    measured: Measured | None = None,
    figures: Mapping[str, Any] | None = None,
    robust: Robustness | None = None,
) -> ReportData:
    """Measure a model on a source and gather what a report shows.

    Parameters
    ----------
    model
        An opened or fitted model.
    source
        Rows like those it was fitted on; labels, if there are any, colour the code map; a
        conditional model asks for them.
    title
        Heading of the page.
    rows_are
        Which rows these are, in a word: ``"held-out"`` or ``"training"``.
    measured
        What :func:`isthmus.evaluation.metrics.measure` found on them, if it is known already.
    figures
        What :func:`isthmus.evaluation.evidence.density_figures` found, if it is known already.
    robust
        What :func:`isthmus.evaluation.robustness.robustness` found, if it is known already.
    """
    inference = Inference(model)
    measured = measured or measure(inference, source)
    figures = density_figures(inference, source, measured) if figures is None else figures
    robust = robust or robustness(inference, source)
    collapse, told = figures.get("collapse"), any(note.startswith(COLLAPSE) for note in model.notes)
    schema = source.schema
    examples = _examples(inference, source, measured)
    return ReportData(
        title=title,
        facts=_facts(model, len(source), schema, rows_are),
        sample_shape=schema.sample_shape,
        model=_errors(measured.errors, measured.n_values),
        pca=None if measured.pca_errors is None else _errors(measured.pca_errors, measured.n_values),
        mean=None if measured.mean_errors is None else _errors(measured.mean_errors, measured.n_values),
        examples=examples,
        codes=_codes(source, measured),
        filters=_filters(model),
        values_a_row=measured.n_values,
        columns=schema.columns,
        table=schema.table,
        column_scales=_column_scales(model),
        history=[epoch for epoch in model.epochs if "level" not in epoch],
        best_epoch=model.best_epoch or None,
        config=model.config.to_toml(),
        notes=(*model.notes, *([collapse] if collapse and not told else [])),
        generated=_generated(inference, source),
        numbers={
            **_numbers(measured.to_dict(), model),
            **_density_numbers(figures),
            **_robustness_numbers(robust),
            **_sound_numbers(measured.sound),
        },
        denoising=_denoising(inference, source, measured),
        sounds=_sounds(inference, source, examples),
    )


def _facts(model: FittedModel, n_rows: int, schema: Schema, rows_are: str) -> Facts:
    name = part_name(model.config.model.likelihood)
    return Facts(
        kind=model.config.model.kind,
        code_size=model.module.code.size,
        n_parameters=model.n_parameters,
        n_rows=n_rows,
        likelihood=LIKELIHOODS.get(name, name),
        schema=schema.describe(),
        rows_are=rows_are,
    )


def _errors(errors: NDArray[np.float32], n_values: float) -> Errors:
    sse = float(errors.astype(np.float64).mean())
    return Errors(sse, sse / n_values, errors)


def _examples(inference: Inference, source: Source, measured: Measured) -> Examples:
    """The lowest, the middle and the highest errors."""
    order = np.argsort(measured.errors, kind="stable")
    n = min(EXAMPLES_A_ROLE, max(1, len(order) // len(ROLES)))
    middle = (len(order) - n) // 2
    parts = (order[:n], order[middle : middle + n], order[len(order) - n :])
    if len(order) < len(ROLES):
        parts = (order[:1], order[:0], order[1:])
    rows = np.concatenate(parts)
    roles: list[Role] = [role for role, part in zip(ROLES, parts, strict=True) for _ in part]
    some = Subset(source, rows)
    x = inference.model.scaling.to_model(some.read(slice(0, len(rows))))
    baseline = inference.model.baseline
    show = _Display(inference.model, x)
    return Examples(
        rows=rows,
        roles=roles,
        originals=show(x),
        reconstructions=show(inference.reconstruct_model_units(some)),
        errors=measured.errors[rows],
        pca_reconstructions=None if baseline is None else show(baseline.reconstruct(x)),
        pca_errors=None if measured.pca_errors is None else measured.pca_errors[rows],
    )


def _denoising(inference: Inference, source: Source, measured: Measured) -> Denoising | None:
    """Errors over all rows; a few rows from well to badly restored, corrupted anew."""
    found, corruption = measured.denoised, inference.module.corruption
    if found is None or corruption is None:
        return None
    order = np.argsort(found.restored, kind="stable")
    rows = np.unique(order[np.linspace(0, len(order) - 1, min(DENOISED_EXAMPLES, len(order))).astype(int)])
    model, randomness = inference.model, Randomness(inference.module.seed, "evaluation", "examples")
    clean = model.scaling.to_model(Subset(source, rows).read(slice(0, len(rows))))
    with torch.inference_mode():
        told = inference.told(Subset(source, rows))
        shown = told.corrupted(torch.from_numpy(clean), randomness)
        damaged, rebuilt = shown.numpy(), told.reconstruct(shown).numpy()

    def errors(x: NDArray[np.float32]) -> NDArray[np.float64]:
        rest = np.where(np.isnan(clean), 0.0, np.nan_to_num(x.astype(np.float64)) - clean)  # hidden is 0
        return np.square(rest).reshape(len(x), -1).sum(axis=1)

    n, show = measured.n_values, _Display(model, clean)
    return Denoising(
        corruption=_corruption_words(model.config.model.corruption),
        corrupted=_errors(found.corrupted, n),
        restored=_errors(found.restored, n),
        pca=None if found.pca is None else _errors(found.pca, n),
        linear=found.linear,
        rows=rows,
        clean=show(clean),
        damaged=show(damaged),
        rebuilt=show(rebuilt),
        damaged_errors=errors(damaged),
        rebuilt_errors=errors(rebuilt),
    )


def _corruption_words(part: Description) -> str:
    """A corruption and those of its parameters that do something: ``masking (hidden_share 0.25)``."""
    params = part.to_dict().items()
    named = [f"{name} {value}" for name, value in params if value not in ("none", False)]
    return part_name(part).replace("_", " ") + (f" ({', '.join(named)})" if named else "")


class _Display:
    """Model units to what people look at: pictures in [0, 1], vectors and sequences in data units.

    Pictures are stretched by the range that the scaling maps to [0, 1] or, where it leaves them as
    they are, by the range of their type or of the originals shown.
    """

    def __init__(self, model: FittedModel, originals: NDArray[np.float32]) -> None:
        self._scaling = model.scaling
        self._range = self._stretched(originals)

    def __call__(self, x: NDArray[np.float32]) -> NDArray[Any]:
        values = self._scaling.to_data(x, dtype=np.float64)
        if self._range is None:
            return values
        low, high = self._range
        return np.clip((values - low) / ((high - low) or 1.0), 0.0, 1.0)

    def _stretched(self, x: NDArray[np.float32]) -> tuple[float, float] | None:
        """What is black and what is white, in data units; None for what is no picture."""
        schema = self._scaling.schema
        if schema.kind != "pictures" or schema.value_range is not None:
            return None if schema.kind != "pictures" else schema.value_range
        values = self._scaling.to_data(x, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        return (0.0, 1.0) if low >= 0.0 and high <= 1.0 else (low, high)


def _codes(source: Source, measured: Measured) -> Codes:
    values = measured.codes.astype(np.float64)
    rectified = bool((values >= 0).all()) and bool((values == 0).any())
    return Codes(
        values=values,
        mean=values.mean(axis=0),
        variance=values.var(axis=0),
        dead=measured.dead,
        active_shares=(values > 0).mean(axis=0) if rectified else None,
        labels=source.labels,
        rates=None if measured.rates is None else measured.rates.astype(np.float64).mean(axis=0),
    )


def _filters(model: FittedModel) -> Filters | None:
    """First-layer weights in the space of the data, the strongest units of many."""
    found = model.module.encoder.filters()
    if found is None:
        return None
    title, weights = found[0], found[1].numpy()
    strength = np.square(weights.reshape(len(weights), -1)).sum(axis=1)
    kept = np.sort(np.argsort(-strength, kind="stable")[:MOST_FILTERS])
    if weights.ndim == 2:
        weights = weights.reshape(-1, *model.module.sample_shape)
    if len(kept) < len(weights):
        title += f", the {len(kept)} strongest of {len(weights)}"
    shown = weights[kept]
    return Filters(
        title, np.moveaxis(shown, 1, -1) if shown.ndim == 4 else shown, _value_names(model.scaling)
    )


def _value_names(scaling: Preprocessing) -> Sequence[str] | None:
    """What each value of a row in model units is called: a column, or one of a category's words."""
    schema = scaling.schema
    if schema.table is None:
        return schema.columns
    return [
        name
        for column, size in zip(schema.table, sizes_of(schema.table), strict=True)
        for name in (
            [column.name] if size == 1 else [f"{column.name}: {word}" for word in column.categories or ()]
        )
    ]


def _column_scales(model: FittedModel) -> NDArray[np.float64] | None:
    """Standard deviation of each column in data units; None unless the scaling knows it."""
    scaling = model.scaling
    if scaling.schema.kind != "vectors" or scaling.method != "standardise":
        return None
    if isinstance(scaling, TableScaling):
        return scaling.maps.scale
    if not isinstance(scaling, Scaling):
        return None
    return np.broadcast_to(scaling.scale, (scaling.schema.n_values,)).astype(np.float64)


def _numbers(metrics: Mapping[str, Any], model: FittedModel) -> dict[str, tuple[float, str]]:
    unit = model.module.likelihood.unit
    numbers: dict[str, tuple[float, str]] = {"Loss an example, L(x, g(h))": (metrics["loss"], unit)}
    if "error_with_context" in metrics:
        name = (
            "Squared error with what the encoder gives beside the code (switches): no code reaches it, and "
        )
        numbers[f"{name}PCA is no measure of it"] = (metrics["error_with_context"]["sse"], "squared error")
    if "rate_nats" in metrics:
        numbers["Rate of the code, KL(q(h given x) to p(h))"] = (metrics["rate_nats"], "nats")
    if "elbo_nats" in metrics:
        # Only the Gaussian is certainly a density of what it is given: Bernoulli's is one of zeros and ones.
        is_density = part_name(model.config.model.likelihood) == "gaussian"
        name = "Evidence lower bound of x in model units" if is_density else "Minus loss minus rate"
        numbers[f"{name}, one draw of the code"] = (metrics["elbo_nats"], "nats")
    return numbers


def _density_numbers(figures: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    """Log-likelihood and the distance of the codes to their prior, where a model has them."""
    numbers: dict[str, tuple[float, str]] = {}
    known = figures.get("evidence")
    if known is not None:
        how = f"{known['samples']} draws of the code on {known['rows']:,} rows"
        numbers[f"Log-likelihood of x in model units, {how}"] = (known["log_likelihood_nats"], "nats")
    together = figures.get("aggregate", {})
    if together.get("ks_largest") is not None:
        name = "Distance of the codes to N(0, 1), largest of the active units"
        numbers[f"{name}, 5 % of normal ones have more than {together['ks_critical']:.3f}"] = (
            together["ks_largest"],
            "(Kolmogorov-Smirnov)",
        )
    return numbers


def _robustness_numbers(robust: Robustness) -> dict[str, tuple[float, str]]:
    """What a small change of a row does to its code and to its reconstruction."""
    rows = "of one row" if robust.n_rows == 1 else f"mean over {robust.n_rows:,} rows"
    return {
        f"Squared Jacobian of the code, |dh/dx|^2, {rows}": (robust.code, "per squared model unit"),
        f"Squared Jacobian of the reconstruction, |dg(f(x))/dx|^2, {rows}": (robust.reconstruction, ""),
    }


def _sound_numbers(found: SoundQuality | None) -> dict[str, tuple[float, str]]:
    """How near the rebuilt sound is to the original."""
    if found is None:
        return {}
    named = {
        "Multi-resolution spectral distance of the sound": found.spectral_distance,
        "The same, PCA's": found.pca_spectral_distance,
        "The same, of the original's loudness with new phases": found.phase_spectral_distance,
    }
    numbers = {
        f"{name}, mean over {found.rows} rows": (value, "")
        for name, value in named.items()
        if value is not None
    }
    for name, value in (("the samples", found.snr_db), ("PCA's samples", found.pca_snr_db)):
        if value is not None:
            numbers[f"Signal to noise of {name}, over {found.rows} rows"] = (value, "dB")
    return numbers


def _sounds(inference: Inference, source: Source, examples: Examples) -> list[SoundExample]:
    """One row of each role as sound, mixed to mono."""
    audio = inference.model.scaling.schema.audio
    if audio is None:
        return []
    found: list[SoundExample] = []
    roles = list(examples.roles)
    for role in dict.fromkeys(roles):
        at = roles.index(role)
        row = int(examples.rows[at])
        several = {"original": original_sounds(Subset(source, np.array([row])), audio)}
        for key, shown in (("model", examples.reconstructions), ("pca", examples.pca_reconstructions)):
            if shown is not None:
                several[key] = sounds_of(shown[at : at + 1], audio)
        mono = {key: sound[0].mean(axis=1) for key, sound in several.items()}
        distances = {
            key: float(spectral_distance(mono["original"], sound))
            for key, sound in mono.items()
            if key != "original"
        }
        found.append(SoundExample(row, role, audio.rate, mono, distances))
    return found


def _generated(inference: Inference, source: Source) -> Generated | None:
    """New pictures and paths between rows, of a model whose code has a prior."""
    shape = source.schema.sample_shape
    if len(shape) != 3 or len(source) < 2 or not has_density(inference.module):
        return None
    prior = StandardNormal(inference.code_size)
    classes = inference.model.classes
    wanted = None if classes is None else np.sort(np.resize(classes, GENERATED))
    samples = sample(inference, GENERATED, prior, seed=inference.module.seed, labels=wanted)
    n = len(source)
    ends = [(0, n // 2), (n // 4, n - 1 - n // 4)][: 1 if n < 8 else 2]
    told = None
    if classes is not None and source.labels is not None:
        ends = [(first, _last_alike(source.labels, first)) for first, _ in ends]
        told = np.repeat(source.labels[[first for first, _ in ends]], STEPS)
    codes = inference.encode(Subset(source, np.array(ends).reshape(-1)))
    paths = [path_between(a, b, STEPS) for a, b in zip(codes[::2], codes[1::2], strict=True)]
    between = inference.decode_model_units(np.concatenate(paths), labels=told)
    show = _Display(inference.model, np.concatenate([samples, between]))
    return Generated(prior.words, show(samples), show(between).reshape(len(ends), STEPS, *shape), ends)


def _last_alike(labels: NDArray[Any], row: int) -> int:
    """The last row with the label of ``row``: between two labels there is no path."""
    return int(np.flatnonzero(labels == labels[row])[-1])
