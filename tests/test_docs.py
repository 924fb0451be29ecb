"""The documentation says everything that there is, nothing stale, and its examples work."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from framework.atom import Atom
from framework.definitions import check, render
from framework.definitions.kinds import KINDS, Kind
from framework.definitions.names import COMMON_NAMES, ROUTING_PARAMETERS
from framework.definitions.problem import CODES
from framework.queue.fifo import Fifo

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *ROOT.glob("examples/*/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)
FENCE = re.compile(r"^```(\S*)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def snippets(page: Path, language: str, mark: str | None = None) -> list[str]:
    """The fenced snippets of a language that carry exactly this mark."""
    return [
        found[3]
        for found in FENCE.finditer(page.read_text("utf-8"))
        if (found[1], found[2]) == (language, mark)
    ]


def spans(name: str) -> list[str]:
    """What stands as code within the text of a page."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", read(name)))


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- what is generated ----------------------------------------------------------------------


def test_no_page_is_stale(generate: ModuleType) -> None:
    stale = [page.name for page in generate.stale()]
    assert not stale, "run `python docs/generate.py`"


def test_the_keys_without_effect_are_keys(generate: ModuleType) -> None:
    for kind, quiet in generate.NOT_IN_EFFECT.items():
        assert set(quiet) <= {key.path for key in generate.keys_of(kind)}


# ---- everything is there --------------------------------------------------------------------


def test_every_command_and_option_is_there(generate: ModuleType) -> None:
    page = read("docs/commands.md")
    for name, command in generate.commands():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert section, name
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert option in section, (name, option)


def test_every_environment_variable_that_the_code_reads_is_there() -> None:
    code = "\n".join(file.read_text("utf-8") for file in (ROOT / "framework").rglob("*.py"))
    read_ = set(re.findall(r"\bFRAMEWORK_[A-Z][A-Z_]*[A-Z]\b", code))
    assert read_ >= {"FRAMEWORK_DATABASE", "FRAMEWORK_SETTING_NAME"}
    page = read("docs/settings.md")
    assert not [name for name in sorted(read_) if name not in page]


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_definition_is_there(generate: ModuleType, kind: Kind) -> None:
    page = read("docs/definitions.md")
    shown = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    prefixes = generate._prefixes(kind)
    for key in generate.keys_of(kind):
        ends = [key.path, *(key.path.removeprefix(f"{p}.") for p in prefixes if key.path.startswith(f"{p}."))]
        assert shown & set(ends), f"{kind}: {key.path}"


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_a_mistake_is_there(code: str) -> None:
    assert f"| `{code}` |" in read("docs/mistakes.md")


def test_every_warning_is_named_as_one() -> None:
    told = re.search(r"^These codes are warnings:.*?\n\n", read("docs/mistakes.md"), re.MULTILINE | re.DOTALL)
    assert told is not None
    broken = (ROOT / "tests" / "fixtures" / "check" / "broken").glob("*/expected.txt")
    codes = {code for file in broken for code in re.findall(r": warning ([a-z-]+):", file.read_text("utf-8"))}
    assert len(codes) > 9
    assert codes <= set(re.findall(r"`([a-z-]+)`", told[0]))


@pytest.mark.parametrize("name", sorted({*COMMON_NAMES, *ROUTING_PARAMETERS}))
def test_every_name_that_scripts_see_is_there(name: str) -> None:
    # In code, by itself: not a part of another word.
    assert any(re.search(rf"(?<![\w.]){name}(?!\w)", span) for span in spans("docs/scripts.md"))


def public(class_: type[Any]) -> list[str]:
    """The methods and properties of a class."""
    annotated = inspect.get_annotations(class_)
    return [name for name in list(vars(class_)) if not name.startswith("_") and name not in annotated]


