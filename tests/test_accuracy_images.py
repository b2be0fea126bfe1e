"""Image files: read with their depth, and broken ones found before a training begins."""

import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the torch extra")
image_module = pytest.importorskip("PIL.Image", reason="needs the torch extra")

from dovetail.accuracy.folders import image_folder  # noqa: E402
from dovetail.accuracy.images import check_images, read_image  # noqa: E402
from dovetail.cli.main import main  # noqa: E402
from dovetail.errors import InputError  # noqa: E402


def png(values, kind, bits=16):
    """Return a PNG of its own making, as Pillow writes no colour of 16 bits."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + values[row].astype(">u2" if bits == 16 else ">u1").tobytes() for row in range(height))

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


deep = st.lists(st.integers(0, 65535), min_size=12, max_size=12).map(lambda v: np.array(v, np.uint16).reshape(3, 4))


@settings(max_examples=30, deadline=None)
@given(deep, st.sampled_from(["png", "tiff", "pgm"]))
def test_grey_of_16_bits_keeps_all_of_them(tmp_path_factory, values, kind):
    file = tmp_path_factory.mktemp("deep") / f"x.{kind}"
    image_module.fromarray(values).save(file)
    read = read_image(file)
    assert read.shape == (3, 4, 3)
    assert np.allclose(read, values[:, :, None] / 257, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(deep, st.sampled_from([(2, 3), (4, 2), (6, 4)]))
def test_colour_of_16_bits_is_not_cut_at_8(tmp_path_factory, values, kind_and_channels):
    kind, channels = kind_and_channels
    file = tmp_path_factory.mktemp("deep") / "x.png"
    file.write_bytes(png(np.repeat(values[:, :, None], channels, axis=2), kind))
    assert np.abs(read_image(file).astype(float) - values[:, :, None] / 257).max() <= 1.0


def test_twelve_bits_and_floats(tmp_path):
    values = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)
    image_module.fromarray(values).save(tmp_path / "f.tiff")
    assert np.allclose(read_image(tmp_path / "f.tiff")[:, :, 0], values * 255)
    image_module.fromarray(values * 300).save(tmp_path / "far.tiff")
    with pytest.raises(InputError, match=r"far\.tiff: its values go from 0 to 300; 0 to 1 are read"):
        read_image(tmp_path / "far.tiff")
    (tmp_path / "t.pgm").write_bytes(b"P5 2 1 4095\n" + struct.pack(">HH", 4095, 2048))
    assert np.allclose(read_image(tmp_path / "t.pgm")[0, :, 0], [255, 2048 / 4095 * 255], atol=0.01)


def test_eight_bits_are_what_they_were(tmp_path):
    values = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    image_module.fromarray(values).save(tmp_path / "x.png")
    read = read_image(tmp_path / "x.png")
    assert read.dtype == np.uint8
    assert (read == values).all()


def folder(root, kind="png"):
    for part, count in (("train", 8), ("val", 3), ("test", 3)):
        for name in ("ant", "bee"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                grey = np.full((16, 16), 1000 * number + 40 * len(name), np.uint16)
                image = image_module.fromarray(grey if number % 2 else (grey >> 8).astype(np.uint8))
                image.save(root / part / name / f"{number}.{kind}")
    return root


def test_batches_of_files_of_several_depths(tmp_path):
    split = image_folder(folder(tmp_path), size=16).test.normalised((0.0,) * 3, (1 / 255,) * 3)
    ((images, _),) = list(split.batches([np.arange(3)]))
    assert images[:, 0, 0, 0].tolist() == pytest.approx([0.0, (1000 + 120) / 257, (2000 + 120) >> 8], abs=0.01)


BREAKS = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-30]),
    "empty": lambda file: file.write_bytes(b""),
    "no image at all": lambda file: file.write_text("<html>404</html>"),
    "changed": lambda file: file.write_bytes(file.read_bytes().replace(b"IDAT", b"IDOT")),
    "a bomb": lambda file: file.write_bytes(png(np.zeros((1, 1), np.uint8), 0, 8).replace(
        struct.pack(">II", 1, 1), struct.pack(">II", 60000, 60000), 1)),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a broken link": lambda file: (file.unlink(), file.symlink_to("nowhere.png")),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize("name", BREAKS)
def test_broken_images_are_found_before_anything_is_trained(name, part, tmp_path, capsys):
    file = folder(tmp_path) / part / "bee" / "2.png"
    BREAKS[name](file)
    assert main(["train", "five-layer", "--width", "2", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert f"{Path('bee') / '2.png'}: " in err
    assert "epoch" not in out
    assert not list((tmp_path / "out").rglob("*.*"))


def test_truncated_jpegs_are_found_and_others_counted(tmp_path):
    files = [tmp_path / f"{number}.jpg" for number in range(5)]
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for file in files:
        image_module.fromarray(noise).save(file)
    check_images(files)
    for file in files[2:4]:
        file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"2\.jpg: not a readable image .*; broken, too, of 5 files: "):
        check_images(files)


def test_a_checked_folder_is_not_read_again_until_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "x.png"
    image_module.fromarray(np.zeros((4, 4), np.uint8)).save(file)
    told = []
    check_images([file], lambda *state: told.append(state))
    check_images([file], lambda *state: told.append(state))
    assert told == [(1, 1, "checking images")]
    time.sleep(0.01)
    file.write_bytes(file.read_bytes()[:45])
    with pytest.raises(InputError, match="not a readable image"):
        check_images([file])


def test_broken_images_take_no_memory_once_they_are_known(tmp_path, monkeypatch):
    """One at a time per core, in the depth that they have: a folder of thousands is checked in the memory of a few."""
    pixels = 1000
    for number in range(8):
        image_module.fromarray(np.full((pixels, pixels), -1, np.float32)).save(tmp_path / f"{number}.tiff")
    monkeypatch.setattr("dovetail.accuracy.images.available_cpus", lambda: 1)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="its values go from -1 to -1; 0 to 1 are read; broken, too, of 8 files: "):
            check_images(sorted(tmp_path.glob("*.tiff")))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * 4 * pixels**2
