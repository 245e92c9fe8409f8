"""The kinds as estimators: :class:`Autoencoder` with the few parameters of one idea.

Each takes every parameter of :class:`Autoencoder` but those of the parts that it chooses itself.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from numpy.typing import ArrayLike
from sklearn.utils import Tags

from isthmus.artifact import FittedModel
from isthmus.config import Config, Model
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.networks import Conv1d, Conv2d
from isthmus.config.parts.penalties import L1, Contractive
from isthmus.errors import ArtifactError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.parameters import from_config
from isthmus.model.build import Factory
from isthmus.training.loop import History

SHARED = {
    name: parameter
    for name, parameter in inspect.signature(Autoencoder).parameters.items()
    if name != "n_components"
}


class Recipe(Autoencoder):
    """What the recipes share; not for use itself.

    A subclass writes out its own parameters and takes the others as ``**shared``; its signature,
    which scikit-learn reads, shows them all.
    """

    KIND: ClassVar[str]
    """Name in ``isthmus.config.recipes``."""
    CHOSEN: ClassVar[tuple[str, ...]]
    """Parameters of :class:`Autoencoder` that the recipe sets itself."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        signature = inspect.signature(cls.__init__)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        names = {parameter.name for parameter in own}
        shared = [p for name, p in SHARED.items() if name not in names and name not in cls.CHOSEN]
        cls.__init__.__signature__ = signature.replace(parameters=[*own, *shared])  # pyright: ignore[reportFunctionMemberAccess]

    def _keep_params(self, n_components: int | str, shared: Mapping[str, Any]) -> None:
        """Set every parameter that is the autoencoder's too: those given, and the others' defaults."""
        for name in shared:
            if name not in SHARED or name in self.CHOSEN:
                raise TypeError(
                    f"{type(self).__name__}: has no parameter {name!r}, expected one of "
                    f"{', '.join(self._get_param_names())}. Autoencoder composes anything."
                )
        self.n_components = n_components
        for name in SHARED.keys() & self._get_param_names():
            setattr(self, name, shared.get(name, SHARED[name].default))

    @abstractmethod
    def _parts(self) -> dict[str, Any]:
        """What the recipe chooses: a value for each of :attr:`CHOSEN`."""

    @classmethod
    @abstractmethod
    def _own_params(cls, model: Model) -> dict[str, Any]:
        """The recipe's own parameters in a model that may be of this kind."""

    def _choices(self) -> dict[str, Any]:
        return {**self.get_params(deep=False), **self._parts(), "kind": self.KIND}

    @classmethod
    def _params_of(cls, config: Config, parts: Mapping[str, Factory]) -> dict[str, Any]:
        params = {**from_config(config, parts), **cls._own_params(config.model)}
        return {name: value for name, value in params.items() if name in cls._get_param_names()}

    @classmethod
    def _of(cls, model: FittedModel, parts: Mapping[str, Factory]) -> Self:
        estimator = super()._of(model, parts)
        asked, found = estimator._asked.model, model.config.model
        if asked.replace(kind=found.kind) != found:
            raise ArtifactError(
                f"{cls.__name__}: expected a model of kind {cls.KIND!r}, whose parts its parameters spell out, "
                f"got one of kind {found.kind!r} with other parts. Open it with Autoencoder.open."
            )
        return estimator


