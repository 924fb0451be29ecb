"""A class takes over what those have that it extends, in the order in which Python would look it up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from framework.definitions import AtomDefinition, Definitions, check

Define = Callable[..., Definitions]


def atom(name: str, *fields: str, extends: str = "", identifier: str = "", methods: str = "") -> str:
    """A class whose fields are given as ``name:type``."""
    listed = "".join(
        f"    - {{field_name: {f.split(':')[0]}, field_type: {f.split(':')[1]}}}\n" for f in fields
    )
    text = f"- name: {name}\n  extends: [{extends}]\n  attributes:\n    local_fields:\n{listed}"
    if identifier:
        text += f"    identifier: {{field_name: {identifier}, field_type: string}}\n"
    if methods:
        text += "  methods:\n    instance_methods:\n"
        text += "".join(
            f"    - {{method_body: 'def {m}(self): return \"{name}\"'}}\n" for m in methods.split()
        )
    return text


def by_name(definitions: Definitions) -> dict[str, AtomDefinition]:
    return {one.name: one for one in definitions.atoms}


def names(of: AtomDefinition) -> list[str]:
    return [field.name for field in of.fields]


def owners(of: AtomDefinition) -> dict[str, str]:
    return {method.name: method.owner for method in of.instance_methods}


def test_a_child_has_the_fields_of_its_parents_before_its_own(define: Define) -> None:
    found = by_name(
        define(
            atom("Child", "c:string", extends="A, B"),
            atom("A", "a:string", extends="Base"),
            atom("B", "b:string"),
            atom("Base", "base:string", identifier="id"),
        )
    )
    assert names(found["Child"]) == ["base", "a", "b", "c"]
    assert found["Child"].identifier == found["Base"].identifier
    assert found["Child"].extends == ("A", "B")
    assert found["Child"].lineage == ("A", "Base", "B")
    assert (names(found["Base"]), found["Base"].lineage) == (["base"], ())
    assert (names(found["A"]), found["A"].lineage) == (["base", "a"], ("Base",))


def test_of_a_field_in_two_places_the_nearest_wins_and_stands_where_the_first_stood(define: Define) -> None:
    text = atom("Base", "size:number", "x:string", identifier="id") + atom(
        "Child", "y:string", "size:integer", extends="Base", identifier="id"
    )
    child = by_name(define(text))["Child"]
    assert [(field.name, field.type.text) for field in child.fields] == [
        ("size", "integer"),
        ("x", "string"),
        ("y", "string"),
    ]
    assert child.identifier is not None
    assert child.identifier.location.line > child.fields[1].location.line


def test_of_two_parents_the_earlier_wins_and_each_before_its_own_parents(define: Define) -> None:
    found = by_name(
        define(
            atom("Base", methods="one two three four", identifier="id")
            + atom("Left", extends="Base", methods="one two")
            + atom("Right", extends="Base", methods="one three")
            + atom("Bottom", extends="Left, Right", methods="four")
            + atom("Mirror", extends="Right, Left")
        )
    )
    assert found["Bottom"].lineage == ("Left", "Right", "Base")
    assert owners(found["Bottom"]) == {"one": "Left", "two": "Left", "three": "Right", "four": "Bottom"}
    assert owners(found["Mirror"]) == {"one": "Right", "two": "Left", "three": "Right", "four": "Base"}


def test_references_are_taken_over_too(define: Define) -> None:
    text = (
        "- name: Base\n  attributes:\n    identifier: {field_name: id, field_type: string}\n"
        "    ref_fields:\n    - {field_name: next, field_type: <AxisAtom.Base>}\n"
        "- name: Child\n  extends: [Base]\n  attributes: {}\n"
    )
    base, child = check_of(define, text)
    assert child.references == base.references
    assert not child.fields


def check_of(define: Define, text: str) -> tuple[AtomDefinition, AtomDefinition]:
    folder = define  # references of a field are read whether or not anything comes of them
    first, second = folder(text).atoms
    return first, second


@pytest.mark.parametrize(
    ("parent", "child", "fits"),
    [
        ("number", "integer", True),
        ("object", "MU", True),
        ("array", "array<MU>", True),
        ("integer", "number", False),
        ("MU", "object", False),
        ("string", "DateTime", False),
        ("array", "object", False),
    ],
)
def test_a_child_may_make_a_type_narrower_and_nothing_else(
    tmp_path: Path, parent: str, child: str, fits: bool
) -> None:
    text = atom("P", f"f:{parent}", identifier="id") + atom("C", f"f:{child}", extends="P")
    (tmp_path / "a.yaml").write_text(text)
    problems = check(tmp_path).problems
    assert [problem.code for problem in problems] == ([] if fits else ["extends"])
    for problem in problems:
        assert f"`{child}` in `C` and `{parent}` in `P`" in problem.message


def test_what_does_not_go_together_is_told_once_where_it_comes_together(tmp_path: Path) -> None:
    text = (
        atom("A", "f:string", identifier="a")
        + atom("B", "f:integer", identifier="b")
        + atom("C", extends="A, B")
        + atom("D", extends="C")
        + atom("E", extends="D")
    )
    (tmp_path / "a.yaml").write_text(text)
    problems = check(tmp_path).problems
    assert [problem.code for problem in problems] == ["extends", "extends"]
    assert {problem.location.line for problem in problems} == {text.splitlines().index("- name: C") + 2}


def test_a_parent_that_is_not_there_is_told_and_the_rest_still_taken_over(tmp_path: Path) -> None:
    text = atom("Base", "a:string", identifier="id") + atom("Child", extends="Base, Bsae")
    (tmp_path / "a.yaml").write_text(text)
    checked = check(tmp_path)
    assert [(problem.code, problem.hint) for problem in checked.problems] == [
        ("no-such-class", "did you mean `Base`?")
    ]
    assert names(by_name(checked.definitions)["Child"]) == ["a"]


def test_many_diamonds_are_no_work_and_too_long_a_line_is_a_mistake(tmp_path: Path) -> None:
    diamonds = atom("T0", "f:string", identifier="id")
    for n in range(40):
        diamonds += atom(f"L{n}", extends=f"T{n}") + atom(f"R{n}", extends=f"T{n}")
        diamonds += atom(f"T{n + 1}", f"f{n}:string", extends=f"L{n}, R{n}")
    (tmp_path / "a.yaml").write_text(diamonds)
    checked = check(tmp_path)
    assert not checked.problems
    assert len(by_name(checked.definitions)["T40"].fields) == 41
    line = atom("C0") + "".join(atom(f"C{n + 1}", extends=f"C{n}") for n in range(2000))
    (tmp_path / "a.yaml").write_text(line)
    assert {problem.code for problem in check(tmp_path).problems} == {"extends"}
