"""The kinds of values: text, switches, numbers, sizes, choices (durations and addresses have modules of their own).

Owns how each is written and the words for what is wrong with one. A kind is put on a model's field with Annotated; pydantic
calls it through `Kind`. Knows no keys.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError, core_schema
from typing_extensions import override

from gateway.config.tree import UNKNOWN, Substituted, SubstitutedItems, SubstitutedSection
from gateway.config.words import listed, meant, shown

INT64_MAX = (1 << 63) - 1
INT64_MIN = -(1 << 63)
TEXT_CHARS_MAX = 4096


def wrong(message: str) -> PydanticCustomError:
    """The error for a value, in words that need no translation."""
    return PydanticCustomError("wrong", "{message}", {"message": message})


def passed_over() -> PydanticCustomError:
    """The error for a value whose mistake has been noted already."""
    return PydanticCustomError("passed_over", "")


def as_text(given: object) -> object:
    """What a variable gave, as the text it is rather than what that says as YAML; anything else as it is."""
    if isinstance(given, Substituted):
        return given.text
    return given.whole.text if isinstance(given, (SubstitutedItems, SubstitutedSection)) else given


@dataclass(frozen=True, slots=True)
class Kind(ABC):
    """A kind of value. `read` turns what was given into the value, or raises `wrong`."""

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def validate(self, given: object) -> object:
        """What pydantic calls."""
        if given is UNKNOWN:
            raise passed_over()
        return self.read(self.unwrapped(given), shown(given))

    def unwrapped(self, given: object) -> object:
        """What a variable gave, as YAML."""
        return given.value if isinstance(given, Substituted) else given

    @abstractmethod
    def read(self, given: Any, said: str) -> object:
        """The value of what was given; `said` is how a message names it."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What the documentation calls it."""

    def written(self, value: object) -> str:
        """A value as one would write it in the file."""
        return shown(value)


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """Text, not empty unless `empty`; `pattern` must match all of it, and `what` says so in words.

    What is `secret` is in no message.
    """

    what: str = "text"
    pattern: str = r"(?s).*"
    empty: bool = False
    secret: bool = False

    @property
    @override
    def name(self) -> str:
        return "text"

    @override
    def unwrapped(self, given: object) -> object:
        return as_text(given)

    @override
    def read(self, given: Any, said: str) -> object:
        if self.secret and not isinstance(given, str):
            raise wrong(f"expected {self.what}; write it in quotes")
        if not isinstance(given, str):
            quotes = f'; write "{said}"' if isinstance(given, (int, float)) else ""
            raise wrong(f"expected {self.what}, got {said}{quotes}")
        if not given and not self.empty:
            raise wrong(
                f"expected {self.what}, got an empty one"
                if self.what == "text"
                else f"expected {self.what}, got nothing"
            )
        if len(given) > TEXT_CHARS_MAX:
            raise wrong(f"longer than {TEXT_CHARS_MAX} characters")
        if not re.fullmatch(self.pattern, given):
            raise wrong(f"expected {self.what}" if self.secret else f"expected {self.what}, got {said}")
        return given


@dataclass(frozen=True, slots=True)
class Switch(Kind):
    """true or false."""

    @property
    @override
    def name(self) -> str:
        return "true or false"

    @override
    def read(self, given: Any, said: str) -> object:
        if not isinstance(given, bool):
            raise wrong(f"expected true or false, got {said}")
        return given


@dataclass(frozen=True, slots=True)
class Only(Kind):
    """A switch of which only one position is built; `reason` says why."""

    position: bool
    reason: str

    @property
    @override
    def name(self) -> str:
        return f"only {shown(self.position)}"

    @override
    def read(self, given: Any, said: str) -> object:
        if not isinstance(given, bool):
            raise wrong(f"expected {shown(self.position)}, got {said}")
        if given is not self.position:
            raise wrong(f"{shown(given)} is not built: {self.reason}")
        return given


_GROUPED = re.compile(r"-?[0-9]{1,3}(_[0-9]{3}){1,6}")  # 100_000, as the Collector's documentation has it

