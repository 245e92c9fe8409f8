"""Models and data in a few words each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from isthmus.artifact import FittedModel
    from isthmus.config import Config
    from isthmus.networks.base import StageFacts
    from isthmus.schema import Schema
    from isthmus.sources import Source

REASON = "Likelihood: "
"""What the note begins with that tells why the likelihood was chosen."""


def source_words(name: str, source: Source) -> str:
    """What a source holds.

    >>> from isthmus.sources import bundled
    >>> source_words("mnist-test", bundled("mnist-test"))
    'mnist-test: 2,000 pictures 28 x 28 x 1, uint8; 10 labels'
    """
    words = f"{name}: {len(source):,} {source.schema.describe()}"
    if source.labels is None:
        return words
    n_labels = len(set(source.labels.tolist()))
    return f"{words}; {many(n_labels, 'label')}"


def size_beside(n_bytes: int, n_bytes_before: int) -> str:
    """How large something is beside what it was made of.

    >>> size_beside(1000, 4000), size_beside(3000, 1000)
    ('4 times smaller than 4 kB', '3 times as large as 1 kB')
    """
    from isthmus.memory import bytes_text

    if n_bytes <= n_bytes_before:
        return f"{n_bytes_before / max(1, n_bytes):.3g} times smaller than {bytes_text(n_bytes_before)}"
    if not n_bytes_before:
        return "of nothing"
    return f"{n_bytes / n_bytes_before:.3g} times as large as {bytes_text(n_bytes_before)}"


def many(n: int, noun: str) -> str:
    """A count with its noun.

    >>> many(1, "epoch"), many(2000, "epoch")
    ('1 epoch', '2,000 epochs')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def part_words(part: Any) -> str:
    """A part by its name and parameters; those that are off or not given are left out.

    >>> from isthmus.config.parts.networks import Dense
    >>> part_words(Dense((64, 32)))
    'dense (hidden_sizes 64-32, activation silu)'
    """
    from isthmus.config.catalogue import part_name

    if part is None or isinstance(part, str):
        return str(part or "none")
    given = {name: value for name, value in part.to_dict().items() if value is not False and value != "none"}
    params = ", ".join(
        name if value is True else f"{name} {_value_words(value)}" for name, value in given.items()
    )
    return part_name(part) + (f" ({params})" if params else "")


def model_lines(model: FittedModel) -> list[tuple[str, str]]:
    """The parts of a model, one a line, then what a user should know."""
    described, lines = model.config.model, list[tuple[str, str]]()
    reasons = [note.removeprefix(REASON) for note in model.notes if note.startswith(REASON)]
    lines.append(("kind", f"{described.kind}, {model.n_parameters:,} parameters"))
    lines.append(("network", part_words(described.network)))
    lines.append(("code", f"{model.module.code.size} units, {part_words(described.code)}"))
    lines.append(("likelihood", likelihood_words(part_words(described.likelihood), *reasons)))
    if model.classes is not None:
        from isthmus.preprocessing.classes import class_words

        lines.append(("conditional on", f"a label of {class_words(model.classes)}"))
    if described.corruption is not None:
        lines.append(("corruption", part_words(described.corruption)))
    lines.extend(("penalty", part_words(penalty)) for penalty in described.penalties)
    lines.extend(("note", note) for note in model.notes if not note.startswith(REASON))
    return lines


def stage_lines(stages: Sequence[StageFacts]) -> list[tuple[str, str]]:
    """Each stage of a network: its layers, kernel, stride, output and what a unit sees of the input.

    >>> from isthmus.networks.base import StageFacts
    >>> stage_lines([StageFacts("encoder", "strided convolution", (4, 4), (2, 2), (32, 14, 14), (4, 4))])
    [('encoder', 'strided convolution, kernel 4 x 4, stride 2 x 2: 32 x 14 x 14, each sees 4 x 4')]
    """
    lines: list[tuple[str, str]] = []
    for at, stage in enumerate(stages):
        kernel, stride, output = (
            " x ".join(map(str, shape)) for shape in (stage.kernel, stage.stride, stage.output)
        )
        seen = " x ".join(map(str, stage.receptive_field or ()))
        said = f"{stage.layers}, kernel {kernel}, stride {stride}: {output}"
        again = at > 0 and stages[at - 1].half == stage.half
        lines.append(("" if again else stage.half, f"{said}, each sees {seen}" if seen else said))
    return lines


