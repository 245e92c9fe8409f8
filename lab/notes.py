"""Notes of sixteen instruments through sixteen numbers, and the walk from a violin to a flute."""

from __future__ import annotations

import wave
from typing import Any

import numpy as np
import soundfile
from harness import Experiment, Finding, Lab, Outcome, start, train
from matplotlib import pyplot as plt
from scipy.signal import resample

from isthmus.evaluation.sound import spectral_distance
from isthmus.exploration.interpolation import path_between
from isthmus.inference import Inference
from isthmus.sources import ArraySource

EXPERIMENT = Experiment(
    name="notes",
    title="Sequences: notes through sixteen numbers, and the walk between two",
    claim="A convolutional autoencoder over time rebuilds notes that it has not heard better than PCA does from as "
    "many numbers, and what lies between two of its codes is a note too.",
    minutes=10,
    data="audio",
)
RATE, WINDOW, HOP, FRAMES = 16_000, 1024, 256, 48
N_SAMPLES = WINDOW + (FRAMES - 1) * HOP
FLOOR_DB, UNIT_DB = -80.0, 20.0
"""Decibels below the loudest place of the note that count as silence, and decibels in a model unit."""
CODE_SIZE, STEPS, ENOUGH_STEPS = 16, 9, 7
HELD_OUT = (46, 58, 70)
"""Pitches, as MIDI numbers, that no training note of any instrument has as it was recorded."""
WAYS = {
    "pitches": "three pitches of all instruments",
    "pairs": "three pitches of each instrument, others of each",
}
"""What is held out."""
SHIFTS = (-3, -2, -1, 0, 1, 2, 3)
WALK = ("violin", "flute")
HANN = np.hanning(WINDOW + 1)[:-1]


def sounds(lab: Lab) -> dict[tuple[str, int], np.ndarray]:
    """Notes by instrument and pitch; in the short form made of harmonics."""
    if lab.quick:
        time = np.arange(RATE) / RATE
        fall = {"violin": 1.0, "flute": 2.5}
        return {
            (name, pitch): sum(
                np.sin(2 * np.pi * n * hertz(pitch) * time) / n**steep for n in range(1, 6)
            ) * np.exp(-time)
            for name, steep in fall.items()
            for pitch in range(40, 79, 3)
        }  # fmt: skip
    if lab.folder is None:
        raise SystemExit("notes: it needs a folder of notes; give --data FOLDER.")
    found = {}
    for path in sorted(lab.folder.rglob("*.flac")):
        name, pitch = path.stem.rsplit("_", 1)
        found[name, int(pitch)] = soundfile.read(path, dtype="float32")[0]
    return found


def hertz(pitch: float) -> float:
    return 440 * 2 ** ((pitch - 69) / 12)


def shifted(sound: np.ndarray, semitones: int) -> np.ndarray:
    """The note played faster or slower, so that it is higher or lower, ``(N_SAMPLES,)``."""
    n = round(len(sound) / 2 ** (semitones / 12))
    return (sound if semitones == 0 else resample(sound, n))[:N_SAMPLES]


def frames(sound: np.ndarray) -> np.ndarray:
    """Complex spectrum of each window, ``(FRAMES, WINDOW / 2 + 1)``."""
    windows = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    return np.fft.rfft(HANN * windows)


def picture_of(sound: np.ndarray) -> np.ndarray:
    """Loudness in units of 20 dB above silence, the loudest place at 4, ``(FRAMES, bins)``."""
    loud = np.abs(frames(sound))
    decibels = 20 * np.log10(np.maximum(loud / loud.max(), 1e-9))
    return ((np.maximum(decibels, FLOOR_DB) - FLOOR_DB) / UNIT_DB).astype(np.float32)


