"""What a network takes each class for; models of libraries, and weights of others to begin with, on real files."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from dovetail.accuracy.confusion import Confusion, confusion  # noqa: E402
from dovetail.accuracy.datasets import load_data  # noqa: E402
from dovetail.accuracy.evaluation import evaluate  # noqa: E402
from dovetail.accuracy.models import ModelSpec  # noqa: E402
from dovetail.accuracy.started import started  # noqa: E402
from dovetail.cli.main import main  # noqa: E402
from dovetail.errors import InputError  # noqa: E402
from dovetail.report.confusion import confusion_picture  # noqa: E402

CLASSES = ("bright & dark", "dark", "middle")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Return a folder of small photographs in three classes, of which a network can learn two at once."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.RandomState(0)
    for part, count in (("train", 8), ("val", 4)):
        for name, level in zip(CLASSES, (210, 40, 125), strict=True):
            (folder / part / name).mkdir(parents=True)
            for place in range(count):
                pixels = np.clip(random.normal(level, 12, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{place}.png")
    return folder


def test_counts_are_those_of_the_answers():
    data = load_data("digits")
    torch.manual_seed(0)
    model = ModelSpec("five-layer", width=2, channels=1, size=8)()
    found = confusion(model, data.validation, data.classes)
    assert found.counts.shape == (10, 11) and found.images == len(data.validation)
    assert found.accuracy == evaluate(model, data.validation)
    labels = data.validation.labels
    assert found.counts.sum(axis=1).tolist() == np.bincount(labels, minlength=10).tolist()
    rows = found.to_json()["classes"]
    assert [row["class"] for row in rows] == list(data.classes)
    assert sum(row["accuracy"] * row["images"] for row in rows) == pytest.approx(found.accuracy * found.images)


def test_a_picture_names_every_class_and_shows_every_count():
    counts = np.array([[5, 2, 0, 0], [0, 7, 0, 1], [3, 0, 0, 0]])
    found = Confusion(("a<b", "b", "c"), counts)
    assert found.table().rows[0] == ("c", 3, 0.0, "a<b", 3)
    assert found.taken_for(1) == ("none of these", 1)
    root = ET.fromstring(confusion_picture(found, "five & six"))
    words = [each.text for each in root.iter() if each.tag.endswith("text")]
    assert "five & six" in words and words.count("a<b") == 2
    assert {"5", "2", "7", "3"} <= set(words)
    told = [each.text for each in root.iter() if each.tag.endswith("title")]
    assert "c taken for a<b: 3 of 3" in told and len(told) == 9
    many = Confusion(tuple(map(str, range(300))), np.eye(300, 301, dtype=np.int64))
    assert "the 60 of 300 classes" in confusion_picture(many, "many") and "confusion" not in many.to_json()


def test_the_studys_families_train_on_a_folder_of_images(photos, tmp_path, capsys):
    families = ["mobilenet_v3_small", "resnet18", "densenet121"]
    how = ["--size", "32", "--epochs", "1", "--batch-size", "12", "--device", "cpu", "--workers", "1"]
    assert main(["train", *families, "--data", str(photos), *how, "--out", str(tmp_path / "runs"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [run["network"] for run in result["runs"]] == families
    for run in result["runs"]:
        assert [each["class"] for each in run["classes"]] == list(CLASSES)
        right = sum(each["accuracy"] * each["images"] for each in run["classes"])
        assert run["test"] == pytest.approx(right / sum(each["images"] for each in run["classes"]))
    kept = str(tmp_path / "runs" / "resnet18-seed-0" / "best.pt")
    drawn = tmp_path / "confusion.svg"
    ask = ["accuracy", kept, "--data", str(photos), "--size", "32", "--device", "cpu"]
    assert main([*ask, "--per-class", "--confusion", str(drawn)]) == 0
    printed = capsys.readouterr().out
    assert "most taken for" in printed and all(name in printed for name in CLASSES)
    assert "bright &amp; dark" in drawn.read_text()
    begun = ["train", "resnet18", "--weights", kept, "--data", "digits", "--epochs", "1", "--stem", "imagenet"]
    assert main([*begun, "--out", str(tmp_path / "other"), "--device", "cpu"]) == 2  # three channels, not one
    assert "'conv1.weight' has shape" in capsys.readouterr().err
    assert main(["train", *families[:2], "--weights", kept, "--data", str(photos), *how]) == 2
    assert "--weights are of one network; 2 are to be trained" in capsys.readouterr().err


def test_weights_of_other_classes_begin_a_network_but_for_its_classifier(tmp_path):
    torch.manual_seed(1)
    there = ModelSpec("five-layer", width=2, channels=1, classes=7)().state_dict()
    torch.save({"state_dict": there}, tmp_path / "theirs.pth")
    spec = ModelSpec("five-layer", width=2, channels=1, classes=10)
    begun = started(spec, tmp_path / "theirs.pth")
    assert begun.anew == ("14.weight", "14.bias") and begun.label == spec.label
    own = begun().state_dict()
    assert all(torch.equal(own[name], value) for name, value in there.items() if name not in begun.anew)
    assert own["14.weight"].shape == (10, 8)
    torch.save({**there, "more": torch.zeros(1)}, tmp_path / "theirs.pth")
    with pytest.raises(InputError, match="has changed since"):
        begun()
    with pytest.raises(InputError, match="hold 'more', which the network has not"):
        started(spec, tmp_path / "theirs.pth")
    torch.save(there, tmp_path / "theirs.pth")
    with pytest.raises(InputError, match="has shape"):
        started(ModelSpec("five-layer", width=3, channels=1), tmp_path / "theirs.pth")


def test_safetensors_and_timm_begin_and_resume(tmp_path, capsys):
    safetensors = pytest.importorskip("safetensors.torch")
    pytest.importorskip("timm")
    torch.manual_seed(0)
    spec = ModelSpec("resnet10t", classes=10, channels=1, size=8)
    safetensors.save_file(spec().state_dict(), tmp_path / "w.safetensors")
    ask = ["train", "resnet10t", "--data", "digits", "--weights", str(tmp_path / "w.safetensors"), "--epochs", "1"]
    ask += ["--out", str(tmp_path / "out"), "--device", "cpu", "--workers", "1", "--no-test", "--batch-size", "256"]
    assert main(ask) == 0
    kept = tmp_path / "out" / "resnet10t-seed-0" / "best.pt"
    before = kept.read_bytes()
    assert main(ask) == 0  # the run is there already
    assert torch.load(kept, weights_only=True)["started_from"]["anew"] == []
    capsys.readouterr()
    (tmp_path / "w.safetensors").write_bytes(b"8" * 100)
    assert main(ask) == 2
    assert "holds no weights" in capsys.readouterr().err
    assert kept.read_bytes() == before
    assert main([*ask[:5], str(kept), *ask[6:]]) == 2
    assert "would be written over by this training" in capsys.readouterr().err