def likelihood_words(name: str, reason: str = "") -> str:
    """A likelihood and why it was chosen; the end of the reason, which names it again, is left out.

    >>> likelihood_words("squared_error", "pictures of 3 channels: squared error.")
    'squared_error (pictures of 3 channels)'
    """
    why, _, chosen = reason.rstrip(".").rpartition(": ")
    return f"{name} ({why or chosen})" if reason else name


def training_words(config: Config) -> str:
    """How a model is trained."""
    plan = config.training
    threads = f", {many(int(plan.threads), 'thread')}" if plan.device == "cpu" else ""
    precision = "" if plan.precision == "float32" else f", in {plan.precision}"
    scheme = "" if plan.scheme == "end_to_end" else "layer by layer, then end to end, "
    return (
        f"{scheme}at most {many(int(plan.epochs), 'epoch')} in batches of {plan.batch_size}, "
        f"seed {plan.seed}, on {plan.device}{threads}{precision}"
    )


def noun(model: FittedModel) -> str:
    """What one row is called."""
    if model.scaling.schema.audio is not None:
        return "window"
    return {"pictures": "image", "sequences": "sequence"}.get(model.scaling.schema.kind, "row")


def _value_words(value: Any) -> str:
    return "-".join(str(item) for item in value) if isinstance(value, list) else str(value)


def rows_words(
    output: str, n_written: int, rows: Any, schema: Schema | None = None, source: Source | None = None
) -> str:
    """Where rows went, and what they are; of sounds the recordings, where they are those of ``source``."""
    if schema is not None and schema.audio is not None and not output.lower().endswith(".npy"):
        from isthmus.sources.audio import AudioSource
        from isthmus.workflows.data_files import means_folder

        recordings = source.recordings() if isinstance(source, AudioSource) else []
        if recordings and (len(recordings) == 1 or means_folder(output)):
            length = sum(samples for _, _, samples in recordings) / schema.audio.rate
            return f"{output}: {many(len(recordings), 'sound')}, {length:.4g} s in all at {schema.audio.rate:,} Hz"
        each = "" if n_written == 1 else "each "
        return f"{output}: {many(n_written, 'sound')}, {each}{schema.audio.describe()}"
    some = "" if n_written == rows.shape[0] else f" (the first of {rows.shape[0]:,})"
    each = "value" if schema is not None and schema.kind == "vectors" else "column"
    if output.lower().endswith((".csv", ".tsv", ".parquet", ".arrow", ".feather")):
        return f"{output}: {many(n_written, 'row')} of {many(rows.shape[-1], each)}"
    return f"{output}: {n_written:,} of shape {' x '.join(map(str, rows.shape[1:]))}, {rows.dtype}{some}"


def quality_lines(quality: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was measured of made rows, as ``docs/metrics.md`` has it, in a few lines.

    >>> near = {"copies": 0, "closest_training_median": 0.12, "nearer_training_share": None}
    >>> quality_lines({"fidelity": {"training": None}, "usefulness": None, "privacy": near})
    [('copies', 'none of a training row'), ('closest', 'a training row at 0.12 in the median')]
    """
    from isthmus.cli.output import number

    fidelity, useful, near = (quality[key] for key in ("fidelity", "usefulness", "privacy"))
    lines: list[tuple[str, str]] = []
    for about, key in (("shapes", "column_shapes"), ("trends", "pair_trends")):
        likeness = {name: None if each is None else each[key] for name, each in fidelity.items()}
        if likeness["training"] is None:
            continue
        said = f"{likeness['training']:.3f} like the training rows (1 is alike)"
        if likeness.get("held_out") is not None and likeness.get("real") is not None:
            said += (
                f"; {likeness['held_out']:.3f} like held-out rows, real training rows {likeness['real']:.3f}"
            )
        lines.append((about, said))
    if useful is not None:
        said = f"{useful['measure']} {useful['made']:.3f} of {useful['target']!r} learned from them"
        lines.append(
            ("use", f"{said}, {useful['real']:.3f} from as many real rows ({useful['rows']:,} rows)")
        )
    copies = near["copies"]
    said = (
        f"{copies:,} of {many(quality['rows'], 'row')} equal a training row"
        if copies
        else "none of a training row"
    )
    if copies and near["held_out_copies"] is not None:
        said += f" ({near['held_out_copies']:,} of {quality['held_out_rows']:,} held-out rows do)"
    lines.append(("copies", said))
    said = f"a training row at {number(near['closest_training_median'])} in the median"
    if near["nearer_training_share"] is not None:
        said += (
            f", for held-out rows at {number(near['held_out_closest_training_median'])}; "
            f"{near['nearer_training_share']:.2f} are nearer to training than to held-out rows (0.50 is ideal)"
        )
    lines.append(("closest", said))
    return lines