def sound_of(lab: Lab, picture: np.ndarray) -> np.ndarray:
    """A sound of this loudness, its phases found by going to and fro (Griffin and Lim 1984)."""
    decibels = np.clip(picture, 0, -FLOOR_DB / UNIT_DB) * UNIT_DB + FLOOR_DB
    loud = np.where(decibels > FLOOR_DB, 10 ** (decibels / 20), 0.0)
    spectrum = loud * np.exp(2j * np.pi * np.random.default_rng(0).random(loud.shape))
    weight = np.zeros(N_SAMPLES)
    for place in range(FRAMES):
        weight[place * HOP : place * HOP + WINDOW] += HANN**2
    for _ in range(lab.pick(60, 2)):
        sound = np.zeros(N_SAMPLES)
        for place, part in enumerate(np.fft.irfft(spectrum, WINDOW) * HANN):
            sound[place * HOP : place * HOP + WINDOW] += part
        sound /= np.maximum(weight, 1e-3)
        spectrum = loud * np.exp(1j * np.angle(frames(sound)))
    return sound / max(np.abs(sound).max(), 1e-9)


def pitch_of(sound: np.ndarray) -> float:
    """MIDI number of the period after which a sound is most like itself."""
    power = np.abs(np.fft.rfft(sound, 2 * len(sound))) ** 2
    likeness = np.fft.irfft(power)[: RATE // 60] / np.arange(len(sound), len(sound) - RATE // 60, -1)
    first = int(np.argmax(likeness < 0)) or 1
    inner = likeness[1:-1]
    peaks = 1 + np.flatnonzero((inner > likeness[:-2]) & (inner >= likeness[2:]))
    peaks = peaks[peaks >= first]
    if len(peaks) == 0:
        return float("nan")
    lag = peaks[np.argmax(likeness[peaks] > 0.9 * likeness[peaks].max())]
    below, at, above = likeness[lag - 1 : lag + 2]
    period = lag + 0.5 * (below - above) / (below - 2 * at + above)
    return float(69 + 12 * np.log2(RATE / period / 440))


def fitted(lab: Lab, x: np.ndarray) -> Inference:
    return train(
        ArraySource(x, row_kind="sequences"),
        {
            "code_size": CODE_SIZE,
            "network": {
                "type": "conv1d",
                "channels": lab.pick([256, 256], [8]),
                "kernel_size": 4,
                "stride": 2,
            },
            "code": {"type": "deterministic", "noise": 0.05},
            "likelihood": "squared_error",
        },
        {"epochs": lab.pick(150, 1), "batch_size": 32, "learning_rate": 2e-3, "weight_decay": 0.01},
    )


class Linear:
    """PCA of as many numbers, fitted to the same rows."""

    def __init__(self, x: np.ndarray) -> None:
        flat = x.reshape(len(x), -1)
        self.mean = flat.mean(axis=0)
        centred = flat - self.mean
        values, vectors = np.linalg.eigh(centred @ centred.T)
        chosen = vectors[:, -CODE_SIZE:] / np.sqrt(values[-CODE_SIZE:])
        self.axes = chosen.T @ centred

    def encode(self, x: np.ndarray) -> np.ndarray:
        return (x.reshape(len(x), -1) - self.mean) @ self.axes.T

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return (self.mean + codes @ self.axes).reshape(len(codes), FRAMES, -1)


class Learnt:
    """The autoencoder, in and out as :class:`Linear`."""

    def __init__(self, inference: Inference) -> None:
        self.inference = inference

    def encode(self, x: np.ndarray) -> np.ndarray:
        return self.inference.encode(ArraySource(x, row_kind="sequences"))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.asarray(self.inference.decode(codes))


def decibels(coder: Linear | Learnt, x: np.ndarray) -> float:
    """Root mean squared error of loudness."""
    return float(UNIT_DB * np.sqrt(np.square(coder.decode(coder.encode(x)) - x).mean()))


def walked(coder: Linear | Learnt, ends: np.ndarray) -> np.ndarray:
    """Pictures of the codes from the first note's to the second's, ``(STEPS, FRAMES, bins)``."""
    return coder.decode(path_between(*coder.encode(ends), STEPS).astype(np.float32))


def distance(lab: Lab, pictures: np.ndarray, recorded: list[np.ndarray]) -> float:
    """Mean multi-resolution spectral distance of the pictures' sounds to the notes, at equal energy.

    How loud a note is as a whole is no part of its picture.
    """
    found = []
    for picture, note in zip(pictures, recorded, strict=True):
        sound = sound_of(lab, picture)
        sound *= np.sqrt(np.square(note).sum() / np.square(sound).sum())
        found.append(spectral_distance(note, sound))
    return float(np.mean(found))


def held_out(way: str, names: list[tuple[str, int]]) -> list[bool]:
    """Which notes are held out, by :data:`WAYS`."""
    if way == "pitches":
        return [pitch in HELD_OUT for _, pitch in names]
    instruments, pitches = (sorted(set(several)) for several in zip(*names, strict=True))
    places = [instruments.index(name) + pitches.index(pitch) for name, pitch in names]
    return [place % len(pitches) in (1, 5, 9) for place in places]


def measured(lab: Lab, way: str) -> dict[str, Any]:
    """Errors on held-out notes, and the walks between two instruments at every pitch."""
    found = sounds(lab)
    apart = held_out(way, list(found))
    recorded = [note / np.abs(note).max() for note in found.values()]
    notes, training = (
        [note for note, is_apart in zip(recorded, apart, strict=True) if is_apart == which]
        for which in (True, False)
    )
    notes = [note[:N_SAMPLES] for note in notes]
    test = np.stack([picture_of(note) for note in notes])
    plain = np.stack([picture_of(note[:N_SAMPLES]) for note in training])
    shifts = lab.pick(SHIFTS, (0, 1))
    x = np.stack([picture_of(shifted(note, semitones)) for note in training for semitones in shifts])
    coders = {
        "autoencoder": Learnt(lab.model(f"conv1d, {way}", lambda: fitted(lab, x))),
        "PCA": Linear(x),
        "PCA, notes as recorded": Linear(plain),
    }
    result: dict[str, Any] = {
        "test rows": len(test),
        "rows": len(x),
        "errors": {name: decibels(coder, test) for name, coder in coders.items()},
        "training errors": {name: decibels(coder, x) for name, coder in coders.items()},
        "distances": {
            name: distance(lab, coder.decode(coder.encode(test)), notes) for name, coder in coders.items()
        },
        "phases alone": distance(lab, test, notes),
        "walks": {},
        "pitches": {},
    }
    for name in ("autoencoder", "PCA"):
        result["pitches"][name] = {}
        for pitch in sorted({pitch for _, pitch in found}):
            originals = [found[instrument, pitch][:N_SAMPLES] for instrument in WALK]
            ends = np.stack([picture_of(note) for note in originals])
            walk = walked(coders[name], ends)
            heard = [sound_of(lab, one) for one in walk]
            result["pitches"][name][str(pitch)] = [round(pitch_of(one), 2) for one in heard]
            if way == "pitches" and pitch == HELD_OUT[1]:
                result["walks"][name] = np.round(walk[::2, :, : WINDOW // 4], 2).tolist()
                result["ends"] = np.round(ends[:, :, : WINDOW // 4], 2).tolist()
                write(lab, f"notes_{name.lower()}", [originals[0], *heard, originals[1]])
    return result


def write(lab: Lab, name: str, several: list[np.ndarray]) -> None:
    """Sounds one after the other, as a WAV file beside the results."""
    fade = np.minimum(1, np.arange(N_SAMPLES)[::-1] / (0.05 * RATE))
    joined = np.concatenate([0.7 * fade * one / np.abs(one).max() for one in several])
    with wave.open(str(lab.results / f"{name}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((joined * 32767).astype("<i2").tobytes())


def kept(walks: dict[str, list[float]]) -> int:
    """Pitches at which 7 of a walk's 9 steps have the pitch of both ends, within 30 cents."""
    return sum(
        sum(abs(one - int(pitch)) < 0.3 for one in steps) >= ENOUGH_STEPS for pitch, steps in walks.items()
    )


def run(lab: Lab) -> Outcome:
    found = {way: lab.once(way, lambda way=way: measured(lab, way)) for way in WAYS}
    lab.figure(drawn(found["pitches"]))
    findings = []
    for way, title in WAYS.items():
        one = found[way]
        ours, pca, plain = (one["errors"][name] for name in ("autoencoder", "PCA", "PCA, notes as recorded"))
        findings.append(
            Finding(
                f"error of loudness on {one['test rows']} held-out notes, {title} (dB, root mean square)",
                f"{ours:.2f}",
                f"PCA {pca:.2f}; PCA of the notes as recorded {plain:.2f}; training rows: "
                f"{one['training errors']['autoencoder']:.2f}, PCA {one['training errors']['PCA']:.2f}",
                "aim: below PCA",
                None if lab.quick else ours < pca,
            )
        )
        ours, pca, plain = (
            one["distances"][name] for name in ("autoencoder", "PCA", "PCA, notes as recorded")
        )
        findings.append(
            Finding(
                "the same, multi-resolution spectral distance of the sounds",
                f"{ours:.2f}, {ours / plain:.2f} of PCA's of the notes as recorded",
                f"PCA {pca:.2f}; PCA of the notes as recorded {plain:.2f}; new phases alone {one['phases alone']:.2f}",
                "0.75 of PCA's of the notes as recorded",
                None if lab.quick else ours <= 0.75 * plain,
            )
        )
        ours, pca = (kept(one["pitches"][name]) for name in ("autoencoder", "PCA"))
        n = len(one["pitches"]["PCA"])
        findings.append(
            Finding(
                f"pitches at which the walk from {WALK[0]} to {WALK[1]} keeps its pitch (7 of 9 steps within 30 cents)",
                f"{ours} of {n}",
                f"PCA {pca} of {n}",
                "10",
                None if lab.quick else ours >= 10,
            )
        )
    return Outcome(findings, TEXT)


TEXT = (
    "Loudness in decibels at 48 moments and 513 frequencies, 80 dB deep, code 16. Held out are pitches 46, 58 and 70 "
    "of all sixteen instruments, or three of each instrument's thirteen, so that other instruments have them. Training "
    "notes are shifted in pitch by up to three semitones, which lets other notes of an instrument come down or up to "
    "the held-out pitches; one PCA is fitted to the same rows, one to the notes as recorded. Sounds get their phases "
    "by 60 rounds of Griffin and Lim and are compared at equal energy. The walks (pitch 58, held out) can be heard in "
    "`lab/results/notes_autoencoder.wav` and `notes_pca.wav`: the violin, nine steps, the flute."
)


def drawn(found: dict[str, Any]) -> plt.Figure:
    """The two notes, and every second step between them, of the autoencoder and of PCA."""
    walks = {f"{name}\n{found['errors'][name]:.1f} dB": walk for name, walk in found["walks"].items()}
    first, last = found["ends"]
    titles = [WALK[0], "its code's", *[f"{share} %" for share in (25, 50, 75)], "its code's", WALK[1]]
    figure, axes = plt.subplots(len(walks), len(titles), figsize=(10, 4.2), sharex=True, sharey=True)
    for line, (name, walk) in zip(axes, walks.items(), strict=True):
        for axis, picture in zip(line, [first, *walk, last], strict=True):
            axis.imshow(
                np.transpose(picture), origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=4,
                extent=(0, N_SAMPLES / RATE, 0, RATE / 4 / 1000),
            )  # fmt: skip
        line[0].set_ylabel(f"{name}\n\nkHz", fontsize=8)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("s", fontsize=8)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    start(EXPERIMENT, run)
