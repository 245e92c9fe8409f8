"""Model files made to harm, their digests correct: refused in one line, or harmless; never much memory, never long."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import resource
import signal
import struct
import unicodedata
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isthmus.artifact import FittedModel, file, open_model
from isthmus.artifact.classifier import FittedClassifier
from isthmus.cli.info import info
from isthmus.errors import ArtifactError, IsthmusError, OutputError
from isthmus.exploration.groups_file import GroupedModel

torch.set_num_threads(1)

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("[0-9]*"))[-1]
SECONDS, MEMORY = 5, 2**30


class TooSlowError(Exception):
    """An alarm went off."""


@contextlib.contextmanager
def limited() -> Generator[None]:
    """No more than a GiB of further address space, and five seconds."""

    def stop(*_: object) -> None:
        raise TooSlowError

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGALRM, handler)


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="limits are set as Linux has them"
)


def refused(data: bytes, opens: Callable[..., Any] = FittedModel.from_bytes, match: str = "m") -> str:
    """The one line that a file is refused with, under limits."""
    assert len(data) < 2**21
    with limited(), pytest.raises(ArtifactError, match=match) as caught:
        opens(data, "m.safetensors")
    told = str(caught.value)
    assert told.startswith("m.safetensors: ")
    assert "\n" not in told
    assert len(told) < 1000
    return told


def contents(name: str = "basic") -> tuple[dict[str, Any], dict[str, Any]]:
    return file.from_bytes((GOLDEN / f"{name}.safetensors").read_bytes(), name)


def raw(
    document: dict[str, Any],
    entries: list[tuple[str, dict[str, Any]]],
    body: bytes,
    tensors: dict[str, Any] | None = None,
) -> bytes:
    """A file whose header says what it likes; the digest is that of ``tensors``, which a reader may find in it."""
    envelope = {"format": 1, "digest": file._digest(document, tensors or {}), "document": document}
    inner = ", ".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries)
    text = (
        f'{{"__metadata__": {{"isthmus": {json.dumps(json.dumps(envelope))}}}{", " if inner else ""}{inner}}}'
    )
    header = text.encode()
    return struct.pack("<Q", len(header)) + header + body


def entry(dtype: str, shape: list[int], *ends: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": list(ends)}


# ------------------------------------------------------------------ the header


ONE = {"w": np.frombuffer(b"\0\0\0\0", np.float32)}


@pytest.mark.parametrize(
    "entries",
    [
        [("w", entry("F32", [1], 0, 4)), ("v", entry("F32", [1], 0, 4))],  # one over the other
        [("w", entry("F32", [1], 0, 4)), ("v", entry("F32", [1], 2, 6))],
        [("w", entry("F32", [1], 4, 8))],  # a gap before
        [("w", entry("F32", [1], 0, 4)), ("v", entry("F32", [1], 8, 12))],
        [("w", entry("F32", [1], 0, 2**40))],  # beyond the file
        [("w", entry("F32", [1], -4, 0))],
        [("w", entry("F32", [2**62], 0, 4))],
        [("w", entry("F32", [2**32, 2**32], 0, 4))],  # 2**64 values are none in 64 bits
        [("w", entry("F32", [2**63, 2], 0, 0))],
        [("w", entry("F32", [1.0], 0, 4))],  # pyright: ignore[reportArgumentType]
        [("w", entry("F32", [True], 0, 4))],
        [("w", entry("F32", [1], 0, 4)), ("w", entry("F32", [1], 0, 4))],  # a name twice
        [("w", entry("BF16", [2], 0, 4))],
        [("w", entry("F8_E4M3", [4], 0, 4))],
        [("w", entry("F8_E5M2", [4], 0, 4))],
        [("w", entry("F4", [8], 0, 4))],
        [("w", entry("I4", [8], 0, 4))],
        [("w", entry("O", [1], 0, 4))],
        [("w", entry("F32", [1] * 100, 0, 4))],
        [("w", {**entry("F32", [1], 0, 4), "path": "/etc/passwd"})],
    ],
    ids=str,
)
def test_headers_that_lie_are_refused(entries: list[tuple[str, dict[str, Any]]]) -> None:
    for document in ({}, contents()[0]):
        refused(raw(document, entries, b"\0" * 12, ONE))


def test_no_values_with_a_huge_other_side_take_no_memory() -> None:
    document, tensors = contents()
    refused(raw(document, [("w", entry("F32", [0, 2**62], 0, 0))], b""))
    for shape in ((0, 2**40), (2**40, 0), (0,)):
        empty = np.zeros(shape, np.float32)
        for name in (
            "module.network.encoder.layers.0.weight",
            "scaling.shift",
            "usual.errors",
            "baseline.mean",
        ):
            refused(file._packed(document, {**tensors, name: empty}))


def test_headers_of_tens_of_thousands_of_tensors_are_refused_soon() -> None:
    many = [(f"t{place}", entry("F32", [], 4 * place, 4 * place + 4)) for place in range(20_000)]
    refused(raw({}, many, b"\0" * 80_000))


@pytest.mark.parametrize(
    "document",
    [
        '{"a": ' * 400 + "1" + "}" * 400,
        "[" * 5_000 + "]" * 5_000,
        '{"a": 1' + "0" * 4_400 + "}",
        '{"a": 1, "a": 2}',
        '{"config": NaN, "scaling": Infinity}',
        '{"config": {"model": {"code_size": NaN}}}',
        '{"config": {"model": {"code_size": 1e999}}}',
        '{"config": {}, "scaling": {}, "metrics": {"rows": -Infinity}}',
    ],
    ids=lambda text: text[:30],
)
def test_documents_that_no_writer_writes_are_refused(document: str) -> None:
    try:
        digest = file._digest(json.loads(document), {})
    except (RecursionError, ValueError):
        digest = "0"
    envelope = f'{{"format": 1, "digest": "{digest}", "document": {document}}}'
    header = json.dumps({"__metadata__": {"isthmus": envelope}}).encode()
    refused(struct.pack("<Q", len(header)) + header)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "..\\x", "C:\\x", "scaling", "module", "", "\x1b[2J", "x" * 10_000],
)
def test_names_that_no_model_has_are_refused(name: str) -> None:
    for kind, opens in (
        ("basic", FittedModel.from_bytes),
        ("classifier", FittedClassifier.from_bytes),
        ("groups", GroupedModel.from_bytes),
    ):
        document, tensors = contents(kind)
        told = refused(file._packed(document, {**tensors, name: np.zeros(1)}), opens)
        assert "other than isthmus" in told


@pytest.mark.parametrize("dtype", ["bool", "complex64", "int64", "uint8", "float16", "float64"])
@pytest.mark.parametrize("kind", ["basic", "table", "detector", "classifier", "groups"])
def test_types_that_a_tensor_has_not_are_refused(kind: str, dtype: str) -> None:
    document, tensors = contents(kind)
    opens = {"classifier": FittedClassifier.from_bytes, "groups": GroupedModel.from_bytes}.get(
        kind, FittedModel.from_bytes
    )
    for name, values in tensors.items():
        if values.dtype == dtype or name == "autoencoder":
            continue
        with np.errstate(all="ignore"):
            other = values.astype(dtype)
        refused(file._packed(document, {**tensors, name: other}), opens)


# ------------------------------------------------------------------ sizes that would take gigabytes


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    document = copy.deepcopy(document)
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return document


def test_labels_of_a_type_that_takes_gigabytes_are_refused() -> None:
    for kind, opens in (("classifier", FittedClassifier.from_bytes), ("conditional", FittedModel.from_bytes)):
        document, tensors = contents(kind)
        for name in ("<U500000000", "V100000000", "a", "O0", "M8[s]", ["<U1"], None, "x" * 100_000, "f4,f4"):
            refused(file._packed(changed(document, ("classes_type",), name), tensors), opens)
        for labels in ([["a"]], "abc", {"a": 1}, ["a", "a", "b"], ["a"], list(range(100_000)), None):
            refused(file._packed(changed(document, ("classes",), labels), tensors), opens)
    found = changed(
        contents("conditional")[0], ("classes_type",), "<U20"
    )  # wider than its labels, as NumPy may have it
    classes = FittedModel.from_bytes(file._packed(found, contents("conditional")[1])).classes
    assert classes is not None
    assert classes.dtype == "<U20"


def test_a_head_larger_than_its_weights_is_not_made() -> None:
    document, tensors = contents("classifier")
    document = {**document, "classes": list(range(200_000)), "classes_type": "<i8"}
    assert "the head's weights have shape" in refused(
        file._packed(document, tensors), FittedClassifier.from_bytes
    )


def test_a_likelihood_of_columns_for_rows_without_end_is_not_made() -> None:
    document, tensors = contents()
    for size in (10**7, 10**9, 2**40):
        for path, value in (
            (("config", "model", "likelihood"), {"type": "mixed", "numbers": "squared_error"}),
            (("scaling", "schema", "sample_shape"), [size]),
        ):
            document = changed(document, path, value)
        document["scaling"]["schema"]["columns"] = None
        single = {**tensors, "scaling.shift": np.zeros(1), "scaling.scale": np.ones(1)}
        refused(file._packed(document, single))


# ------------------------------------------------------------------ one value of a document after the other


VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 3, 10**9, 10**18, 10**30, 10**400, 0.5, 1e308, float("nan"), float("inf"), -float("inf"),
    "", "auto", "os:system", "\x1b[31mred\x9b2J\u202e", "<script>alert(1)</script>", "\ud800", "x" * 100_000,
    [], {}, [10**9], [1] * 50_000, [[[]]], {"type": "os:system"}, [None],
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Generator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value[:3]):
            yield from places(inner, (*path, at))


@pytest.mark.parametrize("kind", ["basic", "transformer", "table", "detector", "classifier", "groups"])
def test_a_document_with_one_hostile_value_is_refused_or_harmless(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, tensors = contents(kind)
    random, every = np.random.default_rng(1), list(places(document))
    path, opened = tmp_path / "m.safetensors", 0
    opens = {"classifier": FittedClassifier.from_bytes, "groups": GroupedModel.from_bytes}.get(
        kind, FittedModel.from_bytes
    )
    for _ in range(200):
        where, value = every[random.integers(len(every))], VALUES[random.integers(len(VALUES))]
        data = file._packed(changed(document, where, value), tensors)
        told = ""
        with warnings.catch_warnings(), limited():
            warnings.simplefilter("error")
            try:
                made = opens(data, "m.safetensors")
                model = made if isinstance(made, FittedModel) else made.model
                path.write_bytes(model.to_bytes())
                info(str(path))
                info(str(path), json=True)
                opened += 1
            except IsthmusError as error:
                told = str(error)
        assert "\n" not in told
        assert len(told) < 1000
        assert not told or told.startswith("m.safetensors: ")
        shown = capsys.readouterr().out
        shown.encode()
        assert not [one for one in shown if one != "\n" and unicodedata.category(one) in ("Cc", "Cf", "Cs")]
    assert 5 < opened < 150


def test_words_that_are_no_text_are_neither_written_nor_read() -> None:
    document, tensors = contents()
    hostile = changed(document, ("notes",), ["half a letter: \ud800"])
    assert "no Unicode text" in refused(file._packed(hostile, tensors))
    with pytest.raises(OutputError, match="no Unicode text"):
        file.to_bytes(hostile, tensors)
    with pytest.raises(OutputError, match="more than 64 bits"):
        file.to_bytes(changed(document, ("best_epoch",), 2**64), tensors)


# ------------------------------------------------------------------ what people are shown


STEERING = "\x1b[2J\x9b31m\u202e<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def steered(tmp_path: Path) -> Path:
    document, tensors = contents("table")
    document["notes"] = [STEERING]
    document["scaling"]["notes"] = [STEERING]
    document["scaling"]["schema"]["table"][0]["name"] = STEERING
    document["metrics"]["columns"][0]["name"] = STEERING
    document["metrics"]["rows_are"] = STEERING
    path = tmp_path / "m.safetensors"
    path.write_bytes(file._packed(document, tensors))
    return path


@pytest.mark.parametrize("as_json", [False, True])
def test_names_do_not_steer_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    info(str(steered(tmp_path)), json=as_json)
    shown = capsys.readouterr().out
    assert "alert(1)" in shown
    assert not [one for one in shown if one != "\n" and unicodedata.category(one) in ("Cc", "Cf", "Cs")]
    if as_json:
        assert json.loads(shown)["notes"] == [STEERING]


def test_names_are_no_part_of_a_page(tmp_path: Path) -> None:
    import pyarrow as pa

    from isthmus.evaluation.evaluate import report_data
    from isthmus.evaluation.report import render_report
    from isthmus.sources import TableSource

    model = open_model(steered(tmp_path))
    schema = model.scaling.schema
    assert schema.table is not None
    columns: dict[str, Any] = {}
    for column in schema.table:
        if column.categories:
            columns[column.name] = pa.array([column.categories[row % 2] for row in range(20)])
        elif column.type == "date":
            columns[column.name] = pa.array(
                [1_700_000_000 + 86_400 * row for row in range(20)], pa.timestamp("s")
            )
        else:
            columns[column.name] = pa.array([float(row % 5) for row in range(20)])
    rows = TableSource(pa.table(columns), schema=schema)
    page = render_report(report_data(model, rows, title=STEERING, rows_are=STEERING))
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    io.BytesIO(page.encode())