_EXACT_MAX = 2.0**53  # up to here a float is a whole number for certain


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """A whole number between two bounds, both included; `why` explains the upper or lower one.

    1e+06 is one: templates write large numbers so.
    """

    min: int = 0
    max: int = INT64_MAX
    why: str = ""

    @property
    @override
    def name(self) -> str:
        if self.max == INT64_MAX:
            return "whole number" if self.min == INT64_MIN else f"whole number, {self.min} or more"
        return f"whole number, {self.min} to {self.max}"

    @override
    def unwrapped(self, given: object) -> object:
        value = Kind.unwrapped(self, given)
        if isinstance(value, str) and _GROUPED.fullmatch(value):
            return int(value)
        whole = isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_MAX
        return int(value) if whole and isinstance(value, float) else value

    @override
    def read(self, given: Any, said: str) -> object:
        if isinstance(given, bool) or not isinstance(given, int):
            raise wrong(f"expected a whole number, got {said}")
        return self.bounded(given, said)

    def bounded(self, given: int, said: str) -> int:
        """The number, if it is within the bounds."""
        if given < self.min:
            raise wrong(f"expected {self.min} or more, got {said}{self.because}")
        if given > self.max:
            raise wrong(f"expected at most {self.max}, got {said}{self.because}")
        return given

    @property
    def because(self) -> str:
        """The reason for a bound, after a colon."""
        return f": {self.why}" if self.why else ""


_SIZE = re.compile(r"([0-9]{1,18})(KiB|MiB|GiB)")
_SIZE_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True, slots=True)
class Size(Whole):
    """A number of bytes: 4194304 or 4MiB."""

    @property
    @override
    def name(self) -> str:
        return "size"

    @override
    def read(self, given: Any, said: str) -> object:
        if isinstance(given, str):
            match = _SIZE.fullmatch(given)
            if not match:
                raise wrong(f"expected a number of bytes or a size such as 4MiB (KiB, MiB, GiB), got {said}")
            return self.bounded(int(match[1]) * _SIZE_UNITS[match[2]], said)
        if isinstance(given, bool) or not isinstance(given, int):
            raise wrong(f"expected a number of bytes or a size such as 4MiB, got {said}")
        return self.bounded(given, said)

    @override
    def written(self, value: object) -> str:
        assert isinstance(value, int)
        return f"{value >> 20}MiB" if value and value % (1 << 20) == 0 else str(value)


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A finite number between two bounds, both included."""

    min: float = -math.inf
    max: float = math.inf

    @property
    @override
    def name(self) -> str:
        low, high = math.isfinite(self.min), math.isfinite(self.max)
        if low and high:
            return f"number, {self.min:g} to {self.max:g}"
        return f"number, {self.min:g} or more" if low else "number"

    @override
    def read(self, given: Any, said: str) -> object:
        if isinstance(given, bool) or not isinstance(given, (int, float)):
            raise wrong(f"expected a number, got {said}")
        try:
            value = float(given)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise wrong(f"expected a finite number, got {said}")
        if value < self.min:
            raise wrong(f"expected {self.min:g} or more, got {said}")
        if value > self.max:
            raise wrong(f"expected at most {self.max:g}, got {said}")
        return value

    @override
    def written(self, value: object) -> str:
        assert isinstance(value, float)
        return f"{value:g}"


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of a few words. `unbuilt` are those the Collector knows besides, with a hint or ""; `fold` ignores case."""

    choices: tuple[str, ...]
    unbuilt: tuple[tuple[str, str], ...] = ()
    fold: bool = False

    @property
    @override
    def name(self) -> str:
        return listed(f"`{choice}`" for choice in self.choices)

    @override
    def unwrapped(self, given: object) -> object:
        return as_text(given)

    @override
    def read(self, given: Any, said: str) -> object:
        if not isinstance(given, str):
            raise wrong(f"expected {listed(self.choices)}, got {said}")
        word = given.lower() if self.fold else given
        if word in self.choices:
            return word
        unbuilt = dict(self.unbuilt)
        if word in unbuilt:
            raise wrong(not_built(unbuilt[word], f"{said} is "))
        raise wrong(f"expected {listed(self.choices)}, got {said}{meant(given, self.choices)}")


def not_built(hint: str, before: str = "") -> str:
    """The words for what the Collector has and we do not."""
    return f"{before}not built yet" + (f": {hint}" if hint else "")


Unbuilt = Mapping[str, str]
"""Keys or types that the Collector documents and that are not built, each with a hint or ""."""