@pytest.mark.parametrize("name", [*public(Fifo), *public(Atom), "key_field"])
def test_every_method_of_fifo_and_atom_is_there(name: str) -> None:
    assert any(re.search(rf"\.{name}\b", span) for span in spans("docs/scripts.md"))


@pytest.mark.parametrize(
    "method", [Fifo.put, Fifo.put_many, Fifo.peek, Atom.save, Atom.destroy, Atom.load, Atom.retrieve]
)
def test_every_argument_of_fifo_and_atom_is_there(method: Any) -> None:
    words = {word for span in spans("docs/scripts.md") for word in re.findall(r"\w+", span)}
    assert {
        name for name in inspect.signature(method).parameters if name not in ("self", "cls")
    } - words == set()


# ---- links and commands ---------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made from the text."""
    text = FENCE.sub("", page.read_text("utf-8"))
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text("utf-8")))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{named(page)}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{named(page)}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_test_that_is_named_exists(page: Path) -> None:
    for path, function in re.findall(r"\b(tests/[\w/]+\.py)(?:::(\w+))?", page.read_text("utf-8")):
        assert (ROOT / path).is_file(), path
        assert not function or re.search(rf"def {function}\(", read(path)), function


def test_the_two_commands_of_the_readme_keep_their_shape() -> None:
    lines = [found[3] for found in FENCE.finditer(read("README.md")) if "python3 -m venv" in found[3]]
    assert lines == [
        "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/framework serve\n",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest -n auto\n",
    ]


# ---- examples -------------------------------------------------------------------------------


def write(folder: Path, texts: list[str]) -> None:
    for number, text in enumerate(texts):
        (folder / f"{number:03}.yaml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("page", [page for page in PAGES if snippets(page, "yaml")], ids=named)
def test_the_definitions_of_a_page_pass_the_check(page: Path, tmp_path: Path) -> None:
    write(tmp_path, snippets(page, "yaml"))
    checked = check(tmp_path, environ={})
    errors = [
        problem for problem in checked.errors if problem.code not in ("duplicate-worker", "duplicate-path")
    ]
    assert not errors, render(checked, "text")


def test_the_python_of_scripts_md_passes_the_check(tmp_path: Path) -> None:
    page = ROOT / "docs" / "scripts.md"
    examples = snippets(page, "python")
    assert len(examples) > 6
    routes = []
    for number, example in enumerate(examples):
        body = example + "return 204, None\n"
        route = f"proxy:\n  path: /example/{number}/{{teaId}}\n  authorization: {{auth_mode: none}}\n"
        routes.append(
            route + "request_forbidden_process: |\n" + "".join(f"  {line}\n" for line in body.splitlines())
        )
    write(tmp_path, [*snippets(page, "yaml"), *routes])
    checked = check(tmp_path, environ={})
    assert not checked.problems, render(checked, "text")


def test_the_readmes_mistake_is_told_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "README.md"
    [broken] = snippets(page, "yaml", "broken")
    (tmp_path / "tea").mkdir()
    monkeypatch.chdir(tmp_path)
    for name, text in zip(("Tea", "teas", "Kettle"), [*snippets(page, "yaml"), broken], strict=True):
        Path("tea", f"{name}.yaml").write_text(text, encoding="utf-8")
    said = render(check("tea", environ={}), "text")
    assert f"$ framework check tea\n{said}\n" in page.read_text("utf-8")

    Path("tea", "Kettle.yaml").write_text(broken.replace("atom.tea", "atom.Tea"), encoding="utf-8")
    said = render(check("tea", environ={}), "text")
    assert f"$ framework check tea\n{said}\n" in page.read_text("utf-8")


@pytest.mark.parametrize("page", [page for page in PAGES if snippets(page, "yaml", "broken")], ids=named)
def test_what_is_marked_as_broken_is(page: Path, tmp_path: Path) -> None:
    for number, snippet in enumerate(snippets(page, "yaml", "broken")):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder, [snippet])
        assert check(folder, environ={}).problems, snippet
