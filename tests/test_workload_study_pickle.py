"""The study's pickles: read to the right problems, and nothing in them is ever executed."""

import contextlib
import json
import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.cli.main import main
from dovetail.errors import InputError
from dovetail.workload.loading import load_network
from dovetail.workload.study_pickle import plain_tuples, read_study_pickle

#: w, h, c, n, m, s, r, wpad, hpad, wstride, hstride: ResNet-50's stem at 32x32, and an uneven kernel.
STEM = (16, 16, 3, 1, 64, 7, 7, 3, 3, 2, 2)
UNEVEN = (10, 8, 4, 1, 6, 1, 7, 3, 0, 2, 1)


def write(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_problems_are_those_that_ran(tmp_path, protocol):
    network = load_network(str(write(tmp_path / "net.pkl", [STEM, UNEVEN, STEM], protocol)))
    stem, uneven, _ = (layer.problem for layer in network.layers)
    assert stem.macs == 16 * 16 * 3 * 64 * 49
    assert [uneven.bound(key) for key in "PQRSCM"] == [8, 10, 1, 7, 4, 6]
    assert uneven.coefficients[:2] == (1, 2)
    assert network.distinct()[0].repeats == 2


def test_as_published_divides_by_the_stride_again(tmp_path):
    network = read_study_pickle(write(tmp_path / "net.pkl", [STEM]), as_published=True)
    assert [network.layers[0].problem.bound(key) for key in "PQ"] == [8, 8]


def test_the_command_reads_them_either_way(tmp_path, capsys):
    path = write(tmp_path / "net.pkl", [STEM])
    for option, rows in (([], 16), (["--as-published"], 8)):
        assert main(["layers", str(path), "--json", *option]) == 0
        assert json.loads(capsys.readouterr().out)["layers"][0]["sizes"]["P"] == rows
    assert main(["layers", "resnet18", "--as-published"]) == 2
    assert "for the founding study's pickles" in capsys.readouterr().err


class Hostile:
    def __reduce__(self):
        return (os.system, ("touch pickle-was-executed",))


@pytest.mark.parametrize(
    "value", [Hostile(), [Hostile()], [(1, Hostile())], {"a": 1}, ["text"], [1.5], [(True, 1)], [[(1,)]], 3]
)
def test_anything_else_is_refused(tmp_path, value, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        plain_tuples(write(tmp_path / "x.pkl", value))
    assert not (tmp_path / "pickle-was-executed").exists()


def test_wrong_layers_are_refused(tmp_path):
    for row, message in (((1, 2), "has 2 numbers"), ((0, *STEM[1:]), "is no layer"), ((*STEM[:-1], 2**40), "no layer")):
        with pytest.raises(InputError, match=message):
            read_study_pickle(write(tmp_path / "x.pkl", [STEM, row]))


def test_a_list_that_contains_itself_is_refused(tmp_path):
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InputError):
        plain_tuples(write(tmp_path / "x.pkl", loop))


@given(st.binary(max_size=60))
def test_no_bytes_make_the_reader_fall_over(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.pkl"
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        plain_tuples(path)


@given(st.data())
def test_no_damage_makes_the_reader_fall_over(tmp_path_factory, data):
    raw = bytearray(pickle.dumps([STEM, UNEVEN]))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(bytes(raw))
    with contextlib.suppress(InputError):
        plain_tuples(path)
