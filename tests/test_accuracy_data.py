"""Data sets: parts apart, augmentation as described, files read alike by any number of workers, one clear message."""

import multiprocessing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the torch extra")
image_module = pytest.importorskip("PIL.Image", reason="needs the torch extra")
pytest.importorskip("sklearn", reason="needs the torch extra")

from accuracy_toys import squares  # noqa: E402
from dovetail.accuracy.data import Augmentation, from_arrays, in_order  # noqa: E402
from dovetail.accuracy.datasets import load_data  # noqa: E402
from dovetail.accuracy.folders import image_folder  # noqa: E402
from dovetail.errors import InputError  # noqa: E402
from dovetail.workload.torchvision_import import import_torchvision  # noqa: E402


def batches(split, orders=None, augmentation=None):
    orders = in_order(len(split), 7) if orders is None else orders
    return [(images.numpy(), labels.numpy()) for images, labels in split.batches(orders, "cpu", augmentation)]


def test_built_in_parts_have_the_shapes_they_say():
    data = load_data("digits")
    assert (data.shape, len(data.classes), data.mirror) == ((1, 8, 8), 10, False)
    assert [len(data.split(part)) for part in ("train", "validation", "test")] == [1122, 225, 450]


def test_batches_are_normalised():
    train = load_data("digits").train
    images = np.concatenate([images for images, _ in batches(train)])
    assert images.dtype == np.float32
    assert abs(images.mean()) < 1e-4
    assert abs(images.std() - 1.0) < 1e-4


def test_another_normalisation_is_in_all_parts():
    data = squares().normalised((0.5,), (0.5,))
    for part in ("train", "validation", "test"):
        split = data.split(part)
        expected = split.images[:7].astype(np.float32) / 127.5 - 1.0
        assert np.allclose(batches(split)[0][0], expected, atol=1e-5)


def moved(image, down, right):
    """Take the image's pixel from ``down`` rows below and ``right`` columns right; black beyond the edge."""
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    rows, columns = image.shape[1:]
    return padded[:, 4 + down : 4 + down + rows, 4 + right : 4 + right + columns]


@settings(max_examples=25)
@given(st.integers(0, 3), st.booleans(), st.integers(0, 5), st.integers(0, 4))
def test_augmented_images_are_moved_and_mirrored_ones(shift, mirror, seed, epoch):
    random = np.random.RandomState(seed)
    part = random.randint(1, 255, size=(20, 2, 5, 6)).astype(np.uint8), np.arange(20)
    data = from_arrays("x", dict.fromkeys(("train", "validation", "test"), part), mirror=True, note="")
    split = data.train.normalised((0.0, 0.0), (1 / 255, 1 / 255))
    augmentation = Augmentation(shift, mirror, seed, epoch)
    ((images, labels),) = batches(split, [np.arange(20)], augmentation)
    assert labels.tolist() == list(range(20))
    kinds = set()
    for original, image in zip(part[0], images.round().astype(np.uint8), strict=True):
        reach = range(-shift, shift + 1)
        ways = [(d, r, m) for d in reach for r in reach for m in ((1, -1) if mirror else (1,))]
        found = [way for way in ways if (moved(original[:, :, :: way[2]], way[0], way[1]) == image).all()]
        assert found
        kinds.add(found[0])
    assert len(kinds) == 1 if shift == 0 and not mirror else len(kinds) > 1


def test_what_an_image_becomes_depends_on_its_row_not_on_its_batch():
    split, augmentation = squares().train, Augmentation(2, True, 5, 1)
    whole = batches(split, [np.arange(96)], augmentation)[0][0]
    order = np.random.RandomState(0).permutation(96)
    parts = batches(split, [order[:50], order[50:]], augmentation)
    assert (np.concatenate([images for images, _ in parts]) == whole[order]).all()
    other = batches(split, [np.arange(96)], Augmentation(2, True, 5, 2))[0][0]
    assert (other != whole).any()


def write_images(root, counts, size=(40, 30)):
    """Write images whose red channel is their class, green their number; returns the folder."""
    for folder, count in counts.items():
        for label, name in enumerate(("ant", "bee", "cat")):
            (root / folder / name).mkdir(parents=True)
            for number in range(count):
                color = (80 * label + 20, 5 * number, 128)
                image_module.new("RGB", size, color).save(root / folder / name / f"{number}.png")
    return root


def files_of(data):
    return {part: set(data.split(part).files) for part in ("train", "validation", "test")}


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ({"train": 10, "val": 4, "test": 5}, (30, 12, 15)),
        ({"train": 10, "val": 4}, (27, 3, 12)),  # as ImageNet comes: val tests, training images validate
        ({"train": 10, "test": 5}, (27, 3, 15)),
        ({"train": 10}, (21, 3, 6)),
        ({".": 10}, (21, 3, 6)),
    ],
)
def test_folders_are_parted_without_overlap(tmp_path, counts, sizes):
    data = image_folder(write_images(tmp_path, counts), size=16)
    files = files_of(data)
    assert tuple(len(files[part]) for part in ("train", "validation", "test")) == sizes
    assert not files["train"] & files["validation"]
    assert not files["validation"] & files["test"]
    assert not files["train"] & files["test"]
    assert data.classes == ("ant", "bee", "cat")
    for part in ("train", "validation", "test"):
        split = data.split(part)
        assert all(
            file.parent.name == data.classes[label] for file, label in zip(split.files, split.labels, strict=True)
        )
        assert set(split.labels) == {0, 1, 2}
    assert files_of(image_folder(tmp_path, size=16)) == files


