"""Masks of exactly the wanted size, against sorting."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from isthmus.numerics.selection import largest_of_all, largest_of_each_column, largest_of_each_row

torch.set_num_threads(1)


@given(st.data())
def test_so_many_and_none_of_the_others_is_larger(data: st.DataObject) -> None:
    rows, n = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    numbers = st.lists(st.integers(-2, 2), min_size=rows * n, max_size=rows * n)
    a = torch.tensor(data.draw(numbers)).double().reshape(rows, n)
    k = data.draw(st.integers(1, n))
    for group, mask in zip(a, largest_of_each_row(a, k), strict=True):
        assert mask.sum() == k
        assert (group[mask].min() >= group[~mask]).all()
    k = data.draw(st.integers(1, rows))
    for group, mask in zip(a.T, largest_of_each_column(a, k).T, strict=True):
        assert mask.sum() == k
        assert (group[mask].min() >= group[~mask]).all()
    k = data.draw(st.integers(1, rows * n))
    mask = largest_of_all(a, k)
    assert mask.sum() == k
    assert (a[mask].min() >= a[~mask]).all()
