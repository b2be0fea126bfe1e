"""The built-in images: real, parted before anything is composed, the same on every machine."""

import hashlib

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the digits come with scikit-learn, of the extra torch")

from dovetail.accuracy import digits

PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def cluttered():
    return digits.cluttered_digits()


def test_parts_share_no_scan_and_miss_none():
    _, labels = digits._scans()
    parts = digits._parts(labels)
    assert [len(parts[part]) for part in PARTS] == [1122, 225, 450]
    assert sorted(np.concatenate(list(parts.values()))) == list(range(1797))


def test_every_part_has_every_digit_in_like_number():
    for images, labels in digits.digits().values():
        assert images.shape[1:] == (1, 8, 8)
        counts = np.bincount(labels, minlength=10)
        assert counts.max() - counts.min() <= 0.1 * counts.mean()


def test_plain_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    theirs = {scan.tobytes() for scan in np.round(load_digits().images * 255 / 16).astype(np.uint8)}
    assert all(image.tobytes() in theirs for images, _ in digits.digits().values() for image in images)


def test_sizes(cluttered):
    assert {part: images.shape for part, (images, _) in cluttered.items()} == {
        "train": (3366, 1, 32, 32),
        "validation": (900, 1, 32, 32),
        "test": (1800, 1, 32, 32),
    }
    assert all(images.dtype == np.uint8 and len(images) == len(labels) for images, labels in cluttered.values())


def test_pixels_are_the_same_on_every_machine(cluttered):
    digest = hashlib.sha256(b"".join(cluttered[part][0].tobytes() for part in PARTS)).hexdigest()
    assert digest == "6d4cacf94ccf0101815de2c412bee3630d5f1d6a1df836d2c17f4bc6a61c18f4"


def test_another_seed_gives_other_pixels_of_the_same_scans(cluttered):
    other = digits.cluttered_digits(1)
    for part in PARTS:
        assert (other[part][1] == cluttered[part][1]).all()
        assert (other[part][0] != cluttered[part][0]).mean() > 0.3


def test_no_pixel_of_a_part_comes_from_another(cluttered, monkeypatch):
    scans, labels = digits._scans()
    alone = np.zeros_like(scans)
    kept = digits._parts(labels)["test"]
    alone[kept] = scans[kept]
    monkeypatch.setattr(digits, "_scans", lambda: (alone, labels))
    assert (digits.cluttered_digits.__wrapped__(0)["test"][0] == cluttered["test"][0]).all()


def test_the_digit_shows_brightest(cluttered):
    images, _ = cluttered["test"]
    bright = (images > 160).mean(axis=(1, 2, 3))
    assert (bright > 0.01).mean() > 0.98  # a digit is there on about every canvas
    assert (images < 80).mean() > 0.6  # and most of it is ground
