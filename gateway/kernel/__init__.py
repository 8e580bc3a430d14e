"""The kernel: everything that is done once a span, in one of three forms of one source.

The modules beside this file are ordinary Python, which also compiles (Cython's pure-Python mode; setup.py). Uncompiled they are
the form `pure`, many times slower, for machines without a C compiler. `compiled` is for production; `checked`, compiled with
checks of overflow and initialisation, is for tests. The bytes that come in are anybody's: all forms check every read and write.

One form serves the whole process, chosen here when the first of it is imported: the compiled one if every module of it is there,
made from exactly the source that lies beside it, and TAILGATE_PURE is not 1. Nothing else imports the modules of a form.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gateway.kernel.decisions import Decisions
    from gateway.kernel.match import Matcher
    from gateway.kernel.parts import Parts
    from gateway.kernel.program import Program
    from gateway.kernel.scan import Spans
    from gateway.kernel.traces import Traces

FORMS = ("pure", "compiled", "checked")
MODULES = ("scan", "parts", "match", "traces", "program", "decisions")


class Kernel(NamedTuple):
    """One form: its name, and what its modules offer."""

    form: str
    Spans: type[Spans]
    Parts: type[Parts]
    slot_of: Callable[[bytes, int], int]
    Matcher: type[Matcher]
    Traces: type[Traces]
    Program: type[Program]
    Decisions: type[Decisions]


class NotBuiltError(ImportError):
    """A form cannot be had on this machine; says why."""


def load(form: str) -> Kernel:
    """One form, whichever the process has chosen. Raises NotBuiltError unless all of it is there and up to date."""
    scan, parts, match, traces, program, decisions = [_module(form, name) for name in MODULES]
    return Kernel(
        form,
        scan.Spans,
        parts.Parts,
        parts.slot_of,
        match.Matcher,
        traces.Traces,
        program.Program,
        decisions.Decisions,
    )


def _module(form: str, name: str) -> Any:
    if form == "pure":
        return import_module(f"gateway.kernel.{name}")
    try:
        module: Any = import_module(f"gateway.kernel.{form}.{name}")
    except ImportError as error:
        raise NotBuiltError(f"the kernel's {form} form is not built: {error}") from error
    if sha256(Path(__file__).with_name(f"{name}.py").read_bytes()).hexdigest() != module.SOURCE:
        raise NotBuiltError(f"the kernel's {form} form is out of date: {name}.py has changed since it was compiled")
    return module


def _choose() -> tuple[Kernel, str]:
    """The form for this process, and why it is not the compiled one."""
    if os.environ.get("TAILGATE_PURE") == "1":
        return load("pure"), "TAILGATE_PURE is 1"
    if sys.byteorder != "little":
        return load("pure"), "the compiled form reads numbers as little-endian machines keep them"
    try:
        return load("compiled"), ""
    except NotBuiltError as error:
        return load("pure"), str(error)


def described() -> dict[str, str]:
    """The form in use as fields for the log: `kernel`, and if it is pure `kernel_reason`, why."""
    return {"kernel": FORM, "kernel_reason": WHY_PURE} if WHY_PURE else {"kernel": FORM}


chosen, WHY_PURE = _choose()
FORM = chosen.form
"""The form in use, "compiled" or "pure"."""
