"""What the documents say is true: commands parse, targets exist, links lead somewhere."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from foresight import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
SHELLS = ("", "sh", "bash", "console")
SHELL_WORDS = {
    "source",
    "hf",
    "pip",
    "python",
}  # what stands in a code block beside our own commands


def blocks(page: Path, *languages: str) -> list[str]:
    """The code blocks of a page in these languages; a block without one has the language ''."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.M)
    return [code for language, code in fenced if language in languages]


def documented(first: str) -> list[tuple[str, str]]:
    """All documented command lines that begin with ``first``, in blocks and in `code`."""
    found = set()
    for page in PAGES:
        text = page.read_text()
        lines = [line for block in blocks(page, *SHELLS) for line in block.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
        for line in lines:
            words = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
            while re.match(r"[A-Z_]+=\S* ", words):  # settings in front of a command
                words = words.split(" ", 1)[1]
            if words.split(" ")[0] == first:
                found.add((words, page.name))
    return sorted(found)


@pytest.mark.parametrize(("line", "page"), documented("foresight"))
def test_documented_commands_parse(line, page, capsys):
    words = shlex.split(line.removesuffix(" &"), comments=True)[1:]
    if words == [] or words[0].startswith("-") or words[0] == "VERB":
        assert words == ["VERB", "--help"] or cli.main(words) in (0, 2)
        return
    if len(words) == 1 and not line.endswith("doctor"):
        assert words[0] in cli.VERBS, f"{page}: {line}"  # the verb's name inside a sentence
        return
    if words == ["data", "check"]:  # named inside a sentence, without its dataset
        return
    try:
        cli.parse(words)
    except SystemExit as stop:
        assert stop.code == 0, f"{page}: `{line}` does not parse: {capsys.readouterr().err}"


@pytest.mark.parametrize(("line", "page"), documented("make"))
def test_documented_targets_exist(line, page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for target in line.split()[1:]:
        assert target in targets, f"{page}: {line}"


def test_the_makefile_tells_of_every_target():
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, re.M))
    tests = {"test", "test-fast", "test-lerobot", "test-libero"}
    assert targets - {"help"} == {"setup", "demo", "lint", "bench"} | tests
    assert set(re.findall(r"make ([a-z-]+) ", text)) == targets - {"help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_hold_only_known_commands(page):
    for block in blocks(page, *SHELLS):
        lines = [line for line in block.splitlines() if line.strip()]
        known = [line for line in lines if line.split()[0] in {"foresight", "make", *SHELL_WORDS}]
        # A block is either a listing (no command at all) or nothing but commands.
        assert known in ([], lines), f"{page.name}: unknown command in\n{block}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_imports_of_python_examples(page):
    for block in blocks(page, "python"):
        tree = ast.parse(block)
        tree.body = [line for line in tree.body if isinstance(line, ast.Import | ast.ImportFrom)]
        exec(compile(tree, page.name, "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_index_lists_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


def test_the_page_of_commands_has_every_verb():
    text = (ROOT / "docs" / "commands.md").read_text()
    rows = re.findall(r"^\| `foresight (\w+)` \| (.+) \|$", text, re.M)
    assert dict(rows) == cli.VERBS


def test_the_rooms_of_the_design_exist():
    text = (ROOT / "docs" / "design.md").read_text()
    rooms = set(re.findall(r"^\| `(\w+)` \| .* \| .* \| .* \|$", text, re.M))
    here = {
        path.name
        for path in (ROOT / "src" / "foresight").iterdir()
        if path.is_dir() and any(path.glob("*.py"))
    }
    assert rooms == here - {"native", "cli", "pipelines"}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def test_the_readme_shows_the_results_as_they_are():
    from studies.summary import BEGIN, END, readme_block, results_page

    text = (ROOT / "README.md").read_text()
    shown = text.split(BEGIN)[1].split(END)[0].strip()
    assert shown == readme_block(ROOT / "results").strip()
    assert (ROOT / "results" / "README.md").read_text() == results_page(ROOT / "results")
