"""Notes of sixteen instruments through sixteen numbers, and the walk from a violin to a flute."""

from __future__ import annotations

import wave
from typing import Any

import numpy as np
import soundfile
from harness import Experiment, Finding, Lab, Outcome, start, train
from matplotlib import pyplot as plt
from scipy.signal import resample

from isthmus.exploration.interpolation import path_between
from isthmus.inference import Inference
from isthmus.sources import ArraySource

EXPERIMENT = Experiment(
    name="notes",
    title="Sequences: notes through sixteen numbers, and the walk between two",
    claim="A convolutional autoencoder over time rebuilds notes that it has not heard better than PCA does from as "
    "many numbers, and what lies between two of its codes is a note too.",
    minutes=8,
    data="audio",
)
RATE, WINDOW, HOP, FRAMES = 16_000, 1024, 256, 48
N_SAMPLES = WINDOW + (FRAMES - 1) * HOP
FLOOR_DB, UNIT_DB = -80.0, 20.0
"""Decibels below the loudest place of the note that count as silence, and decibels in a model unit."""
CODE_SIZE, STEPS = 16, 9
HELD_OUT = (46, 58, 70)
"""Pitches, as MIDI numbers, that no training note of any instrument has as it was recorded."""
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


def sound_of(picture: np.ndarray, rounds: int = 60) -> np.ndarray:
    """A sound of this loudness, its phases found by going to and fro (Griffin and Lim 1984)."""
    decibels = np.clip(picture, 0, None) * UNIT_DB + FLOOR_DB
    loud = np.where(decibels > FLOOR_DB, 10 ** (decibels / 20), 0.0)
    spectrum = loud * np.exp(2j * np.pi * np.random.default_rng(0).random(loud.shape))
    weight = np.zeros(N_SAMPLES)
    for place in range(FRAMES):
        weight[place * HOP : place * HOP + WINDOW] += HANN**2
    for _ in range(rounds):
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


def measured(lab: Lab) -> dict[str, Any]:
    found = sounds(lab)
    names, recorded = list(found), list(found.values())
    training = [i for i, (_, pitch) in enumerate(names) if pitch not in HELD_OUT]
    test = np.stack([picture_of(recorded[i][:N_SAMPLES]) for i in range(len(names)) if i not in training])
    plain = np.stack([picture_of(recorded[i][:N_SAMPLES]) for i in training])
    shifts = lab.pick(SHIFTS, (0, 1))
    x = np.stack([picture_of(shifted(recorded[i], semitones)) for i in training for semitones in shifts])
    coders = {
        "autoencoder": Learnt(lab.model("conv1d", lambda: fitted(lab, x))),
        "PCA": Linear(x),
        "PCA, notes as recorded": Linear(plain),
    }
    result: dict[str, Any] = {
        "test rows": len(test),
        "rows": len(x),
        "errors": {name: decibels(coder, test) for name, coder in coders.items()},
        "training errors": {name: decibels(coder, x) for name, coder in coders.items()},
        "walks": {},
        "pitches": {},
    }
    for name in ("autoencoder", "PCA"):
        result["pitches"][name] = []
        for pitch in HELD_OUT:
            ends = np.stack([picture_of(found[instrument, pitch][:N_SAMPLES]) for instrument in WALK])
            walk = walked(coders[name], ends)
            heard = [sound_of(one) for one in walk]
            result["pitches"][name].append([round(pitch_of(one), 2) for one in heard])
            if pitch == HELD_OUT[1]:
                result["walks"][name] = np.round(walk[::2, :, : WINDOW // 4], 2).tolist()
                result["ends"] = np.round(ends[:, :, : WINDOW // 4], 2).tolist()
                originals = [found[instrument, pitch][:N_SAMPLES] for instrument in WALK]
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


def kept(pitches: list[list[float]]) -> str:
    """How many of the walks' steps have the pitch of both ends, within half a semitone."""
    right = [abs(one - pitch) < 0.5 for pitch, walk in zip(HELD_OUT, pitches, strict=True) for one in walk]
    return f"{sum(right)} of {len(right)}"


def run(lab: Lab) -> Outcome:
    found = lab.once("notes", lambda: measured(lab))
    ours, pca = (found["errors"][name] for name in ("autoencoder", "PCA"))
    lab.figure(drawn(found))
    return Outcome(
        [
            Finding(
                f"error of loudness on {found['test rows']} held-out notes, code {CODE_SIZE} (dB, root mean square)",
                f"{ours:.2f}",
                f"PCA {pca:.2f}; PCA of the notes as recorded {found['errors']['PCA, notes as recorded']:.2f}",
                "aim: below PCA",
                None if lab.quick else ours < pca,
            ),
            Finding(
                f"the same on the {found['rows']:,} training rows",
                f"{found['training errors']['autoencoder']:.2f}",
                f"PCA {found['training errors']['PCA']:.2f}",
            ),
            Finding(
                f"steps from {WALK[0]} to {WALK[1]} that keep the pitch of both, at three held-out pitches",
                kept(found["pitches"]["autoencoder"]),
                f"PCA {kept(found['pitches']['PCA'])}",
            ),
        ],
        "Loudness in decibels at 48 moments and 513 frequencies, 80 dB deep. Pitches 46, 58 and 70 are held out of "
        "all sixteen instruments. Training notes are shifted in pitch by up to three semitones, which lets other "
        "notes of an instrument come down or up to the held-out pitches; PCA is fitted to the same rows. The walks "
        "can be heard in `lab/results/notes_autoencoder.wav` and `notes_pca.wav`: the violin, nine steps, the flute.",
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
