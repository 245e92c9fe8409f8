"""Groups of rows found in their codes, without labels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp

from isthmus.errors import DataError, ParameterError

CANDIDATES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30)
"""Numbers of groups among which a criterion chooses."""
MOST_ROWS = 20_000
"""Rows that groups are fitted to: evenly spaced ones, in the order of their codes, of more."""
N_STARTS = 3
FLOOR = 1e-2
"""Default of ``least_variance``."""

Numbers = NDArray[np.float64]
Rows = NDArray[np.int64]
Method = Literal["mixture", "k_means"]
Criterion = Literal["bic", "icl"]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """``p(h) = sum_c weights_c N(h; means_c, covariances_c)``: group c of a code is the likeliest one.

    Those of k-means are the mixture with equal weights and one variance for all units and groups,
    whose likeliest group is the nearest centre. The largest group comes first.
    """

    weights: Numbers
    """``(groups,)``, of sum 1."""
    means: Numbers
    """``(groups, size)``."""
    covariances: Numbers
    """``(groups, size, size)``."""
    method: Method = "mixture"
    criterion: Criterion = "bic"
    curve: dict[int, float] = field(default_factory=dict[int, float])
    """The criterion at each number of groups that was tried, in nats times two: the lowest is taken."""

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return len(self.weights)

    @property
    def size(self) -> int:
        """Units of a code."""
        return self.means.shape[1]

    def distances(self, codes: NDArray[Any]) -> Numbers:
        """Squared distance of each code from each mean in units of the group's spread, ``(rows, groups)``."""
        values = _checked(codes, self.size)
        return np.stack(
            [
                _squares(values, mean, root)
                for mean, root in zip(self.means, _inverse_roots(self.covariances), strict=True)
            ],
            axis=1,
        )

    def log_densities(self, codes: NDArray[Any]) -> Numbers:
        """``ln weights_c N(h; means_c, covariances_c)`` of each code and group, in nats, ``(rows, groups)``.

        A row's does not depend, bit for bit, on the rows beside it.
        """
        roots = _inverse_roots(self.covariances)
        log_roots = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
        constants = np.log(self.weights) + log_roots - self.size / 2 * math.log(2 * math.pi)
        return constants - self.distances(codes) / 2

    def probabilities(self, codes: NDArray[Any]) -> Numbers:
        """How likely each group is for each code, ``(rows, groups)``, of sum 1."""
        logs = self.log_densities(codes)
        return np.exp(logs - logsumexp(logs, axis=1, keepdims=True))

    def members(self, codes: NDArray[Any]) -> Rows:
        """The likeliest group of each code, ``(rows,)``."""
        return self.log_densities(codes).argmax(axis=1).astype(np.int64)

    def value_of(self, criterion: Criterion, codes: NDArray[Any]) -> float:
        """The criterion over these codes: ``-2 ln p(codes) + n_parameters ln n_rows``, lower is better.

        ``"icl"`` takes ``-2 sum_n ln p_n`` more, with p_n the probability of the group of row n, and so
        asks for groups that lie apart, where ``"bic"`` asks for the density alone.
        """
        logs = self.log_densities(codes)
        fit = np.asarray(logsumexp(logs, axis=1)) if criterion == "bic" else logs.max(axis=1)
        return float(-2 * fit.sum() + self.n_parameters * math.log(len(logs)))

    @property
    def n_parameters(self) -> int:
        """Free numbers of the fit."""
        if self.method == "k_means":
            return self.n_groups * self.size + 1
        return self.n_groups - 1 + self.n_groups * self.size * (self.size + 3) // 2


