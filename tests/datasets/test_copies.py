"""Exact copies between parts that were cut at random are told."""

import numpy as np
import torch

from asnn.datasets import Split, load_dataset
from asnn.datasets.copies import copies_between, digests


def test_copies_of_training_samples_are_counted():
    images = torch.arange(6 * 4, dtype=torch.uint8).reshape(6, 1, 2, 2)
    labels = torch.zeros(6, dtype=torch.int64)
    train = Split(images, labels)
    test = Split(torch.cat([images[:2], images[:1] + 100]), labels[:3])
    assert copies_between(train, Split(images[:1] + 50, labels[:1]), test) == [
        "2 of 3 test samples are exact copies of training samples"
    ]
    assert len(set(digests(images))) == 6


def test_a_set_that_is_cut_tells_copies_and_limits(tmp_path):
    """Every image is there ten times, so that each part has copies; with a test part, none is cut
    at random, and nothing is told."""
    images = np.arange(20 * 4, dtype=np.uint8).reshape(20, 2, 2).repeat(10, 0)
    labels = np.arange(20).repeat(10) % 2
    path = tmp_path / "a.npz"
    np.savez(path, x=images, y=labels)
    notes = load_dataset("npz", path=str(path), limit=50).notes
    assert notes[0] == "reads x as x_train, y as y_train"
    assert "of 40 test samples are exact copies of training samples" in notes[2]
    assert notes[3] == (
        "data.limit: 50 of 144 training samples; validation and test are not limited"
    )
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert load_dataset("npz", path=str(path)).notes == []
