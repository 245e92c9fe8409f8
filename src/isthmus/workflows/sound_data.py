"""What a model of sound keeps of how its files were read, so that others are read alike."""

from __future__ import annotations

from dataclasses import replace

from isthmus.config import Config
from isthmus.config.parts.networks import Conv1d, Conv2d
from isthmus.errors import ParameterError
from isthmus.schema import Schema


def settled_sound(config: Config, schema: Schema) -> Config:
    """The config with every option of sounds explicit, as the rows were made.

    The kind ``convolutional``, which is meant for pictures as it stands, gets ``conv1d`` of sequences, sounds among
    them.

    Raises
    ------
    ParameterError
        Options of sounds for rows that are none.
    """
    audio, asked = schema.audio, config.data.sound_options()
    is_as_it_stands = config.model.kind == "convolutional" and config.model.network == Conv2d()
    if schema.kind == "sequences" and is_as_it_stands:
        config = replace(config, model=config.model.replace(network=Conv1d()))
    if audio is None:
        if asked:
            name, value = next(iter(asked.items()))
            raise ParameterError(
                f"data.{name}: expected files of sound to go with, got {value!r} for {schema.describe()}; leave it out."
            )
        return config
    explicit = {
        "sound_rate": audio.rate,
        "channels": "mono" if audio.channels == 1 and config.data.channels != "all" else "all",
        "window_seconds": audio.window / audio.rate,
        "hop_seconds": audio.hop / audio.rate,
        "representation": audio.representation,
    }
    if audio.representation == "spectrogram":
        explicit |= {"fft_size": audio.fft_size, "fft_hop": audio.fft_hop, "floor_db": audio.floor_db}
    return config.with_data(**explicit)
