"""Description of a training: how long, how fast, from which seed, on what."""

from __future__ import annotations

from typing import Annotated, Literal

from isthmus.config.description import Description, description, numpy_scalars, within

Auto = Literal["auto"]
Precision = Literal["float32", "bfloat16"]
Count = Annotated[
    int, numpy_scalars, within("[1, inf)", "It is a count; leave it at 'auto' to let the data decide.")
]


@description
class Training(Description):
    """How a model is trained. ``"auto"`` is replaced, before the first step, by what the data say.

    Parameters
    ----------
    epochs
        At most so many passes over the training rows.
    batch_size
        Rows a step.
    micro_batch
        Rows of a step that are in memory at a time, activations and all: a step's batch, its chance and its
        gradient stay the same but for rounding. ``"auto"``: all of them, and half as many whenever memory
        runs out. Terms that know a batch only as a whole (``KLSparsity``, ``Decorrelation``, batch-top-k,
        winner-take-all, free bits, a capacity, relative noise of the code) refuse fewer than ``batch_size``.
        Where the system limits the memory of a process (``ulimit -v``), convolutions are torch's own, since
        oneDNN's would end the process: results differ in the last bits.
    learning_rate
        Highest rate of AdamW, reached after the warm-up, above 0.
    schedule
        ``"cosine"`` falls from the highest rate to nothing over all epochs; ``"constant"`` stays.
    warm_up_share
        Share of all steps over which the rate rises from nothing, in [0, 1).
    weight_decay
        AdamW's decoupled decay, at least 0. It is part of the optimiser; the penalty
        :class:`WeightDecay` is part of the objective.
    gradient_clip
        Largest norm of the gradient of a step, above 0, or None; the loss is a sum over a row's values,
        so that its gradient grows with their number.
    validation_share
        Share of the rows held out to stop by and to choose the weights by, in [0, 1); 0 trains on
        all rows for all epochs and keeps the last weights.
    patience
        Share of all epochs, in (0, 1], after which training stops if so many in a row had a
        validation loss above the lowest by more than two standard errors of the difference; None
        never stops early. Either way the last weights stand, unless those of the lowest validation
        loss are better by as much.
    seed
        From which every random number derives; None draws one from the system and records it.
    start
        ``"pca"``: dense networks with linear outputs begin as PCA at their code size, and leave it
        for something better; ``"random"``: small random weights, outputs at the data's mean;
        ``"auto"``: PCA where it can be had.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"``, or ``"auto"``: an accelerator if there is one.
    dead_units
        ``"left"`` as they are, or ``"revived"``: after each epoch of the first half of the training,
        code units that carried nothing are given new weights towards rows that are rebuilt badly
        (Bricken et al. 2023). Of dense networks and codes of one number a unit alone.
    scheme
        ``"end_to_end"`` trains all layers together. ``"layer_by_layer"`` first trains each layer of
        a dense network with its mirror in the decoder, from the input to the code, as a shallow
        autoencoder on the layer below's clean activations; then all together (Bengio et al. 2007;
        Vincent et al. 2010). A code with a distribution is trained in the last stage alone. A model
        that was trained before (``warm_start``) goes on end to end.
    pretraining_share
        Of ``"layer_by_layer"`` alone: the share of all epochs that the layers share equally, in
        (0, 1); every layer has at least one.
    threads
        CPU threads of a training step; recorded, because results depend on it in the last bits.
    precision
        Of the passes of encoder and decoder in training, on ``"cpu"`` and ``"cuda"``: ``"bfloat16"`` keeps
        8 of 24 binary digits of what is multiplied, which is faster for wide layers and large batches where a
        processor has units for it, and slower elsewhere. Weights, optimiser, code, losses and penalties are
        float32 either way, and so is a fitted model. A penalty on derivatives of a dense encoder has that
        encoder's pass in float32.

    Examples
    --------
    >>> Training(epochs=20, seed=0).epochs
    20
    """

    epochs: Count | Auto = "auto"
    batch_size: Count | Auto = "auto"
    micro_batch: (
        Annotated[
            int,
            numpy_scalars,
            within("[1, inf)", "It is a count of rows; leave it at 'auto' for all of a batch."),
        ]
        | Auto
    ) = "auto"
    learning_rate: Annotated[float, numpy_scalars, within("(0, inf)", "It is a rate; try 0.001.")] | Auto = (
        "auto"
    )
    schedule: Literal["cosine", "constant"] = "cosine"
    warm_up_share: Annotated[
        float, numpy_scalars, within("[0, 1)", "It is a share of all steps; try 0.1.")
    ] = 0.1
    weight_decay: Annotated[float, numpy_scalars, within("[0, inf)", "It is a rate of decay; try 0.01.")] = (
        0.0
    )
    gradient_clip: Annotated[float, numpy_scalars, within("(0, inf)", "It is a norm; try 1.0.")] | None = None
    validation_share: Annotated[
        float, numpy_scalars, within("[0, 1)", "It is a share of the rows; try 0.1.")
    ] = 0.1
    patience: (
        Annotated[float, numpy_scalars, within("(0, 1]", "It is a share of all epochs; try 0.3.")]
        | Auto
        | None
    ) = "auto"
    seed: Annotated[int, numpy_scalars, within("[0, 4294967295]", "It is a seed; try 0.")] | None = None
    start: Literal["auto", "pca", "random"] = "auto"
    dead_units: Literal["left", "revived"] = "left"
    scheme: Literal["end_to_end", "layer_by_layer"] = "end_to_end"
    pretraining_share: Annotated[
        float, numpy_scalars, within("(0, 1)", "It is a share of all epochs; try 0.5.")
    ] = 0.5
    device: str = "auto"
    threads: Count | Auto = "auto"
    precision: Precision = "float32"
