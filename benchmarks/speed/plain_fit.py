"""The script that anybody writes instead of ``isthmus fit``: ``python plain_fit.py ROWS.npy MODEL.pt``.

The same layers, batches, epochs and fused optimiser as ``isthmus fit`` takes of itself for 1,797 digits.
"""

import itertools
import json
import sys

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)  # faster than two here
torch.manual_seed(0)
rows = torch.from_numpy(np.load(sys.argv[1]).astype(np.float32)) / 16
rows = rows[torch.randperm(len(rows))]
held_out, rows = rows[:179], rows[179:]
widths = (64, 256, 128, 8, 128, 256, 64)
layers = []
for n_in, n_out in itertools.pairwise(widths):
    layers += [nn.Linear(n_in, n_out)] + ([nn.SiLU()] if n_out not in (8, 64) else [])
model = nn.Sequential(*layers)
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
for _ in range(40):
    for batch in torch.randperm(len(rows)).split(32):
        optimiser.zero_grad()
        x = rows[batch]
        loss = (model(x) - x).square().sum(dim=1).mean()
        loss.backward()
        optimiser.step()
torch.save(model.state_dict(), sys.argv[2])
with torch.no_grad():
    error = (model(held_out) - held_out).square().sum(dim=1).mean().item()
centred = held_out - rows.mean(dim=0)
axes = torch.linalg.svd(rows - rows.mean(dim=0), full_matrices=False).Vh[:8]
pca = (centred - centred @ axes.T @ axes).square().sum(dim=1).mean().item()
print(json.dumps({"error": error, "pca": pca}))
