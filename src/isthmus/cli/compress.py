"""``isthmus compress``: data into an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Processes
from isthmus.cli.output import note_lines, print_json, print_lines


def compress(
    source: Annotated[str, Parameter(help="A file or folder of data.")],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    max_error: Annotated[str | None, Parameter(show_default=False)] = None,
    model: Annotated[Path | None, Parameter(show_default=False)] = None,
    apart: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    no_model: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    seconds: float = 120.0,
    preview: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    quality: Annotated[float | None, Parameter(show_default=False)] = None,
    resume: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    processes: Processes = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Store data small; they come back to the last bit, or within an error that is stated.

    Blocks of rows are coded by a model or by general means, whichever is smaller, and each is read back before it
    counts. 'isthmus decompress' gives all of them back, or some rows.

    Parameters
    ----------
    output
        The archive, NAME.isth.
    max_error
        The most by which a number may differ from what comes back: in its own unit, such as 0.01, or as a share of
        its column's range, such as 0.5%. Without it every bit is kept.
    model
        A model that fit wrote for such data, with a Gaussian code and exact probabilities, or an archive of such data
        that has a model. Without one, tables, pictures and arrays of whole numbers have one fitted if it saves more
        than its own size.
    apart
        Name the model of the archive given by --model, in place of carrying it, so that many archives share one. It
        is then needed to read them: 'isthmus decompress ARCHIVE --model M'.
    no_model
        Fit none: general means alone.
    seconds
        That fitting a model should take, about.
    preview
        Store codes alone: of pictures, arrays of numbers and tables what comes back is approximate. How far it is from
        the data is measured and stated. What no model knows, such as free texts, is kept to the last bit.
    quality
        Of a preview: percent of the variance that it keeps, about, above 0 and below 100. Without it 90.
    resume
        Go on with an archive that was not written to its end.
    """
    from isthmus.cli.preview_words import preview_lines
    from isthmus.cli.words import many, size_beside
    from isthmus.errors import ParameterError
    from isthmus.memory import bytes_text
    from isthmus.training.progress import ProgressBar
    from isthmus.workflows.compress import compress as write

    if model is not None and no_model:
        raise ParameterError("--no-model: stands against --model. Give one of them.")
    error, relative = _error(max_error)

    def tell(text: str) -> None:
        if not json:
            print_lines([("note", text)])

    done = write(
        source, output, max_error=error, relative=relative, model=model, apart=apart, fits=not no_model,
        seconds=seconds, preview=preview, quality=quality, force=force, resume=resume, processes=processes,
        told=tell, watch=ProgressBar,
    )  # fmt: skip
    ratio = done.n_bytes_before / max(1, done.n_bytes)
    alone = done.n_bytes_before / max(1, done.n_bytes - done.n_bytes_of_model)
    if json:
        print_json(
            {
                "output": str(done.path),
                "rows": done.n_rows,
                "bytes": done.n_bytes,
                "bytes_before": done.n_bytes_before,
                "bytes_of_model": done.n_bytes_of_model,
                "bytes_of_model_apart": done.n_bytes_apart,
                "ratio": ratio,
                "ratio_without_model": alone,
                "blocks": done.codecs,
                "guarantee": {
                    "exact": error is None and not preview,
                    "max_error": error,
                    "relative": relative,
                },
                "preview": done.preview,
                "verified": True,
                "notes": list(done.notes),
            }
        )
        return
    size = f"{bytes_text(done.n_bytes)}, {size_beside(done.n_bytes, done.n_bytes_before)}"
    beside = [("model", f"{bytes_text(done.n_bytes_apart)} apart; it is read with '--model {model}'")]
    within = f" (the model in it {bytes_text(done.n_bytes_of_model)}; without it {alone:.3g} times)"
    coded = ", ".join(f"{codec} {n:,}" for codec, n in done.codecs.items())
    print_lines(
        [
            ("archive", f"{done.path}: {many(done.n_rows, 'row')}"),
            ("size", size + (within if done.n_bytes_of_model else "")),
            *(beside if done.n_bytes_apart else []),
            ("blocks", coded or "none"),
            *([("kept", _guarantee(max_error))] if done.preview is None else preview_lines(done.preview)),
            *note_lines(done.notes),
        ]
    )


def _error(text: str | None) -> tuple[float | None, bool]:
    """The largest error, and whether it is a share of each column's range."""
    from isthmus.errors import ParameterError

    if text is None:
        return None, False
    try:
        return (float(text[:-1]) / 100, True) if text.endswith("%") else (float(text), False)
    except ValueError:
        raise ParameterError(
            f"--max-error: expected a number, such as 0.01, or a share, such as 0.5%, got {text!r}."
        ) from None


def _guarantee(max_error: str | None) -> str:
    kept = "equal to the last bit" if max_error is None else f"within {max_error}"
    of_range = " of each column's range" if max_error is not None and max_error.endswith("%") else ""
    return f"every block was read back, and all values are {kept}{of_range}"
