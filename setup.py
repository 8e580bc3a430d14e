"""Compiles the kernel (gateway/kernel); all else is in pyproject.toml.

Without a C compiler the build warns and goes on without it: the same source then runs uncompiled, many times slower.
TAILGATE_CHECKED=1 also builds the form with all of Cython's checks, which the tests run; TAILGATE_PURE=1 builds nothing.
TAILGATE_SANITIZE=1 has gcc watch every access too (`make sanitize`).
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCES = [Path(f"gateway/kernel/{name}.py") for name in ("scan", "parts", "match", "traces", "program", "decisions")]
BUILD = Path("build/kernel")

# Every index is checked in both forms.
COMPILED = {"language_level": 3, "boundscheck": True, "wraparound": False, "initializedcheck": False, "cdivision": True}
COMPILED |= {"warn.unreachable": False, "show_performance_hints": False}  # half of each branch on cython.compiled
CHECKED = COMPILED | {"overflowcheck": True, "initializedcheck": True, "nonecheck": True, "cdivision": False}

FLAGS = {"compiled": ["-O3", "-g0"], "checked": ["-O1", "-g0"]}
WARNINGS = ["-Wno-sign-compare", "-Wno-unreachable-code"]  # Cython's own, in what it makes
SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", "-fsanitize=address,undefined"]


def extensions(form: str, directives: dict[str, object]) -> list[Extension]:
    """One extension for each module, made from a copy that knows the hash of its source: gateway.kernel asks for it."""
    watched = os.environ.get("TAILGATE_SANITIZE") == "1"
    flags = SANITIZE if watched else FLAGS[form]
    made = []
    for source in SOURCES:
        copy = BUILD / form / source.name
        text = f'{source.read_text()}\nSOURCE = "{sha256(source.read_bytes()).hexdigest()}"\n'
        if not copy.exists() or copy.read_text() != text:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
        made.append(
            Extension(
                f"gateway.kernel.{form}.{source.stem}",
                [copy.as_posix()],
                extra_compile_args=[*flags, *WARNINGS],
                extra_link_args=SANITIZE[-1:] if watched else [],
            )
        )
    compiled: list[Extension] = cythonize(made, compiler_directives=directives, quiet=True)
    for each in compiled:
        each.optional = True  # cythonize forgets it
    return compiled


def forms() -> list[Extension]:
    """What the environment asks for."""
    if os.environ.get("TAILGATE_PURE") == "1":
        return []
    checked = extensions("checked", CHECKED) if os.environ.get("TAILGATE_CHECKED") == "1" else []
    return extensions("compiled", COMPILED) + checked


setup(ext_modules=forms(), options={"build_ext": {"parallel": os.cpu_count() or 1}})
