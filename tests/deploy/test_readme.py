"""README.md says what is so: its commands parse, its snippet compiles, its links and files are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from gateway import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^\| `tailgate ([^`]+)` \|", README, re.MULTILINE)
VALUES = {
    "N": "3",
    "F": "file.yaml",
    "URL": "redis://127.0.0.1:6379/0",
    "NAME": "blue",
    "TRACE_ID": "0d5d5f3cbaa4046d04b4af3d612ee013",
}


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("--")])
def test_commands_parse(command: str) -> None:
    """Every command of the table is one that `tailgate` understands, with all of its options."""
    words = [VALUES.get(word, word) for word in shlex.split(command.replace("[", "").replace("]", ""))]
    assert callable(cli.parser().parse_args(words).command)


def test_every_command_is_in_the_table() -> None:
    """The table leaves out no command."""
    listed = {command.split()[0] for command in COMMANDS}
    help_text = cli.parser().format_help()
    offered = set(re.findall(r"^    (\w+)(?: |$)", help_text, re.MULTILINE))
    assert offered == {name for name in listed if not name.startswith("--")}


def test_the_snippet_is_python_that_finds_its_imports() -> None:
    """The first trace's program compiles, and every name it imports exists."""
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    imports = "\n".join(line for line in snippet.splitlines() if line.startswith("from "))
    compile(snippet, "README.md", "exec")
    names: dict[str, object] = {}
    exec(imports, names)
    assert {"TracerProvider", "OTLPSpanExporter"} <= names.keys()


def test_links_and_files_are_there() -> None:
    """Every file that the README links to, and every path of deploy/ that it names, exists."""
    paths = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r"\bdeploy/[\w./-]*[\w/]", README)
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path


def test_make_targets_are_there() -> None:
    """Every `make` target that the README names is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)`", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