def find_groups(
    codes: NDArray[Any],
    n_groups: int | Literal["auto"] | Sequence[int] = "auto",
    *,
    seed: int,
    method: Method = "mixture",
    criterion: Criterion = "bic",
    n_starts: int = N_STARTS,
    least_variance: float = FLOOR,
) -> Groups:
    """Groups of codes, by maximum likelihood or by k-means.

    Parameters
    ----------
    codes
        ``(rows, size)``, finite.
    n_groups
        How many, at least 1 and at most as many as there are different codes; ``"auto"`` or several
        candidates: the number of lowest criterion, those left out that have more means than there are rows.
    seed
        Of the starts: the same seed and rows give the same groups, whatever the order of the rows.
    method
        ``"mixture"``: normal distributions with full covariances (McLachlan and Peel 2000);
        ``"k_means"``: nearest centres.
    criterion
        ``"bic"`` (Schwarz 1978), or ``"icl"`` (Biernacki, Celeux and Govaert 2000): BIC plus the cost
        of not knowing which group a row is of. A group that is no normal distribution may take several
        components; ICL takes fewer than BIC.
    n_starts
        Starts of which the likeliest is kept, at least 1.
    least_variance
        Added to every group's variances, above 0, as a share of the codes' mean variance a unit: keeps
        groups from shrinking onto a few rows, whose density would grow without bound.

    Raises
    ------
    ParameterError
        If a number of groups is below 1, or a name is none of these.
    DataError
        If there are fewer than two rows, or fewer different codes than groups.

    Examples
    --------
    >>> codes = np.random.default_rng(0).normal(size=(300, 2))
    >>> codes[:100] += 8
    >>> found = find_groups(codes, seed=0)
    >>> found.n_groups, np.bincount(found.members(codes)).tolist()
    (2, [200, 100])
    """
    _check_choices(method, criterion, n_starts, least_variance)
    values = np.asarray(codes, np.float64)
    if values.ndim != 2 or len(values) < 2:
        raise DataError(
            f"groups: expected at least 2 rows to group, got {len(values)} "
            f"({'1 sample' if len(values) == 1 else 'no sample'}). Give more rows."
        )
    values = values[np.lexsort(values.T[::-1])]
    n_different = 1 + int((values[1:] != values[:-1]).any(axis=1).sum())
    several = _numbers(n_groups, len(values), values.shape[1], n_different)
    if len(values) > MOST_ROWS:
        values = values[np.linspace(0, len(values) - 1, MOST_ROWS).astype(np.int64)]
    floor = least_variance * float(values.var(axis=0).mean()) or 1e-12
    tried = {n: _fit(values, n, method, seed % 2**32, n_starts, floor) for n in several}
    curve = {n: groups.value_of(criterion, values) for n, groups in tried.items()}
    best = tried[min(curve, key=lambda n: curve[n])]
    return Groups(best.weights, best.means, best.covariances, method, criterion, curve)


class Examples(NamedTuple):
    """Rows that show a group."""

    centre: list[Rows]
    """Of each group the members nearest to its mean, the nearest first."""
    edge: list[Rows]
    """Of each group the members whose next group is nearly as likely; of a single one, the farthest."""


def examples(groups: Groups, codes: NDArray[Any], n: int = 8) -> Examples:
    """At most ``n`` rows at the centre and ``n`` at the edge of each group, as row numbers.

    A group that no row is of has none.
    """
    if n < 1:
        raise ParameterError(f"groups: the number of examples must be at least 1, got {n}. Try 8.")
    logs, distances = groups.log_densities(codes), groups.distances(codes)
    members = logs.argmax(axis=1)
    others = np.sort(logs, axis=1)
    lead = others[:, -1] - others[:, -2] if groups.n_groups > 1 else -distances[:, 0]
    centre: list[Rows] = []
    edge: list[Rows] = []
    for group in range(groups.n_groups):
        rows = np.flatnonzero(members == group)
        centre.append(rows[np.argsort(distances[rows, group], kind="stable")][:n])
        edge.append(rows[np.argsort(lead[rows], kind="stable")][:n])
    return Examples(centre, edge)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well groups agree with labels; each is 1 where they are the same but for their names."""

    nmi: float
    """Mutual information over the mean of both entropies, in [0, 1]; many groups raise it."""
    ami: float
    """The same less what chance would give (Vinh et al. 2010): 0 of groups at random."""
    ari: float
    """Pairs of rows that both put together or both apart, less chance (Hubert and Arabie 1985)."""
    accuracy: float
    """Share of rows with the label of their group, each label given to one group at most, as well as can be."""
    n_labels: int

    def to_dict(self) -> dict[str, float | int]:
        """By name."""
        return {
            "nmi": self.nmi,
            "ami": self.ami,
            "ari": self.ari,
            "accuracy": self.accuracy,
            "labels": self.n_labels,
        }


def agreement(members: NDArray[Any], labels: NDArray[Any]) -> Agreement:
    """Groups beside labels that they never saw, ``(rows,)`` each.

    >>> agreement(np.array([1, 1, 0, 0]), np.array(["a", "a", "b", "b"])).accuracy
    1.0
    """
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    if len(members) != len(labels):
        raise DataError(
            f"groups: expected a label a row, got {len(members)} rows and {len(labels)} labels. Give one each."
        )
    known = np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)
    table = contingency_matrix(known, members)
    chosen = linear_sum_assignment(table, maximize=True)
    return Agreement(
        nmi=float(normalized_mutual_info_score(known, members)),
        ami=float(adjusted_mutual_info_score(known, members)),
        ari=float(adjusted_rand_score(known, members)),
        accuracy=float(table[chosen].sum() / len(members)),
        n_labels=len(table),
    )


def _fit(values: Numbers, n: int, method: Method, seed: int, n_starts: int, floor: float) -> Groups:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if method == "k_means":
            found: Any = KMeans(n, n_init=n_starts, random_state=seed).fit(values)  # pyright: ignore[reportArgumentType]
            means = np.asarray(found.cluster_centers_, np.float64)
            variance = float(found.inertia_) / values.size + floor
            covariances = np.tile(variance * np.eye(values.shape[1]), (n, 1, 1))
            order = _by_size(np.bincount(found.labels_, minlength=n), means)
            return Groups(np.full(n, 1 / n), means[order], covariances, method)
        mixture = GaussianMixture(n, reg_covar=floor, n_init=n_starts, random_state=seed, max_iter=300)
        mixture.fit(values)
    means = np.asarray(mixture.means_, np.float64)
    order = _by_size(np.asarray(mixture.weights_), means)
    return Groups(
        np.asarray(mixture.weights_, np.float64)[order],
        means[order],
        np.asarray(mixture.covariances_, np.float64)[order],
        method,
    )


def _by_size(sizes: NDArray[Any], means: Numbers) -> Rows:
    """The largest first; of two of one size, by their means."""
    return np.lexsort((*means.T[::-1], -np.asarray(sizes, np.float64))).astype(np.int64)


def _inverse_roots(covariances: Numbers) -> Numbers:
    """Lower triangles R with ``R covariance R' = I``, ``(groups, size, size)``."""
    one = np.eye(covariances.shape[1])
    return np.stack([solve_triangular(root, one, lower=True) for root in np.linalg.cholesky(covariances)])


