"""Archives that name a model which another one carries: smaller by it, and read with that one alone."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import isthmus
from isthmus.codec.apart import Named
from isthmus.codec.container import Archive, ArchiveWriter
from isthmus.errors import ArtifactError, IsthmusError, OutputError, ParameterError
from isthmus.workflows.archive_coders import CODERS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import golden_archives

CHAIN = golden_archives.PLACE / "chain.isth"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Data such as those of the golden archive, but others."""
    path = tmp_path / "more.csv"
    path.write_text(golden_archives.columns(400, seed=5), newline="\n")
    return path


@pytest.fixture
def named(source: Path) -> Path:
    """Their archive, which names the golden one's model."""
    path = source.with_name("more.isth")
    isthmus.compress(source, path, model=CHAIN, apart=True)
    return path


def section(path: Path) -> bytes:
    with Archive(path) as archive:
        return archive.section("model")


def test_one_that_names_its_model_is_smaller_by_it_and_comes_back(source: Path, tmp_path: Path) -> None:
    own = isthmus.compress(source, tmp_path / "own.isth", model=CHAIN)
    done = isthmus.compress(source, tmp_path / "named.isth", model=CHAIN, apart=True)
    assert done.codecs == own.codecs == {"chain": 1}
    assert (done.n_bytes_of_model, done.n_bytes_apart) == (0, len(section(CHAIN)))
    assert own.n_bytes_apart == 0
    assert 0 < done.n_bytes - (own.n_bytes - own.n_bytes_of_model) < 80  # what names the model
    for model in (CHAIN, tmp_path / "own.isth"):  # whichever carries it
        isthmus.decompress(done.path, tmp_path / "back.csv", model=model, force=True, processes=2)
        assert (tmp_path / "back.csv").read_bytes() == source.read_bytes()
    with isthmus.open_archive(done.path, model=CHAIN) as rows:
        assert len(rows) == 400
        assert rows[390:].num_rows == 10


def test_the_name_is_that_of_the_page(named: Path) -> None:
    import hashlib

    with Archive(named) as archive:
        assert archive.sections == ()
        assert archive.header["model"] == {
            "digest": hashlib.sha256(section(CHAIN)).hexdigest()[:32],
            "bytes": len(section(CHAIN)),
        }


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (None, "is read with a model that another archive carries, got none"),
        ("itself", "which names one and carries none"),
        ("floats", "which has none"),
        ("latent-table", "whose model has "),
        ("missing", "cannot be read"),
    ],
)
def test_it_is_not_read_without_its_model(named: Path, tmp_path: Path, model: str | None, told: str) -> None:
    places = {None: None, "itself": named, "missing": tmp_path / "missing.isth"}
    with pytest.raises(IsthmusError, match=told) as error:
        isthmus.open_archive(named, model=places.get(model, golden_archives.PLACE / f"{model}.isth"))
    if model != "missing":
        assert Named.of(section(CHAIN)).digest in str(error.value)
    assert "\n" not in str(error.value)
    out = tmp_path / "out.csv"
    with pytest.raises(IsthmusError, match=told):
        isthmus.decompress(named, out, model=places.get(model, golden_archives.PLACE / f"{model}.isth"))
    assert not out.exists()


@pytest.mark.parametrize("name", ["chain", "floats"])
def test_no_model_is_taken_that_is_not_needed(name: str) -> None:
    with pytest.raises(ParameterError, match="has all that it is read with"):
        isthmus.open_archive(golden_archives.PLACE / f"{name}.isth", model=CHAIN)


def test_a_little_damage_of_the_other_is_mended_and_more_is_told(named: Path, tmp_path: Path) -> None:
    data, other = bytearray(CHAIN.read_bytes()), tmp_path / "other.isth"
    at = bytes(data).index(section(CHAIN)) + 1000
    data[at] ^= 1
    other.write_bytes(data)
    with isthmus.open_archive(named, model=other) as rows:
        assert rows[:].num_rows == 400
    data[at + 5000] ^= 1
    other.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"^\S*other\.isth: its section 'model' is damaged"):
        isthmus.open_archive(named, model=other)


def test_an_archive_of_another_program_that_lies_is_refused(named: Path, tmp_path: Path) -> None:
    with Archive(named) as archive:
        header, payload = archive.header, archive.read(0)
    digest = header["model"]["digest"]
    for words in ("x", None, {}, {"digest": digest}, {"digest": digest.upper(), "bytes": 3},
                  {"digest": digest[1:], "bytes": 3}, {"digest": digest, "bytes": -1}):  # fmt: skip
        with ArchiveWriter(tmp_path / "odd.isth", {**header, "model": words}, overwrite=True) as writer:
            writer.add("chain", 400, payload)
            writer.close({})
        with pytest.raises(ArtifactError, match=r"odd\.isth: expected the digest of a model"):
            isthmus.open_archive(tmp_path / "odd.isth", model=CHAIN)


def test_what_cannot_name_a_model_says_why(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.isth"
    with pytest.raises(ParameterError, match="expected --model ARCHIVE"):
        isthmus.compress(source, out, apart=True)
    with pytest.raises(ParameterError, match=r"expected --model ARCHIVE.* got \S*more\.csv"):
        isthmus.compress(source, out, model=source, apart=True)
    with pytest.raises(ParameterError, match="stands against --preview"):
        isthmus.compress(source, out, model=CHAIN, apart=True, preview=True)
    assert not out.exists()


def test_one_that_names_a_model_gives_none(named: Path, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="an archive that carries its model"):
        isthmus.compress(source, tmp_path / "out.isth", model=named)


def test_the_archive_that_carries_the_model_is_not_replaced(source: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.isth"
    shutil.copy(CHAIN, own)
    with pytest.raises(OutputError, match="carries the model"):
        isthmus.compress(source, own, model=own, apart=True, force=True)
    assert own.read_bytes() == CHAIN.read_bytes()


def test_people_are_told_where_the_model_does_not_pay(source: Path, tmp_path: Path) -> None:
    source.write_text(golden_archives.columns(40, seed=5), newline="\n")
    done = isthmus.compress(source, tmp_path / "own.isth", model=CHAIN)
    (note,) = done.notes
    plain = isthmus.compress(source, tmp_path / "plain.isth", fits=False).n_bytes
    told = int(note.split("about ")[1].split(":")[0].replace(",", ""))
    assert told == pytest.approx(plain, rel=0.06)  # heads of frames are not counted
    source.write_text("x,y\n" + "".join(f"{row},{-row}\n" for row in range(50)), newline="\n")
    with pytest.raises(ParameterError, match="expected data such as those of"):
        isthmus.compress(source, tmp_path / "other.isth", model=CHAIN, apart=True)


def test_all_codecs_but_previews_may_be_shared() -> None:
    assert set(CODERS) == {"bits-back", "latent-table", "chain", "context", "columns", "preview"}


@pytest.mark.parametrize("name", ["bits-back-levels", "context-channels", "latent-table", "columns"])
def test_a_model_of_any_codec_is_shared(name: str, tmp_path: Path) -> None:
    carrier = golden_archives.PLACE / f"{name}.isth"
    source = golden_archives.read(carrier, tmp_path)
    done = isthmus.compress(source, tmp_path / "named.isth", model=carrier, apart=True)
    assert done.n_bytes_apart
    assert set(done.codecs) == {name if "-" not in name or name == "latent-table" else name.rsplit("-", 1)[0]}
    isthmus.decompress(done.path, back := tmp_path / f"back{source.suffix}", model=carrier)
    assert golden_archives.held(back) == golden_archives.held(source)