class SparseAutoencoder(Recipe):
    """A code of which few units are active: ``L + weight * sum_j h_j`` with ``h = relu(...)``.

    The penalty is a Laplace prior on the code (Olshausen and Field 1997); the code may be larger
    than the input. Units that are never active are counted in ``metrics_["code"]["dead"]``.

    Parameters
    ----------
    n_components
        Units of the code, as in :class:`Autoencoder`.
    weight
        Of the penalty, at least 0; more makes more units zero.
    **shared
        Every other parameter of :class:`Autoencoder` but ``code`` and ``penalties``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> model = SparseAutoencoder(6, weight=0.1, max_epochs=5, random_state=0).fit(load_iris().data)
    >>> bool((model.transform(load_iris().data) == 0).any())
    True
    """

    KIND, CHOSEN = "sparse", ("code", "penalties")

    def __init__(self, n_components: int | str = "auto", *, weight: float = 1e-2, **shared: Any) -> None:
        self._keep_params(n_components, shared)
        self.weight = weight

    def _parts(self) -> dict[str, Any]:
        return {"code": DeterministicCode("relu"), "penalties": (L1(self.weight),)}

    @classmethod
    def _own_params(cls, model: Model) -> dict[str, Any]:
        return _first_weight(model, L1)


class DenoisingAutoencoder(Recipe):
    """Rebuilds clean rows from damaged ones: ``L(x, g(f(x~)))`` with ``x~ = corruption(x)``.

    Source: Vincent et al. (2008).

    Parameters
    ----------
    n_components
        Units of the code, as in :class:`Autoencoder`.
    corruption
        A name or a description: ``"masking"``, ``GaussianNoise(0.3)``.
    **shared
        Every other parameter of :class:`Autoencoder`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from isthmus import GaussianNoise
    >>> model = DenoisingAutoencoder(2, corruption=GaussianNoise(0.5), max_epochs=5, random_state=0)
    >>> model.fit(load_iris().data).reconstruct(load_iris().data).shape
    (150, 4)
    """

    KIND, CHOSEN = "denoising", ()

    def __init__(
        self, n_components: int | str = "auto", *, corruption: Any = "masking", **shared: Any
    ) -> None:
        self._keep_params(n_components, shared)
        self.corruption = corruption

    def _parts(self) -> dict[str, Any]:
        return {}

    @classmethod
    def _own_params(cls, model: Model) -> dict[str, Any]:
        return {}


class ContractiveAutoencoder(Recipe):
    """A code that hardly moves with its input: ``L + weight * ||dh/dx||_F^2``, h a sigmoid code.

    Source: Rifai et al. (2011).

    Parameters
    ----------
    n_components
        Units of the code, as in :class:`Autoencoder`.
    weight
        Of the penalty, at least 0.
    **shared
        Every other parameter of :class:`Autoencoder` but ``code`` and ``penalties``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> model = ContractiveAutoencoder(2, weight=0.3, max_epochs=5, random_state=0).fit(load_iris().data)
    >>> model.transform(load_iris().data).shape
    (150, 2)
    """

    KIND, CHOSEN = "contractive", ("code", "penalties")

    def __init__(self, n_components: int | str = "auto", *, weight: float = 0.1, **shared: Any) -> None:
        self._keep_params(n_components, shared)
        self.weight = weight

    def _parts(self) -> dict[str, Any]:
        return {"code": DeterministicCode("sigmoid"), "penalties": (Contractive(self.weight),)}

    @classmethod
    def _own_params(cls, model: Model) -> dict[str, Any]:
        return _first_weight(model, Contractive)


class VariationalAutoencoder(Recipe):
    """A normal distribution for each code unit: ``L + beta * KL(q(h given x) to N(0, I))``.

    Source: Kingma and Welling (2014); beta: Higgins et al. (2017). ``transform`` gives the means.

    Parameters
    ----------
    n_components
        Units of the code, as in :class:`Autoencoder`.
    beta
        Weight of the rate, at least 0; 1 is the evidence lower bound where L is in nats.
    **shared
        Every other parameter of :class:`Autoencoder` but ``code``; warm-ups, free bits and several
        draws are those of ``Autoencoder(code=GaussianCode(...))``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> model = VariationalAutoencoder(2, beta=0.5, max_epochs=5, random_state=0).fit(load_iris().data)
    >>> mean, scale = model.code_distribution(load_iris().data)
    >>> mean.shape, bool((scale > 0).all())
    ((150, 2), True)
    """

    KIND, CHOSEN = "variational", ("code",)

    def __init__(self, n_components: int | str = "auto", *, beta: float = 1.0, **shared: Any) -> None:
        self._keep_params(n_components, shared)
        self.beta = beta

    def _parts(self) -> dict[str, Any]:
        return {"code": GaussianCode(self.beta)}

    @classmethod
    def _own_params(cls, model: Model) -> dict[str, Any]:
        return {"beta": model.code.beta} if isinstance(model.code, GaussianCode) else {}


