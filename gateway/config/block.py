"""A mapping with known keys, and how pydantic's findings become mistakes of ours at their place in the file.

Owns the base of all models and the translation. Knows no component. A model that accepts a key lets it take effect, or says in
the key's description why by design it has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from gateway.config.scalars import Unbuilt, not_built, passed_over
from gateway.config.tree import UNKNOWN, Node, Path, Substituted, dotted, find, key_mark, plain, value_mark
from gateway.config.words import meant, shown
from gateway.errors import Mistake


class Flaw(NamedTuple):
    """What is wrong between keys that are each right; `path` is relative to the block and names the key to point at."""

    path: Path
    message: str


class Block(BaseModel):
    """A mapping whose keys are all known. Nothing at all under its name means its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    unbuilt: ClassVar[Unbuilt] = {}
    refused: ClassVar[
        Mapping[str, str]
    ] = {}  # keys that the Collector has and that have no place here, each with the reason
    example: ClassVar[str] = ""  # for the documentation
    apart: ClassVar[str] = ""  # what one is called where the documentation has a chapter on it elsewhere

    def flaws(self) -> Iterable[Flaw]:
        """What is wrong between the keys of this block."""
        return ()

    @classmethod
    def flaws_in(cls, given: Mapping[str, object]) -> Iterable[Flaw]:
        """What can be seen to be wrong in the plain mapping already, whether or not its parts are right."""
        return ()

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_defaults(cls, given: object) -> object:
        if given is UNKNOWN:
            raise passed_over()
        return {} if _empty(given) else given

    @model_validator(mode="after")
    def _judge(self) -> Block:
        found = list(self.flaws())
        if found:
            raise PydanticCustomError("flaws", "", {"flaws": found})
        return self


def _empty(given: object) -> bool:
    return given is None or (isinstance(given, Substituted) and given.value is None)


PRESENT = BeforeValidator(lambda given: {} if _empty(given) else given)
"""For an optional block: its key alone, with nothing under it, turns it on with its defaults."""

LIST = BeforeValidator(lambda given: [] if _empty(given) else given)
"""For a list: its key alone means an empty one."""

Model = TypeVar("Model", bound=Block)


def keys_of(model: type[Block]) -> dict[str, tuple[str, FieldInfo]]:
    """Every key of a block, with the attribute and the field behind it: `and` is no name in Python."""
    return {field.alias or name: (name, field) for name, field in model.model_fields.items()}


def examine(model: type[Model], root: Node, path: Path) -> tuple[Model | None, list[Mistake]]:
    """The block at `path` of a document, or None, and every mistake in it."""
    node = find(root, path)
    assert node is not None, "who examines a block has seen it"
    given = plain(node)
    block, errors = _validate(model, given)
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    if unknown:  # without them, what lies behind them can be judged too
        _, errors = _validate(model, _without(given, [error["loc"] for error in unknown]))
    whole = model.flaws_in(given) if isinstance(given, dict) else ()
    translator = _Translator(model, root, path)
    mistakes = [mistake for error in unknown + errors for mistake in translator.mistakes(error)]
    mistakes += [translator.flaw((), flaw) for flaw in whole]
    return (None if mistakes else block), mistakes


def _validate(model: type[Model], given: object) -> tuple[Model | None, list[ErrorDetails]]:
    try:
        return model.model_validate(given, strict=True), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=True)


def _without(given: Any, paths: Sequence[Path]) -> object:
    """A copy of plain data that lacks the keys at these paths."""
    if isinstance(given, dict):
        gone = {path[0] for path in paths if len(path) == 1}
        below = {key: [path[1:] for path in paths if len(path) > 1 and path[0] == key] for key in given}
        return {key: _without(value, below[key]) for key, value in given.items() if key not in gone}
    if isinstance(given, list):
        return [_without(item, [path[1:] for path in paths if path[0] == index]) for index, item in enumerate(given)]
    return given


class _Translator:
    """Says in our words what pydantic found in one block of a document."""

    def __init__(self, model: type[Block], root: Node, path: Path) -> None:
        self.model = model
        self.root = root
        self.path = path

    def mistakes(self, error: ErrorDetails) -> Iterator[Mistake]:
        """The mistakes that one error stands for; none if what it is about has been noted already."""
        loc, kind = tuple(error["loc"]), error["type"]
        if kind == "passed_over" or error["input"] is UNKNOWN:
            return
        if kind == "flaws":
            yield from (self.flaw(loc, flaw) for flaw in error["ctx"]["flaws"])
        elif kind == "extra_forbidden":
            yield self.at_key(loc, self.unknown(loc))
        elif kind == "missing":
            yield self.at_key(loc[:-1], f'the key "{loc[-1]}" is missing')
        else:
            yield self.at_value(loc, _words(error))

    def flaw(self, loc: Path, flaw: Flaw) -> Mistake:
        return self.at_value((*loc, *flaw.path), flaw.message)

    def unknown(self, loc: Path) -> str:
        """What to say of a key that a block does not have."""
        block = block_at(self.model, loc[:-1])
        key = str(loc[-1])
        if key in block.refused:
            return block.refused[key]
        if key in block.unbuilt:
            return not_built(block.unbuilt[key])
        return f"unknown key{meant(key, keys_of(block))}"

    def at_key(self, loc: Path, message: str) -> Mistake:
        path = (*self.path, *loc)
        return Mistake(*key_mark(self.root, path), message, dotted(path))

    def at_value(self, loc: Path, message: str) -> Mistake:
        path = (*self.path, *loc)
        return Mistake(*value_mark(self.root, path), message, dotted(path))


_EXPECTED = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
}


def _words(error: ErrorDetails) -> str:
    if error["type"] == "wrong":
        return str(error["ctx"]["message"])
    # Any other type of error would be a field without a Kind: a bug of a model.
    return f"expected {_EXPECTED[error['type']]}, got {shown(error['input'])}"


def block_at(model: type[Block], loc: Path) -> type[Block]:
    """The model of the block at a path inside another; list positions and the keys of free mappings are skipped over."""
    here: Any = model
    for step in loc:
        if isinstance(here, type) and issubclass(here, Block):
            here = inner(keys_of(here)[str(step)][1].annotation)
        else:
            here = inner(get_args(here)[-1])
    assert isinstance(here, type) and issubclass(here, Block), f"no block at {loc}"
    return here


def inner(annotation: Any) -> Any:
    """A field's type without None beside it."""
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    optional = type(None) in get_args(annotation)
    if optional and get_origin(annotation) not in (list, dict) and len(arguments) == 1:
        return inner(arguments[0])
    return get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
