"""Published accuracies: the figures, one recipe per curve, and that MACs agree with the bundled layer tables."""

import pytest

from dovetail.errors import InputError
from dovetail.workload.layer_table import bundled_names
from dovetail.workload.loading import load_network
from dovetail.workload.published_accuracy import published_accuracies, published_accuracy, published_curve


def test_figures_as_published():
    first, second = (published_accuracy("resnet50", f"IMAGENET1K_V{version}") for version in (1, 2))
    assert (first.top1_percent, first.top5_percent, first.params) == (76.13, 92.862, 25557032)
    assert (second.top1_percent, second.gmacs, second.input_size) == (80.858, 4.089, 224)
    assert len(published_accuracies()) > 100
    assert {entry.dataset for entry in published_accuracies()} == {"ImageNet-1K", "Kinetics-400"}
    assert all(0 < entry.top1_percent < entry.top5_percent < 100 for entry in published_accuracies())
    assert len({(entry.model, entry.weights) for entry in published_accuracies()}) == len(published_accuracies())


def test_one_curve_has_one_recipe():
    models = ("resnet18", "resnet34", "resnet50", "resnet101")
    assert [entry.top1_percent for entry in published_curve(models)] == [69.758, 73.314, 76.13, 77.374]
    with pytest.raises(InputError, match="'resnet18' has no published weights 'IMAGENET1K_V2'; it has IMAGENET1K_V1"):
        published_curve(models, weights="IMAGENET1K_V2")
    mixed = published_curve(models, weights="IMAGENET1K_V2", allow_mixed=True)
    assert [entry.top1_percent for entry in mixed] == [69.758, 73.314, 80.858, 81.886]
    with pytest.raises(InputError, match="no published accuracy for 'resnet19', did you mean 'resnet18'"):
        published_curve(["resnet19"], allow_mixed=True)


@pytest.mark.parametrize("name", sorted(set(bundled_names()) - {"alexnet_original", "mobilenet_v1_050"}))
def test_macs_agree_with_the_layer_tables(name):
    published = published_accuracy(name)
    assert published.gmacs == round(load_network(name, input_size=published.input_size).macs / 1e9, 3)