class ConvolutionalAutoencoder(Recipe):
    """Convolutions down to the code and transposed convolutions up again.

    Pictures take :class:`Conv2d`. Flat rows without ``sample_shape``, and rows of
    ``row_kind="sequences"``, are sequences of steps and take :class:`Conv1d`.

    Parameters
    ----------
    n_components
        Units of the code, as in :class:`Autoencoder`.
    channels
        Channels after each stage; ``"auto"`` chooses from the data.
    kernel_size, stride
        Of every stage; ``"auto"``: 4 and 2 for pictures, 8 and 4 for sequences.
    **shared
        Every other parameter of :class:`Autoencoder` but ``network`` and ``hidden_sizes``; pooling,
        unpooling and residual blocks are those of ``Autoencoder(network=Conv2d(...))``.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().images[:200]
    >>> model = ConvolutionalAutoencoder(4, channels=(4,), max_epochs=1, random_state=0).fit(X)
    >>> model.transform(X).shape
    (200, 4)
    """

    KIND, CHOSEN = "convolutional", ("network", "hidden_sizes")

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        channels: Any = "auto",
        kernel_size: int | str = "auto",
        stride: int | str = "auto",
        **shared: Any,
    ) -> None:
        self._keep_params(n_components, shared)
        self.channels = channels
        self.kernel_size = kernel_size
        self.stride = stride

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn asks: a sparse matrix has no axes to convolve over."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    def _parts(self) -> dict[str, Any]:
        sizes: dict[str, Any] = {
            "channels": self.channels,
            "kernel_size": self.kernel_size,
            "stride": self.stride,
        }
        chosen: dict[str, Any] = {
            name: value for name, value in sizes.items() if not isinstance(value, str) or value != "auto"
        }
        seen = getattr(self, "_convolution", Conv1d if self.row_kind == "sequences" else Conv2d)
        return {"network": seen(**chosen), "hidden_sizes": "auto"}

    @classmethod
    def _own_params(cls, model: Model) -> dict[str, Any]:
        if not isinstance(model.network, (Conv1d, Conv2d)):
            return {}
        names = ("channels", "kernel_size", "stride", "activation")
        return {name: getattr(model.network, name) for name in names}

    def _fit(self, X: ArrayLike, y: Any, sample_weight: ArrayLike | None) -> History:
        self._convolution = self._kind_of(X)
        return super()._fit(X, y, sample_weight)

    def _partial_fit(self, X: ArrayLike, y: Any, sample_weight: ArrayLike | None) -> None:
        if not hasattr(self, "_model"):
            self._convolution = self._kind_of(X)
        super()._partial_fit(X, y, sample_weight)

    def _kind_of(self, X: Any) -> type[Conv1d] | type[Conv2d]:
        """The convolution that rows like X take."""
        if self.row_kind != "auto":
            return Conv2d if self.row_kind == "pictures" else Conv1d
        has_axes = getattr(X, "ndim", 2) > 2 or (self.sample_shape is not None and len(self.sample_shape) > 1)
        return Conv2d if has_axes else Conv1d


def _first_weight(model: Model, penalty: type[L1] | type[Contractive]) -> dict[str, Any]:
    """The weight of a model's first penalty, if it is of that kind."""
    first = model.penalties[0] if model.penalties else None
    return {"weight": first.weight} if isinstance(first, penalty) else {}
