"""The sandboxed template part of documents: includes, variables, bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.filters import do_indent

from dovetail.document_file import read_document
from dovetail.errors import InputError
from dovetail.template import indented


@pytest.fixture
def write(tmp_path: Path):
    """Write a file below the test's folder and return its path."""

    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put


def test_include_brings_a_part_of_another_file_with_its_own_places(write) -> None:
    write("inner.yaml", "other: 0\narchitecture:\n  nodes: [7]\n")
    node = read_document(write("top.yaml", "a: 1\narch: {{include('inner.yaml', 'architecture')}}\n"))
    assert node.plain() == {"a": 1, "arch": {"nodes": [7]}}
    nodes = node.mapping()["arch"].mapping()["nodes"]
    assert (Path(nodes.file).name, nodes.line, nodes.key) == ("inner.yaml", 3, "architecture.nodes")


def test_include_text_shares_anchors_and_keeps_places(write) -> None:
    write("base.yaml", "base: &base\n  N: 1\n  C: 2\n")
    top = write("top.yaml", "# comment\n{{include_text('base.yaml')}}\nproblem:\n  <<<: *base\n  C: 5\n")
    problem = read_document(top).mapping()["problem"].mapping()
    assert {name: node.plain() for name, node in problem.items()} == {"C": 5, "N": 1}
    assert (Path(problem["C"].file).name, problem["C"].line) == ("top.yaml", 5)
    assert (Path(problem["N"].file).name, problem["N"].line) == ("base.yaml", 2)


def test_include_all_lists_files_in_order(write) -> None:
    for name in ("b", "a"):
        write(f"parts/{name}.yaml", f"classes: [{name}]\n")
    top = write("top.yaml", "classes: {{include_all('parts/*.yaml', 'classes')}}\n")
    assert read_document(top).plain() == {"classes": [["a"], ["b"]]}


def test_variables_conditions_and_loops(write) -> None:
    top = write(
        "top.yaml",
        "{% set size = bits|default(8) %}\n"
        "{% if path_exists('absent.yaml') %}\nx: 1\n{% endif %}\n"
        "{% for i in range(3) %}\nk{{i}}: {{ i * size }}\n{% endfor %}\n",
    )
    assert read_document(top).plain() == {"k0": 0, "k1": 8, "k2": 16}
    assert read_document(top, data={"bits": 4}).plain() == {"k0": 0, "k1": 4, "k2": 8}


def test_lines_are_right_after_loops(write) -> None:
    top = write("top.yaml", "{% for i in range(3) %}\nk{{i}}: {{ i }}\n{% endfor %}\nlast: [1]\n")
    assert read_document(top).mapping()["last"].line == 4


def test_add_to_path_stays_inside(write) -> None:
    write("sub/inner.yaml", "a: 1")
    top = write("top.yaml", "{{add_to_path(cwd() ~ '/sub')}}\nx: {{include('inner.yaml')}}\n")
    assert read_document(top).plain() == {"x": {"a": 1}}


def test_outside_files_need_the_users_word(write, tmp_path: Path) -> None:
    write("base.yaml", "a: 1")
    top = write("layers/top.yaml", "x: {{include('../base.yaml')}}\n")
    with pytest.raises(InputError, match=r"top.yaml:1: '../base.yaml' lies outside the document's folder"):
        read_document(top)
    assert read_document(top, include_folders=[tmp_path]).plain() == {"x": {"a": 1}}


def test_links_do_not_lead_out(write, tmp_path: Path) -> None:
    secret = write("secret.yaml", "a: 1")
    top = write("in/top.yaml", "x: {{include('link.yaml')}}\n")
    (tmp_path / "in/link.yaml").symlink_to(secret)
    with pytest.raises(InputError, match="lies outside"):
        read_document(top)