def test_files_become_the_pixels_they_hold(tmp_path):
    split = image_folder(write_images(tmp_path, {"train": 10, "val": 2, "test": 2}), size=16).test
    split = split.normalised((0.0,) * 3, (1 / 255,) * 3)
    ((images, labels),) = batches(split)
    assert images.shape == (6, 3, 16, 16)
    assert np.allclose(images[:, 0], 80 * labels[:, None, None] + 20, atol=0.5)


@pytest.mark.parametrize("size", [None, 100])
def test_training_cuts_depend_on_seed_epoch_and_row_alone(tmp_path, size):
    rows = np.linspace(0, 255, 48, dtype=np.uint8)
    root = write_images(tmp_path, {"train": 10}, (48, 48))
    for file in root.rglob("*.png"):
        image_module.fromarray(np.stack([np.add.outer(rows // 2, rows // 2)] * 3, axis=-1)).save(file)
    train = image_folder(root, size=size).train
    first = batches(train, [np.arange(6)], Augmentation(2, True, 0, 0))[0][0]
    again = batches(train, [np.arange(3, 6), np.arange(3)], Augmentation(2, True, 0, 0))
    assert first.shape[-1] == (size or 48)
    assert (first[3:] == again[0][0]).all()
    assert (first[:3] == again[1][0]).all()
    assert not (first[0] == first[1]).all()
    assert not (first == batches(train, [np.arange(6)], Augmentation(2, True, 0, 1))[0][0]).all()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python 3.12, of fork
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_worker_processes_read_the_same(tmp_path, context):
    if context not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {context} here")
    root = write_images(tmp_path, {"train": 6})
    alone = batches(image_folder(root, size=32).train, None, Augmentation(2, True, 0, 0))
    split = image_folder(root, size=32, workers=2 if context == "fork" else 1, context=context).train
    together = batches(split, None, Augmentation(2, True, 0, 0))
    assert len(alone) == len(together)
    for (images, labels), (others, theirs) in zip(alone, together, strict=True):
        assert (images == others).all()
        assert (labels == theirs).all()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python 3.12, of fork
@pytest.mark.parametrize("workers", [0, 1])
def test_broken_image_is_one_message(tmp_path, workers):
    data = image_folder(write_images(tmp_path, {"train": 6}), size=16, workers=workers)
    file = data.train.files[4]
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(InputError, match=rf"{file.name}: not a readable image") as caught:
        batches(data.train)
    assert "\n" not in str(caught.value)


def test_folders_without_classes_or_images(tmp_path):
    with pytest.raises(InputError, match="at least two; found 0"):
        image_folder(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="no images"):
        image_folder(tmp_path)


def test_class_unknown_to_training(tmp_path):
    write_images(tmp_path, {"train": 3, "val": 2})
    (tmp_path / "val" / "dog").mkdir()
    with pytest.raises(InputError, match="class 'dog' is not among the training classes"):
        image_folder(tmp_path)


def test_unknown_name_gets_a_hint():
    with pytest.raises(InputError, match="no data set 'cifr10', did you mean 'cifar10'"):
        load_data("cifr10")


def test_cifar_that_is_not_there_is_not_fetched(tmp_path):
    with pytest.raises(InputError, match="say --download"):
        load_data("cifar10", root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_cifar_is_read_and_parted(tmp_path, monkeypatch):
    """Files of CIFAR-10's form with pixels of our own; torchvision is told their checksums."""
    import hashlib
    import pickle

    kind = import_torchvision("CIFAR").datasets.CIFAR10
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    random = np.random.RandomState(0)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    def batch(count):
        pixels = random.randint(0, 256, size=(count, 3072)).astype(np.uint8)
        return {"data": pixels, "labels": [n % 10 for n in range(count)]}

    first, second, test = batch(60), batch(40), batch(30)
    monkeypatch.setattr(kind, "train_list", [["one", write("one", first)], ["two", write("two", second)]])
    monkeypatch.setattr(kind, "test_list", [["three", write("three", test)]])
    names = {"label_names": [f"class {n}" for n in range(10)]}
    monkeypatch.setattr(kind, "meta", {"filename": "meta", "key": "label_names", "md5": write("meta", names)})
    data = load_data("cifar10", root=tmp_path)
    assert (data.shape, len(data.classes), data.mirror) == ((3, 32, 32), 10, True)
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 30)
    assert (data.test.images.reshape(30, -1) == test["data"]).all()
    everything = {row.tobytes() for row in np.concatenate([first["data"], second["data"]])}
    seen = [image.tobytes() for part in (data.train, data.validation) for image in part.images]
    assert set(seen) == everything
    assert len(seen) == 100
    (folder / "one").write_bytes(b"tampered")
    with pytest.raises(InputError, match="not there, or damaged"):
        load_data("cifar10", root=tmp_path)


def test_arrays_that_do_not_fit():
    part = np.zeros((4, 1, 8, 8)), np.zeros(4, dtype=np.int64)
    with pytest.raises(InputError, match="float64"):
        from_arrays("x", dict.fromkeys(("train", "validation", "test"), part), mirror=False, note="")
