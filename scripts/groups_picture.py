"""Draw the picture of docs/recipes/groups.md: ten groups of digits found without labels.

python scripts/groups_picture.py docs/images/groups.png    (on the 8,000 digits that come along: a minute or two)
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure

from isthmus import Autoencoder, AutoencoderClusterer
from isthmus.exploration.groups import agreement, examples
from isthmus.sources import bundled

N_CENTRE, N_EDGE = 8, 4


def main(target: str) -> None:
    """Fit on the bundled digits, group their codes, and draw each group on a line."""
    source = bundled("mnist-train")
    pictures, labels = source.read(slice(0, len(source))), source.labels
    autoencoder = Autoencoder(10, hidden_sizes=(500, 250), max_epochs=15, random_state=0, threads=1)
    model = AutoencoderClusterer(10, autoencoder, random_state=0).fit(pictures)
    found = agreement(model.labels_, labels)
    print({name: round(value, 3) for name, value in found.to_dict().items()}, flush=True)
    shown = examples(model.groups_, model.transform(pictures), max(N_CENTRE, N_EDGE))
    columns = 1 + N_CENTRE + N_EDGE
    figure = Figure(figsize=(7.6, 5.4))
    widths = [1.0, 0.35, *[1.0] * N_CENTRE, 0.35, *[1.0] * N_EDGE]
    grid = figure.subplots(
        10, columns + 2, gridspec_kw={"width_ratios": widths, "wspace": 0.08, "hspace": 0.08}
    )
    figure.subplots_adjust(left=0.16, right=0.99, top=0.94, bottom=0.01)
    for axes in grid.flat:
        axes.axis("off")
    for place, title in ((0, "centre"), (2, "nearest to it"), (3 + N_CENTRE, "at the edge")):
        grid[0, place].set_title(title, fontsize=9, loc="left")
    for group in range(10):
        members = labels[model.labels_ == group]
        digit, n = max(zip(*np.unique(members, return_counts=True), strict=True), key=lambda pair: pair[1])
        grid[group, 0].text(
            -0.25, 0.5, f"{len(members)} rows,\n{n / len(members):.0%} are {digit}", fontsize=8,
            ha="right", va="center", transform=grid[group, 0].transAxes,
        )  # fmt: skip
        sheet = [
            model.cluster_centers_[group].reshape(28, 28), None, *pictures[shown.centre[group][:N_CENTRE]],
            None, *pictures[shown.edge[group][:N_EDGE]],
        ]  # fmt: skip
        for axes, picture in zip(grid[group], sheet, strict=False):
            if picture is not None:
                axes.imshow(picture.reshape(28, 28), cmap="gray_r", vmin=0, vmax=255)
    figure.savefig(target, dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1])
