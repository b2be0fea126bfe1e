"""Without torch: the commands say which extra they need, and their help and the statistics work all the same."""

import subprocess
import sys

import pytest

WITHOUT_TORCH = (
    "import sys; sys.modules['torch'] = None; from dovetail.cli.main import main; sys.exit(main(sys.argv[1:]))"
)


def run_without_torch(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [("train", "five-layer", "--data", "digits"), ("accuracy", "x.pt")])
def test_missing_torch_is_one_message(arguments):
    status, _, err = run_without_torch(*arguments)
    assert status == 2
    assert err.endswith("needs the extra 'torch': pip install 'dovetail-codesign[torch]'\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["train", "accuracy"])
def test_help_needs_no_torch(command):
    status, out, _ = run_without_torch(command, "--help")
    assert status == 0
    assert "--data" in out


def test_statistics_need_no_torch():
    code = "import sys; sys.modules['torch'] = None; import dovetail.accuracy.statistics, dovetail.accuracy.digits"
    subprocess.run([sys.executable, "-c", code], check=True)
