"""Tests about the code: who may import whom, what cores may not touch, how long a function may be, whose test is where."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gateway", "loadbalancer", "sampler")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

# Sockets, clocks, dice, processes and logs belong to the shell.
IMPURE = {
    *("aiohttp", "asyncio", "concurrent", "grpc", "grpc_health", "http", "logging", "multiprocessing", "os", "random"),
    *(
        "redis",
        "secrets",
        "select",
        "signal",
        "socket",
        "ssl",
        "structlog",
        "subprocess",
        "tempfile",
        "threading",
        "time",
    ),
    *("urllib", "uuid", "uvloop"),
}
# Files of the shell outside gateway/net/.
SHELL = ("gateway/cli.py", "service.py", "__main__.py")
# `os` and `sys` are no input or output by themselves, but a core has no business with them: the first of these writes a
# document, the second asks the environment once which form of the kernel to take.
TOOLS = ("gateway/config/reference.py", "gateway/kernel/__init__.py")
FUNCTION_LINES_MAX = 70
WORDS_OF_UNFINISHED_WORK = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_shell(path: Path) -> bool:
    name = name_of(path)
    return name.startswith("gateway/net/") or name.endswith(SHELL)


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    """gateway/ imports no tier, and a tier imports only itself and gateway/."""
    package = name_of(path).split("/")[0]
    others = {other for other in PACKAGES if other not in (package, "gateway")}
    assert not {name for name in imports_of(path) if name.split(".")[0] in others}


@pytest.mark.parametrize("path", [path for path in MODULES if not is_shell(path)], ids=name_of)
def test_cores_are_pure(path: Path) -> None:
    """Outside the shell nothing knows sockets, clocks, dice, processes, logs, or the shell itself."""
    names = set(imports_of(path))
    impure = {name for name in names if name.split(".")[0] in IMPURE and not name_of(path).endswith(TOOLS)}
    assert not impure
    assert not {name for name in names if name.startswith("gateway.net")}


@pytest.mark.parametrize("path", [path for path in MODULES if not is_shell(path)], ids=name_of)
def test_cores_do_the_same_in_every_process(path: Path) -> None:
    """Cores never iterate a set and never call hash() or id(): the order and the numbers differ from process to process."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("hash", "id"), f"line {node.lineno}: {node.func.id}()"
        iterated = node.iter if isinstance(node, (ast.For, ast.comprehension)) else None
        if iterated is not None:
            assert not isinstance(iterated, (ast.Set, ast.SetComp)), f"line {iterated.lineno}: iterates a set"
            called = iterated.func if isinstance(iterated, ast.Call) else None
            named = called.id if isinstance(called, ast.Name) else ""
            assert named not in ("set", "frozenset"), f"line {iterated.lineno}: iterates a set"


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=name_of)
def test_functions_fit_a_screen(path: Path) -> None:
    """No function is longer than 70 lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name not in ("__init__.py", "__main__.py")], ids=name_of
)
def test_every_module_has_its_test(path: Path) -> None:
    """tests/ mirrors the packages: gateway/ring.py is tested in tests/gateway/test_ring.py."""
    partner = ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{path.name}"
    assert partner.exists(), f"{name_of(path)} has no {name_of(partner)}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_say_what_they_own(path: Path) -> None:
    """Every module begins with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=name_of)
def test_nothing_is_left_unfinished(path: Path) -> None:
    """No leftover markers of unfinished work, and no stub."""
    if path != Path(__file__).resolve():
        assert not WORDS_OF_UNFINISHED_WORK.search(path.read_text())


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_tests_state_facts_and_can_fail(path: Path) -> None:
    """Every test has a docstring that says what is true of the product, and checks something."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or not node.name.startswith("test_"):
            continue
        assert ast.get_docstring(node), f"{node.name} has no docstring"
        body = ast.dump(ast.Module(node.body, []))
        checks = "Assert(" in body or "raises" in body or re.search(r"id='(check|expect|assert)", body)
        checks = checks or re.search(r"(attr|id)='_?(check|expect|assert|verify|compare|run_)", body)
        assert checks, f"{node.name} checks nothing"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_broad_excepts_have_their_reason(path: Path) -> None:
    """Between expected errors and bugs there is no `except Exception` without its reason beside it."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if re.search(r"except\s*(Exception|BaseException)?\s*(as \w+)?:\s*(#|$)", line):
            assert re.search(r"# noqa: BLE001 -- \w+", line), f"line {number}"
