"""The console's entry point: finds the verb, runs it, and turns what is raised into one line.

Exit statuses: 0 done, 1 a defect of isthmus, 2 a mistake of whoever called it, 130 interrupted
(what was trained is kept), 141 whoever read the output has gone.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError
from cyclopts.exceptions import UnusedCliTokensError

from isthmus import __version__
from isthmus.cli.output import visible
from isthmus.errors import IsthmusError

# Threads of torch that wait for each other yield soon instead of spinning: as fast on an idle machine,
# and twice as fast beside another busy process (measured). Read once, when torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

DONE, OURS, THEIRS, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141

VERBS = {
    "fit": "Train an autoencoder on data.",
    "info": "Tell what a model, a run, an archive or data are.",
    "encode": "Write the codes of data.",
    "decode": "Write what codes stand for.",
    "reconstruct": "Write data as the model rebuilds them.",
    "impute": "Write a table with its gaps filled.",
    "sample": "Write new examples.",
    "interpolate": "Write what lies between two examples.",
    "group": "Write which rows belong together.",
    "score": "Write how odd rows are, and why.",
    "compress": "Store data small, in an archive.",
    "decompress": "Write what an archive holds.",
    "compare": "Train several kinds and say which one to take.",
    "report": "Show on one page what a model learned.",
    "demo": "Train on bundled digits and compare with PCA.",
}
"""Each verb and what it does; ``isthmus.cli.<verb>`` is imported when it is called."""

HELP = "Autoencoders: squeeze data through a narrow code, rebuild them, and see what was learned."
EPILOGUE = (
    "Every verb takes --json (one document on stdout) and --traceback (where an error arose). "
    "Exit status: 0 done, 1 our defect, 2 your mistake, 130 interrupted."
)


def make_app() -> App:
    """The app with its verbs, none of them imported yet."""
    app = App(
        name="isthmus",
        help=HELP,
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        version=__version__,
        group_commands="Verbs",
        group_parameters="Options",
    )
    app["--help"].help = "Show this help."
    app["--version"].help = "Show the version."
    for place, (verb, said) in enumerate(VERBS.items()):
        app.command(f"isthmus.cli.{verb}:{verb}", name=verb, help=said, help_epilogue="", sort_key=place)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status.

    Parameters
    ----------
    arguments
        Without the program's name; None takes those of the process.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    traced = "--traceback" in tokens
    tokens = [token for token in tokens if token != "--traceback"]
    try:
        status = _run(tokens)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return _complain("interrupted; only what was complete by then is written.", INTERRUPTED, traced=False)
    except BrokenPipeError:
        # Python flushes stdout at its end, which would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except IsthmusError as error:
        return _complain(f"error: {error}", THEIRS, traced=traced)
    except CycloptsError as error:
        return _complain(f"error: {_parse_words(error)}", THEIRS, traced=traced)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        advice = "" if traced else " Please report it with what --traceback shows."
        return _complain(f"sorry, this is a defect of isthmus: {told}.{advice}", OURS, traced=traced)


def _run(tokens: Sequence[str]) -> int:
    command, bound, _ = make_app().parse_args(tokens, exit_on_error=False, print_error=False)
    result: Any = command(*bound.args, **bound.kwargs)
    return result if isinstance(result, int) else DONE


def _parse_words(error: CycloptsError) -> str:
    verb = "isthmus " + " ".join(error.command_chain or ())
    advice = f"Try: {verb.strip()} --help."
    if isinstance(error, UnusedCliTokensError):
        return f"Unexpected argument {' '.join(error.unused_tokens or ())!r}. {advice}"
    return f"{error} {advice}"


def _complain(message: str, status: int, *, traced: bool) -> int:
    """Say one line on stderr."""
    if traced:
        traceback.print_exc()
    print("isthmus: " + visible(" ".join(message.split())), file=sys.stderr, flush=True)
    return status
