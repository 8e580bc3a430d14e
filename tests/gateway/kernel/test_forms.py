"""gateway.kernel: which form a process works with."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from gateway import kernel

ROOT = Path(kernel.__file__).parent


def compiled(name: str) -> object:
    try:
        return import_module(f"gateway.kernel.compiled.{name}")
    except ImportError as error:
        pytest.skip(str(error))


def test_all_of_one_form(kernel: kernel.Kernel) -> None:
    """Nothing of a form comes from another one."""
    folder = "gateway.kernel." if kernel.form == "pure" else f"gateway.kernel.{kernel.form}."
    for offered in (kernel.Spans, kernel.Parts, kernel.Traces, kernel.Program, kernel.Decisions):
        assert offered.__module__ == folder + offered.__module__.rpartition(".")[2]


def test_pure_by_the_environment() -> None:
    """TAILGATE_PURE=1 has a process work without the compiled form, and the log says so."""
    environment = os.environ | {"TAILGATE_PURE": "1"}
    script = "from gateway import kernel; print(kernel.described(), kernel.chosen.Spans.__module__)"
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True).stdout
    assert said.decode() == "{'kernel': 'pure', 'kernel_reason': 'TAILGATE_PURE is 1'} gateway.kernel.scan\n"


def test_big_endian_machines_are_pure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled form is not for machines that keep numbers the other way round."""
    monkeypatch.delenv("TAILGATE_PURE", raising=False)
    monkeypatch.setattr(sys, "byteorder", "big")
    chosen, reason = kernel._choose()
    assert (chosen.form, "little-endian" in reason) == ("pure", True)


def test_a_form_older_than_its_source_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compiled from another source than the one beside it is not used, in no part."""
    monkeypatch.delenv("TAILGATE_PURE", raising=False)
    for name in kernel.MODULES:
        module = compiled(name)
        source = (ROOT / f"{name}.py").read_bytes()
        monkeypatch.setattr(module, "SOURCE", kernel.sha256(source).hexdigest())
    monkeypatch.setattr(compiled("parts"), "SOURCE", "older")
    with pytest.raises(kernel.NotBuiltError, match=r"out of date: parts\.py has changed"):
        kernel.load("compiled")
    chosen, reason = kernel._choose()
    assert (chosen.form, "out of date" in reason) == ("pure", True)


def test_a_form_of_which_a_part_is_missing_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """One module that was not built leaves the whole form out."""
    monkeypatch.delenv("TAILGATE_PURE", raising=False)
    monkeypatch.setitem(sys.modules, "gateway.kernel.compiled.parts", None)
    chosen, reason = kernel._choose()
    assert chosen.form == "pure"
    assert "not built" in reason or "out of date" in reason


def test_the_build_compiles_what_the_kernel_asks_for() -> None:
    """setup.py and the kernel name the same modules."""
    assert str(kernel.MODULES).replace("'", '"') in (ROOT.parent.parent / "setup.py").read_text()
