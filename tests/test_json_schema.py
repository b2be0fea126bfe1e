"""Every command's JSON is as the schema says, key by key, and names the same thing the same everywhere."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from dovetail.api.schema import check, kinds, schema
from dovetail.cli.main import COMMANDS, main, parser_of
from dovetail.errors import InputError
from dovetail.mapper import explain as explain_module
from dovetail.mapper.search import search as exact_search
from dovetail.network import jobs as jobs_module
from network_search import quick_search

DOCS = Path(__file__).parent.parent / "docs"
LAYER = ("alexnet@32:3", "--on", "eyeriss_like")
#: Per kind of object, command lines that print it.
COMMAND_LINES = {
    "layer": [("map", *LAYER, "--samples", "5"), ("map", *LAYER, "--front")],
    "evaluation": [("evaluate", *LAYER, "--mapping", "m.yaml")],
    "comparison": [
        ("compare", "alexnet@32", "--on", "eyeriss_like", "--samples", "5"),
        ("compare", "t.csv", "--on", "eyeriss_like", "tpu_like", "--samples", "5"),
        ("report", "alexnet@32", "--on", "eyeriss_like", "--no-front"),
        ("compare", "t.csv", "--on", "tpu_like", "--bits", "8", "--one-bit", "--samples", "5"),
        ("compare", "t.csv", "--on", "tpu_like", "--one-bit", "--samples", "5"),
    ],
    "network": [("layers", "alexnet@32"), ("layers", "t.csv")],
    "design": [("designs", "eyeriss_like"), ("designs", "simba_like"), ("designs", "tpu_like")],
    "designs": [("designs",)],
    "optimum": [("optimum", "alexnet@32", "--on", "eyeriss_like")],
    "sweep": [("sweep-layer", *LAYER, "--dim", "M", "--values", "8:9")],
    "explanation": [("explain", *LAYER, "--time-limit", "0.01")],
    "components": [("components", "--on", "eyeriss_like")],
    "estimators": [("components", "--list")],
    "exploration": [("explore", "t.csv", "--on", "eyeriss_like", "--vary", "shared_glb.depth=1024")],
    "bound": [("bound", "alexnet@32"), ("bound", "alexnet@32", "--on", "eyeriss_like", "--room", "1kB,1B")],
    "verification": [("verify", "c.json", "--no-search")],
    "cache": [("cache",), ("cache", "verify"), ("cache", "clear")],
}
#: What is checked where it takes long, or where there is more than one number can say: the test that has it.
ELSEWHERE = {"study": "study", "silicon": "silicon", "advice": "advise", "tokens": "tokens", "run_check": "check-run"}
ELSEWHERE |= {
    "run_checks": "check-run",
    "training": "train",
    "accuracy": "accuracy",
    "shrink": "shrink",
    "pruning": "shrink",
    "codesign": "shrink",
    "bits": "bits",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network that has something of everything, a mapping and a certificate."""
    made = tmp_path_factory.mktemp("json")
    (made / "t.csv").write_text(
        "# note: so many rows\nname,kind,macs,C,M,P,G\nl,,,8,4,,\na,matrix product,,24,8,24,3\n"
        "ours::op,unmapped,unknown,,,,\n"
    )
    arguments = ["map", *LAYER, "--samples", "5", "--save", str(made / "m.yaml"), "--certificate", str(made / "c.json")]
    assert main(arguments) == 0
    return made


@pytest.fixture
def quick(monkeypatch, folder):
    """Networks are mapped quickly: here counts what is printed, not how good it is."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DOVETAIL_CACHE", str(folder / "cache"))

    def found(*given, progress=None, **options):
        return quick_search(*given, **options)

    monkeypatch.setattr(jobs_module, "exact_search", found)
    monkeypatch.setattr(explain_module, "exact_search", found)
    assert jobs_module.exact_search is not exact_search


@pytest.mark.parametrize(
    ("kind", "words"), [(kind, words) for kind, lines in COMMAND_LINES.items() for words in lines], ids=str
)
def test_what_is_printed_is_what_the_schema_says(kind, words, quick, capsys):
    assert main([*words, "--json"]) in (0, 1)
    printed = json.loads(capsys.readouterr().out)
    assert check(printed, closed=True) == kind
    for words_of in ("network", "design", "layer"):
        assert isinstance(printed.get(words_of, ""), str)


def test_every_kind_and_every_command_is_checked():
    assert {*COMMAND_LINES, *ELSEWHERE} == set(kinds())
    parser = parser_of(every=True)
    (commands,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    with_json = {name for name in COMMANDS if "--json" in commands.choices[name].format_help()}
    here = {words[0] for lines in COMMAND_LINES.values() for words in lines}
    assert with_json == here | set(ELSEWHERE.values())


def test_the_schema_is_one_that_validators_take():
    found = schema()
    assert found["$schema"].startswith("https://json-schema.org/draft/2020-12")
    used = set()

    def walk(rule):
        if isinstance(rule, dict):
            if "$ref" in rule:
                used.add(rule["$ref"].removeprefix("#/$defs/"))
            if "required" in rule and isinstance(rule["required"], list):
                assert set(rule["required"]) <= set(rule["properties"])
            for each in rule.values():
                walk(each)
        elif isinstance(rule, list):
            for each in rule:
                walk(each)

    walk(found)
    assert used <= set(found["$defs"])
    assert set(found["$defs"]) <= used


def test_the_page_names_every_kind_and_its_definitions():
    page = (DOCS / "json.md").read_text(encoding="utf-8")
    for kind in kinds():
        assert f"`{kind}`" in page, kind


def test_closed_checks_find_keys_that_nobody_documented(quick, capsys):
    assert main(["designs", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    check({**printed, "more": 1})
    with pytest.raises(InputError, match="unknown key 'more'"):
        check({**printed, "more": 1}, closed=True)
