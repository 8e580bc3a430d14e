"""The functions that conditions may call, with what they take and give.

A name that is not here is refused with the names that are; those that many know from elsewhere say why.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5, sha1, sha256, sha512
from typing import NamedTuple

from sampler.ottl import clock, coerce, texts
from sampler.ottl.errors import OttlError, did_you_mean
from sampler.ottl.operands import UNKNOWN, Operand, calculated
from sampler.ottl.paths import Context
from sampler.ottl.syntax import Call
from sampler.ottl.types import Duration, Fail, Getter, Map, Opaque, Row, Words, int64, name_of


class Parameter(NamedTuple):
    """`coerce` makes the argument what the function takes. `written` asks for one that is written out."""

    name: str
    coerce: Callable[[object], object]
    optional: bool = False
    written: bool = False


class Function(NamedTuple):
    """`run` takes the coerced arguments. `raw` says that it takes them as they are: they are coerced only where they are
    written out, to find mistakes early. `gives` is the type of what it returns."""

    parameters: tuple[Parameter, ...]
    run: Callable[..., object]
    gives: type
    raw: bool = False


def _takes(**parameters: Callable[[object], object]) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, coerce) for name, coerce in parameters.items())


def _is(*kinds: type, coerced: Callable[[object], object] = coerce.anything) -> Function:
    return Function(_takes(target=coerced), lambda value: type(value) in kinds, bool, raw=True)


def _is_list(value: object) -> bool:
    return type(value) in (tuple, list, Words) or (type(value) is Opaque and value.items >= 0)


def _of_string(run: Callable[[bytes], object], gives: type = bytes) -> Function:
    return Function(_takes(target=coerce.string), run, gives)


def _of_two(second: str, run: Callable[[bytes, bytes], object], gives: type) -> Function:
    parameters = {"target": coerce.string, second: coerce.string}
    return Function(_takes(**parameters), run, gives)


def _of_duration(run: Callable[[Duration], object], gives: type) -> Function:
    return Function(_takes(duration=coerce.duration), run, gives)


def _of_time(unit: int) -> Function:
    return Function(_takes(time=coerce.time), clock.since_1970(unit), int)


def _id(what: str, size: int) -> Function:
    return Function(_takes(target=coerce.bytes_like), lambda raw: _id_of(what, size, raw), Opaque)


def _id_of(what: str, size: int, raw: bytes) -> Opaque:
    if len(raw) == size:
        return Opaque(what, raw)
    try:
        digits = raw.decode("ascii")
        if len(digits) == 2 * size and digits.isalnum():
            return Opaque(what, bytes.fromhex(digits))
    except ValueError:
        pass
    raise Fail(f"{size} bytes, or twice as many hexadecimal digits")


def _matches(target: object, pattern: bytes) -> bool:
    text = coerce.string_like(target)
    found = texts.matcher(pattern)
    return text is not None and found(text)


_TIMED = {"Hours": 3600 * 10**9, "Minutes": 60 * 10**9, "Seconds": 10**9}
_COUNTED = {"Milliseconds": 10**6, "Microseconds": 10**3, "Nanoseconds": 1}
_UNIX = {"UnixSeconds": 10**9, "UnixMilli": 10**6, "UnixMicro": 10**3, "UnixNano": 1}

FUNCTIONS: dict[str, Function] = {
    "IsMatch": Function(_takes(target=coerce.anything, pattern=coerce.string), _matches, bool),
    "IsString": _is(bytes, coerced=coerce.string),
    "IsInt": _is(int, coerced=coerce.integer),
    "IsDouble": _is(float, coerced=coerce.double),
    "IsBool": _is(bool, coerced=coerce.boolean),
    "IsMap": _is(Map, coerced=coerce.mapping),
    "IsList": Function(_takes(target=coerce.anything), _is_list, bool),
    "IsEmpty": Function(_takes(target=coerce.anything), texts.is_empty, bool),
    "Len": Function(_takes(target=coerce.anything), texts.length, int),
    "Concat": Function(_takes(vals=coerce.anything, delimiter=coerce.string), texts.concat, bytes),
    "Substring": Function(
        (
            *_takes(target=coerce.string, start=coerce.integer, length=coerce.integer),
            Parameter("utf8_safe", coerce.boolean, optional=True, written=True),
        ),
        texts.substring,
        bytes,
    ),
    "Split": _of_two("delimiter", texts.split, Words),
    "ToLowerCase": _of_string(texts.lower),
    "ToUpperCase": _of_string(texts.upper),
    "ConvertCase": Function(
        (Parameter("target", coerce.string), Parameter("to_case", texts.case, written=True)),
        texts.convert_case,
        bytes,
    ),
    "Trim": Function(
        (Parameter("target", coerce.string), Parameter("replacement", coerce.string, optional=True, written=True)),
        texts.trim,
        bytes,
    ),
    "TrimPrefix": _of_two("prefix", bytes.removeprefix, bytes),
    "TrimSuffix": _of_two("suffix", bytes.removesuffix, bytes),
    "HasPrefix": _of_two("prefix", bytes.startswith, bool),
    "HasSuffix": _of_two("suffix", bytes.endswith, bool),
    "ContainsValue": Function(_takes(target=coerce.sequence, item=coerce.anything), texts.contains, bool),
    "Index": Function(_takes(target=coerce.anything, value=coerce.anything), texts.index, int),
    "Coalesce": Function(_takes(values=coerce.anything), coerce.anything, object),
    "String": Function(_takes(target=coerce.string_like), coerce.anything, bytes),
    "Int": Function(_takes(target=coerce.int_like), coerce.anything, int),
    "Double": Function(_takes(target=coerce.float_like), coerce.anything, float),
    "Bool": Function(_takes(target=coerce.bool_like), coerce.anything, bool),
    "Duration": _of_string(clock.duration, Duration),
    **{name: _of_duration(clock.share(unit), float) for name, unit in _TIMED.items()},
    **{name: _of_duration(clock.whole(unit), int) for name, unit in _COUNTED.items()},
    **{name: _of_time(unit) for name, unit in _UNIX.items()},
    "Unix": Function(
        (Parameter("seconds", coerce.integer), Parameter("nanoseconds", coerce.integer, optional=True)),
        clock.from_1970,
        object,
    ),
    "TraceID": _id("trace id", 16),
    "SpanID": _id("span id", 8),
    "Hex": Function(_takes(target=coerce.bytes_like), lambda raw: raw.hex().encode(), bytes),
    "FNV": _of_string(lambda text: int64(texts.fnv(text)), int),
    "MD5": _of_string(lambda text: md5(text, usedforsecurity=False).hexdigest().encode()),
    "SHA1": _of_string(lambda text: sha1(text, usedforsecurity=False).hexdigest().encode()),
    "SHA256": _of_string(lambda text: sha256(text).hexdigest().encode()),
    "SHA512": _of_string(lambda text: sha512(text).hexdigest().encode()),
}

_REFUSED = {
    "Now": "a decision must come out the same whenever it is made; compare start_time and end_time with each other",
    "UUID": "a decision must come out the same whenever it is made",
    "UUIDv7": "a decision must come out the same whenever it is made",
    "Time": "times are not read from texts here; compare with Unix(seconds)",
}
ROOT = "IsRootSpan"


def call(node: Call, arguments: tuple[Operand, ...], context: Context) -> Operand:
    """The call of a function other than IsRootSpan with these arguments, in the order in which they are written.

    Raises OttlError for an unknown function and for arguments that it does not take.
    """
    function = find(node, context)
    given = _arranged(node, function, arguments)
    for parameter, argument in given:
        if argument.literal or not function.raw:
            _check(node.name, parameter, argument)
    if node.name == "IsMatch" and given[1][1].constant is not UNKNOWN:
        get = _matching(given[0][1].get, given[1][1])
    elif node.name == "Coalesce":
        get = _first_of(given[0][1], node)
    else:
        get = _running(function, given)
    return calculated(node.place, get, arguments, function.gives)


def find(node: Call, context: Context) -> Function:
    """The function of this name.

    Raises OttlError where there is none.
    """
    if node.name in FUNCTIONS:
        return FUNCTIONS[node.name]
    known = [*FUNCTIONS, *[ROOT] * (context == "span")]
    if node.name == ROOT:
        reason = "is for conditions of spans; compare span.parent_span_id.string with zeros"
        raise OttlError(f"{node.name}() {reason}", *node.place)
    if node.name in _REFUSED:
        raise OttlError(f"{node.name}() is not supported: {_REFUSED[node.name]}", *node.place)
    if node.name[0].islower():
        message = f"{node.name}() is no function of conditions, which change nothing"
        raise OttlError(f"{message}: {did_you_mean(node.name, known)}", *node.place)
    raise OttlError(f"there is no function {node.name}(): {did_you_mean(node.name, known)}", *node.place)


Given = list[tuple[Parameter, Operand]]


def _arranged(node: Call, function: Function, arguments: tuple[Operand, ...]) -> Given:
    """The arguments beside their parameters, in the order of those."""
    parameters = function.parameters
    names = [parameter.name for parameter in parameters]
    found: dict[str, Operand] = {}
    named = False
    for number, (written, operand) in enumerate(zip(node.arguments, arguments, strict=True)):
        named = named or bool(written.name)
        if named and not written.name:
            raise OttlError("an argument without a name stands after one with a name", *written.place)
        if not written.name and number >= len(names):
            raise OttlError(f"{node.name}() takes {_count(parameters)}, this is one more", *written.place)
        name = written.name or names[number]
        if name not in names or name in found:
            wrong = "is given twice" if name in found else f"is no parameter: {did_you_mean(name, names)}"
            raise OttlError(f"{name} {wrong}", *written.place)
        found[name] = operand
    missing = [parameter.name for parameter in parameters if parameter.name not in found and not parameter.optional]
    if missing:
        raise OttlError(f"{node.name}() takes {_count(parameters)}: {missing[0]} is missing", *node.place)
    return [(parameter, found[parameter.name]) for parameter in parameters if parameter.name in found]


def _count(parameters: tuple[Parameter, ...]) -> str:
    least = sum(not parameter.optional for parameter in parameters)
    most = len(parameters)
    return f"{least} argument{'s' * (least != 1)}" if least == most else f"{least} to {most} arguments"


def _check(name: str, parameter: Parameter, argument: Operand) -> None:
    if argument.constant is UNKNOWN:
        if parameter.written:
            raise OttlError(f"{name}() takes a {parameter.name} that is written out", *argument.place)
        return
    try:
        parameter.coerce(argument.constant)
    except Fail as failed:
        found = name_of(argument.constant)
        message = f"{name}() expects {failed} for {parameter.name}, not {found}"
        raise OttlError(message, *argument.place) from None


def _matching(target: Getter, pattern: Operand) -> Getter:
    """IsMatch with a pattern that is known: it is compiled once."""
    try:
        found = texts.matcher(coerce.string(pattern.constant))
    except Fail as failed:
        raise OttlError(f"expected {failed}", *pattern.place) from None

    def get(row: Row) -> object:
        value = target(row)
        text = value if type(value) is bytes else coerce.string_like(value)
        return text is not None and found(text)

    return get


def _first_of(values: Operand, node: Call) -> Getter:
    """Coalesce: the first that is not nil; those behind it are not looked at."""
    if not values.items:
        raise OttlError(f"{node.name}() takes a list that is written out, with at least one item", *values.place)
    getters = tuple(item.get for item in values.items)

    def get(row: Row) -> object:
        return next((value for each in getters if (value := each(row)) is not None), None)

    return get


def _running(function: Function, given: Given) -> Getter:
    run = function.run
    getters = tuple(_coerced(function, parameter, operand) for parameter, operand in given)
    if len(getters) == 1:
        (only,) = getters
        return lambda row: run(only(row))
    return lambda row: run(*[get(row) for get in getters])


def _coerced(function: Function, parameter: Parameter, operand: Operand) -> Getter:
    get, made = operand.get, parameter.coerce
    if function.raw or made is coerce.anything:
        return get
    if operand.constant is not UNKNOWN:
        value = made(operand.constant)
        return lambda row: value
    return lambda row: made(get(row))