def _squares(values: Numbers, mean: Numbers, root: Numbers) -> Numbers:
    """``|root (value - mean)|^2`` of each row: unit by unit, since a matrix product's last bits depend on its rows."""
    away = values - mean
    whitened = np.zeros_like(away)
    for unit in range(len(mean)):
        whitened += away[:, unit, None] * root[:, unit]
    squares = np.zeros(len(values))
    for unit in range(len(mean)):
        squares += np.square(whitened[:, unit])
    return squares


def _checked(codes: NDArray[Any], size: int) -> Numbers:
    values = np.asarray(codes, np.float64)
    if values.ndim != 2 or values.shape[1] != size:
        raise DataError(
            f"groups: expected codes of {size} units, (rows, {size}), got {values.shape}. "
            "Encode with the model whose codes were grouped."
        )
    return values


def _check_choices(method: str, criterion: str, n_starts: int, least_variance: float) -> None:
    for name, value, allowed in (
        ("method", method, ("mixture", "k_means")),
        ("criterion", criterion, ("bic", "icl")),
    ):
        if value not in allowed:
            raise ParameterError(f"groups: {name} must be {' or '.join(map(repr, allowed))}, got {value!r}.")
    if n_starts < 1:
        raise ParameterError(f"groups: the number of starts must be at least 1, got {n_starts}. Try 3.")
    if not 0 < least_variance < math.inf:
        raise ParameterError(
            f"groups: least_variance must be above 0, got {least_variance}. It is a share; try {FLOOR}."
        )


def _numbers(n_groups: Any, n_rows: int, size: int, n_different: int) -> list[int]:
    """The numbers of groups to try."""
    if isinstance(n_groups, str) and n_groups != "auto":
        raise ParameterError(
            f"groups: expected a number of groups, several or 'auto', got {n_groups!r}. Try 'auto'."
        )
    if isinstance(n_groups, (int, np.integer)) and not isinstance(n_groups, bool):
        n = int(n_groups)
        _check_number(n)
        if n > n_rows:
            raise DataError(
                f"groups: {n} groups need at least as many rows, got {n_rows}. Ask for fewer groups, or give more rows."
            )
        if n > n_different:
            raise DataError(
                f"groups: {n} groups need at least as many different codes, got {n_different} among {n_rows} rows. "
                "Ask for fewer groups."
            )
        return [n]
    wanted: Sequence[Any] = (
        CANDIDATES if isinstance(n_groups, str) else n_groups if isinstance(n_groups, Sequence) else ()
    )
    if not wanted or not all(isinstance(n, (int, np.integer)) for n in wanted):
        raise ParameterError(
            f"groups: expected a number of groups, several or 'auto', got {n_groups!r}. Try 'auto'."
        )
    for n in wanted:
        _check_number(int(n))
    most = min(n_different, max(n_rows // (size + 1), 1))
    return sorted({int(n) for n in wanted if n <= most} or {min(int(n) for n in wanted)})


def _check_number(n: int) -> None:
    if n < 1:
        raise ParameterError(f"groups: the number of groups must be at least 1, got {n}. Try 'auto'.")
