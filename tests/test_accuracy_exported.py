"""Networks written for those who do not have Dovetail: what the files compute, and what is said of those that fail."""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from dovetail.accuracy.exported import FILES, export_network  # noqa: E402


class Plain(nn.Module):
    """Layers in containers, a weight and a constant of its own, one layer that runs twice."""

    def __init__(self):
        super().__init__()
        block = nn.Sequential(nn.Conv2d(4, 4, 3, padding="same", bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), block, nn.PReLU(4))
        self.scale = nn.Parameter(torch.full((4, 1, 1), 1.5))
        self.register_buffer("shift", torch.arange(4.0).reshape(4, 1, 1))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.features[0](x)
        x = self.features[1](x) + self.features[1](x * self.scale + self.shift)
        return self.head(nn.functional.dropout(x, 0.5, self.training).mean((2, 3)))


class Branching(Plain):
    """Looks at its images before it decides."""

    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


class Own(nn.Module):
    """A layer that torch does not have."""

    def forward(self, x):
        return x.flatten(1)


def test_the_module_computes_what_the_network_does_and_needs_torch_alone(tmp_path):
    network = Plain()
    network.features[1][1].running_mean.uniform_()
    exported = export_network(network.eval(), (1, 1, 9, 7), tmp_path, 'a "name"\\ with \x1b[31m signs """')
    assert (set(exported.files), exported.notes) == (set(FILES), ())
    images = torch.randn(5, 1, 9, 7)
    torch.save(images, tmp_path / "images.pt")
    code = "import network, torch; torch.save(network.load('state_dict.pt')(torch.load('images.pt')), 'classes.pt')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, check=True)
    with torch.no_grad():
        assert torch.allclose(torch.load(tmp_path / "classes.pt"), network(images), atol=1e-6)
    assert "\x1b" not in (tmp_path / "network.py").read_text()


def test_a_form_that_fails_is_said_and_an_old_file_of_it_goes(tmp_path, capfd):
    (tmp_path / FILES["module"]).write_text("of an earlier network")
    exported = export_network(Branching().eval(), (1, 1, 9, 7), tmp_path, "branching")
    assert set(exported.files) <= {"onnx", "state_dict"}
    assert any(note.startswith("no network.py: torch.fx can't follow its code") for note in exported.notes)
    assert "torch.ops" not in capfd.readouterr().err  # the exporter's own log shows the graph that it fails on
    assert not (tmp_path / FILES["module"]).exists()
    exported = export_network(nn.Sequential(nn.Conv2d(1, 2, 3), Own(), nn.LazyLinear(2)), (1, 1, 4, 4), tmp_path, "own")
    assert "module" not in exported.files
    exported = export_network(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), (1, 1, 4, 4), tmp_path, "flat")
    assert "module" in exported.files
