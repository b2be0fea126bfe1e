"""The prepared check of a GPU, rehearsed on the processor: it measures what it says, and a fault is seen."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

SPEC = importlib.util.spec_from_file_location("check_gpu", Path(__file__).parents[1] / "tools" / "check_gpu.py")
check_gpu = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = check_gpu
SPEC.loader.exec_module(check_gpu)


def run(monkeypatch, capsys, tmp_path, *checks):
    monkeypatch.setattr(check_gpu, "CHECKS", checks)
    code = check_gpu.main(["--device", "cpu", "--small", "--json", str(tmp_path / "found.json")])
    findings = json.loads((tmp_path / "found.json").read_text())["findings"]
    return code, {one["name"]: one for one in findings}, capsys.readouterr().out


def test_a_sound_machine_passes(monkeypatch, capsys, tmp_path):
    checks = check_gpu.gradients, check_gpu.layouts, check_gpu.throughput
    code, findings, printed = run(monkeypatch, capsys, tmp_path, *checks)
    assert code == 0
    assert [one["held"] for one in findings.values()] == [True] * 3
    assert "| throughput | ok | five-layer-4, batch 32: fp32" in printed


def test_a_device_that_computes_something_else_is_seen(monkeypatch, capsys, tmp_path):
    right = check_gpu._gradients
    devices = []

    def wrong(*arguments):
        devices.append(arguments[-1])
        return [gradient * (1 + 0.01 * (len(devices) % 2)) for gradient in right(*arguments)]

    monkeypatch.setattr(check_gpu, "_gradients", wrong)
    code, findings, printed = run(monkeypatch, capsys, tmp_path, check_gpu.gradients, check_gpu.layouts)
    assert code == 1
    assert not findings["gradients"]["held"]
    assert findings["layouts"]["held"]
    assert "| gradients | FAILED |" in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert check_gpu.main([]) == 2
    assert "no GPU that torch can use" in capsys.readouterr().err