def test_a_cycle_of_includes_is_named(write) -> None:
    write("a.yaml", "x: {{include('b.yaml')}}")
    write("b.yaml", "y: 0\nx: {{include_text('c.yaml')}}")
    write("c.yaml", "{{include('a.yaml')}}")
    with pytest.raises(InputError, match=r"c.yaml:1: includes itself: a.yaml -> b.yaml -> c.yaml -> a.yaml"):
        read_document(Path(write("a.yaml", "x: {{include('b.yaml')}}")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {{ x }}", "'x' is undefined"),
        ("a: 1\nb: {{ ''.__class__ }}", "templates may not use 'getattr'"),
        ("b: {{ cycler.__init__.__globals__ }}", "may not use 'getattr'"),
        ("b: {{ ''['__class__'] }}", "may not use 'getitem'"),
        ("a: {{ setenv('A', 'b') }}", "may not use the call of 'setenv'"),
        ("a: {{ lipsum(5) }}", "the call of 'lipsum'"),
        ("a: {{ _iterate(5) }}", "may not use"),
        ("{% call f() %}{% endcall %}", "may not use 'callblock'"),
        ("{% macro include(name) %}{% endmacro %}", "the name 'include' for a macro"),
        ("{% macro f() %}{{ f() }}{% endmacro %}a: {{ f() }}", "recursion"),
        (
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}a: {{ f(40) }}",
            "run more than",
        ),
        (
            "{% macro f(n) %}ab{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}a: {{ f(20) }}",
            "more than",
        ),
        ("{% macro f() %}{% endmacro %}a: {{ f.__globals__ }}", "may not use 'getattr'"),
        ("{% set s = namespace(n=1) %}a: {{ s.__class__ }}", "may not use 'getattr'"),
        ("{% set s = namespace(n=1) %}a: {{ s }}", "only text and numbers can be printed"),
        ("a: {{ 'x'.items() }}", "'items' is asked of a str; only dictionaries have it"),
        ("a: {{ dict(x=1) }}", "'dict' with arguments"),
        ("a: {{ dict().pop('x') }}", "a call of anything but a function"),
        ("a: {{ width }}", "'width' is undefined: give it a value with --set width=VALUE"),
        ("{% include 't.yaml' %}", "may not use 'include'"),
        ("{% import 't.yaml' as x %}", "may not use 'import'"),
        ("{% for x in y recursive %}{% endfor %}", "a recursive loop"),
        ("a: {{ 'x'|center(1000000) }}", "No filter named 'center'"),
        ("a: {{ 'a' * 1000000000 }}", "'*' needs numbers"),
        ("a: {{ '%1000000000d' % 3 }}", "'%' needs numbers"),
        ("a: {{ 10 ** 1000000000 }}", "is larger than 100"),
        ("a: {{ 10 ** 10 ** 10 }}", "beyond 1e30"),
        ("a: {{ " + "(" * 500 + "1" + ")" * 500 + " }}", "t.yaml"),
        ("{% if 1 %}" * 150 + "{% endif %}" * 150, "t.yaml"),
        ("a: {{ include('" + "x" * 5000 + "') }}", "t.yaml"),
        ("a: {{ 1e999 }}", "a number that is not finite"),
        ("a: {{ 1 / 0 }}", "cannot compute 1 / 0"),
        ("{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}", "loops run more than"),
        ("{% for i in range(10**9) %}{% endfor %}", "range() of"),
        ("{% set a='abcdefghij' %}" + "{% set a = a ~ a %}" * 60, "text of more than"),
        ("a: {{ [1, [2]] }}", "a list of lists"),
        ("a: {{ include }}", "only text and numbers can be printed"),
        ("{% if %}", "no valid template"),
        ("a: {{ include('absent.yaml') }}", "cannot find 'absent.yaml'"),
        ("a: {{ include('/etc/passwd') }}", "lies outside"),
        ("a: {{ include_text('../../../etc/passwd') }}", "lies outside"),
        ("a: {{ include('t.yaml') }}", "includes itself: t.yaml -> t.yaml"),
        ("a: {{ include(3) }}", "a path must be text"),
    ],
)
def test_what_templates_may_not_do(write, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_document(write("t.yaml", text))
    assert said in str(caught.value)
    if said != "t.yaml":  # Python's own limits, met while compiling, know no line
        assert caught.value.line == text.count("\n") + 1


def test_macros_namespaces_and_dictionaries_of_a_template_work(write) -> None:
    path = write(
        "t.yaml",
        "{% set at = namespace(n=0) %}\n"
        "{% macro storage(name, depth=4) -%}\n"
        "- {name: {{ name }}_{{ at.n }}, depth: {{ depth }}}{% set at.n = at.n + 1 %}\n"
        "{%- endmacro %}\n"
        "{% set more = more | default(dict()) %}\n"
        "nodes:\n"
        "{{ storage('one') }}\n"
        "{{ storage('two', depth=8) }}\n"
        "{% for key, value in more.items() %}{{ key }}: {{ value }}{% endfor %}\n"
        "{% if 'keep' not in more %}kept: {{ more.get('keep', 3) }}{% endif %}\n",
    )
    assert read_document(path).plain() == {
        "nodes": [{"name": "one_0", "depth": 4}, {"name": "two_1", "depth": 8}],
        "kept": 3,
    }


def test_what_loops_print_is_bounded(write) -> None:
    top = write("top.yaml", "{% for i in range(90000) %}" + "# filler " * 100 + "{% endfor %}")
    with pytest.raises(InputError, match="prints more than 8000000 characters"):
        read_document(top)


def test_missing_keys_of_an_include_are_named(write) -> None:
    write("inner.yaml", "nodes: {}\n")
    with pytest.raises(InputError, match="has no key 'node' to include, did you mean 'nodes'"):
        read_document(write("top.yaml", "x: {{include('inner.yaml', 'node')}}"))


def test_many_includes_are_bounded(write) -> None:
    write("a.yaml", "1")
    top = write("top.yaml", "{% for i in range(1000) %}\n- {{include('a.yaml')}}\n{% endfor %}")
    with pytest.raises(InputError, match="more than 200 files are included"):
        read_document(top)


def test_the_first_versions_includes_mean_the_same(write) -> None:
    write("macros.yaml", "base: &base {N: 1}\n")
    write("inner.yaml", "C: 2\n")
    top = write("top.yaml", "!include ./macros.yaml\nproblem:\n  <<: *base\nother: !include inner.yaml # a comment\n")
    node = read_document(top)
    assert node.plain() == {"base": {"N": 1}, "problem": {"N": 1}, "other": {"C": 2}}
    assert node.mapping()["problem"].line == 2
    with pytest.raises(InputError, match=r"top.yaml:1: .*'../secret.yaml' lies outside"):
        read_document(write("sub/top.yaml", "a: !include ../secret.yaml\n"))


def test_a_template_adds_its_own_folder_to_the_path(write) -> None:
    write("inner.yaml", "a: 1")
    assert read_document(write("top.yaml", "{{add_to_path(cwd())}}\nx: {{include('inner.yaml')}}\n")).plain() == {
        "x": {"a": 1}
    }


@given(st.text(" ab\n", max_size=12), st.integers(0, 5) | st.sampled_from(["", "--"]), st.booleans(), st.booleans())
def test_indent_is_that_of_jinja(text: str, width: int | str, first: bool, blank: bool) -> None:
    assert indented(text, width, first, blank) == do_indent(text, width, first, blank)


def test_indent_is_known_and_bounded(write) -> None:
    text = "{{ include_text('in.yaml') | indent(2) }}"
    write("in.yaml", "a: 1\nb: 2")
    assert read_document(write("top.yaml", f"x:\n  {text}\n")).plain() == {"x": {"a": 1, "b": 2}}
    with pytest.raises(InputError, match="more than 100000 characters"):
        read_document(write("top.yaml", text.replace("(2)", "(99999)")))


def test_a_plain_and_a_deep_merge_stand_side_by_side(write) -> None:
    node = read_document(write("top.yaml", "a: &a {x: 1, k: [1]}\nb: &b {y: 2, k: [2]}\nc: {<<: *a, <<<: *b, z: 3}\n"))
    assert node.plain()["c"] == {"z": 3, "x": 1, "k": [1, 2], "y": 2}
