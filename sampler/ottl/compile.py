"""From a condition's syntax to what judges rows: closures, with everything that is known beforehand worked out.

What is always true or false as it is written decides early, exactly where the Collector lets it: an `and` with a literal
false is false even where its other side would fail.
"""

from __future__ import annotations

from typing import cast

from sampler.ottl import compare, functions, maths, paths
from sampler.ottl.errors import OttlError, did_you_mean
from sampler.ottl.operands import UNKNOWN, Operand, calculated, constant
from sampler.ottl.syntax import (
    And,
    Call,
    Chain,
    Comparison,
    Enum,
    ListOf,
    Literal,
    MapOf,
    Negative,
    Node,
    Not,
    Or,
    Path,
)
from sampler.ottl.types import Blob, Fail, Getter, Judge, Map, Row

Verdict = bool | Judge
"""What a condition comes to: for every span the same, or what judges each."""

ENUMS = {
    "SPAN_KIND_UNSPECIFIED": 0,
    "SPAN_KIND_INTERNAL": 1,
    "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": 3,
    "SPAN_KIND_PRODUCER": 4,
    "SPAN_KIND_CONSUMER": 5,
    "STATUS_CODE_UNSET": 0,
    "STATUS_CODE_OK": 1,
    "STATUS_CODE_ERROR": 2,
}


def judge(node: Node, slots: paths.Slots) -> Judge:
    """What judges a row of the fields that `slots` has been asked for meanwhile.

    Raises OttlError for a condition that means nothing or would fail for every span.
    """
    verdict = _Compiler(slots).condition(node)
    return verdict if callable(verdict) else lambda row: verdict


class _Compiler:
    """Compiles the parts of one condition."""

    def __init__(self, slots: paths.Slots) -> None:
        self._slots = slots

    # ------------------------------------------------------------ conditions

    def condition(self, node: Node) -> Verdict:
        match node:
            case Or():
                return _combined(tuple(map(self.condition, node.operands)), decisive=True)
            case And():
                return _combined(tuple(map(self.condition, node.operands)), decisive=False)
            case Not():
                return _contrary(self.condition(node.operand))
            case Comparison():
                return self._comparison(node)
            case Call():
                return self._called(node)
            case Literal(value=bool()):
                return bool(node.value)
        raise OttlError(_no_condition(node), *node.place)

    def _comparison(self, node: Comparison) -> Verdict:
        left, right = self.value(node.left), self.value(node.right)
        if left.literal and right.literal:
            return compare.compare(node.symbol, left.constant, right.constant)
        if right.constant is not UNKNOWN:
            return compare.with_constant(node.symbol, left.get, right.constant)
        if left.constant is not UNKNOWN:
            return compare.with_constant(compare.FLIPPED[node.symbol], right.get, left.constant)
        return compare.of_both(node.symbol, left.get, right.get)

    def _called(self, node: Call) -> Verdict:
        operand = self.value(node)
        known = operand.always if operand.constant is UNKNOWN else type(operand.constant)
        if known not in (bool, object, None):
            raise OttlError(f"{node.name}() alone is neither true nor false: compare it with something", *node.place)
        get = operand.get

        def judged(row: Row) -> bool:
            value = get(row)
            if type(value) is bool:
                return value
            raise Fail("a bool")

        return judged

    # ------------------------------------------------------------ values

    def value(self, node: Node) -> Operand:
        match node:
            case Literal():
                return constant(node.place, node.value)
            case Enum():
                return _enum(node)
            case Path():
                return Operand(node.place, paths.getter(node, self._slots, self._key))
            case Call():
                return self._call(node)
            case ListOf():
                return self._list(node)
            case MapOf():
                return self._map(node)
            case Negative():
                return self._negative(node)
            case Chain():
                return self._chain(node)
        raise OttlError("a condition cannot stand where a value is expected", *node.place)

    def _key(self, node: Node) -> Getter:
        return self.value(node).get

    def _call(self, node: Call) -> Operand:
        if node.name == functions.ROOT and self._slots.context == "span":
            return self._indexed(node, self._root(node))
        arguments = tuple(self.value(argument.value) for argument in node.arguments)
        return self._indexed(node, functions.call(node, arguments, self._slots.context))

    def _root(self, node: Call) -> Operand:
        if node.arguments:
            raise OttlError(f"{node.name}() takes no arguments", *node.arguments[0].place)
        at = self._slots.of(paths.PARENT)
        return Operand(node.place, lambda row: not (row[at] and any(row[at] or b"")), always=bool)

    def _indexed(self, node: Call, operand: Operand) -> Operand:
        if not node.keys:
            return operand
        get, keys = operand.get, tuple(map(self._key, node.keys))

        def step_by_step(row: Row) -> object:
            value = get(row)
            for key in keys:
                value = _item(value, key(row))
            return value

        return Operand(node.place, step_by_step)

    def _list(self, node: ListOf) -> Operand:
        items = tuple(map(self.value, node.items))
        if all(item.literal for item in items):
            return constant(node.place, [item.constant for item in items], items=items)
        getters = tuple(item.get for item in items)
        return Operand(node.place, lambda row: [get(row) for get in getters], items=items)

    def _map(self, node: MapOf) -> Operand:
        pairs = {key: self.value(value) for key, value in node.pairs}
        if all(value.literal for value in pairs.values()):
            return constant(node.place, Map([(key, _stored(value.constant)) for key, value in pairs.items()]))
        getters = tuple((key, value.get) for key, value in pairs.items())
        return Operand(node.place, lambda row: Map([(key, _stored(get(row))) for key, get in getters]))

    def _negative(self, node: Negative) -> Operand:
        operand = self._number(node.operand)
        get = operand.get
        if operand.literal:
            return constant(node.place, maths.negative(operand.constant))
        return calculated(node.place, lambda row: maths.negative(get(row)), (operand,))

    def _chain(self, node: Chain) -> Operand:
        first = self._number(node.first)
        rest = tuple((symbol, self._number(operand)) for symbol, operand in node.rest)
        get = maths.chain(first.get, tuple((symbol, operand.get) for symbol, operand in rest))
        return calculated(node.place, get, (first, *(operand for _, operand in rest)))

    def _number(self, node: Node) -> Operand:
        """An operand of arithmetic: no other literals than numbers."""
        wrong = isinstance(node, Literal) and type(node.value) not in (int, float)
        if wrong or isinstance(node, Enum | ListOf | MapOf):
            raise OttlError("arithmetic takes numbers, paths and functions' calls", *node.place)
        return self.value(node)


def _no_condition(node: Node) -> str:
    if isinstance(node, Path):
        return f"{node} alone is neither true nor false: compare it with something, as in {node} == true"
    return "this alone is neither true nor false: a comparison or a function's call is expected"


def _enum(node: Enum) -> Operand:
    if node.name in ENUMS:
        return constant(node.place, ENUMS[node.name])
    if node.name in functions.FUNCTIONS:
        raise OttlError(f"{node.name} is a function and needs its arguments: {node.name}(…)", *node.place)
    raise OttlError(f"there is no {node.name}: {did_you_mean(node.name, ENUMS)}", *node.place)


def _item(value: object, key: object) -> object:
    if type(value) is Map and type(key) is bytes and value.has(key):
        return value.get(key)
    if isinstance(value, tuple | list) and type(key) is int and 0 <= key < len(value):
        return cast("list[object]", value)[key]
    raise Fail("a value that has such a key")


_STORABLE = (type(None), bool, int, float, bytes, Blob, Map)


def _stored(value: object) -> object:
    """A value as it stands in a map that is written out: lists become those of the data.

    Raises Fail for what no attribute can be, and for lists of the data, which cannot be put there.
    """
    if type(value) is list:
        return tuple(map(_stored_item, value))
    if type(value) in _STORABLE:
        return value
    raise Fail("a value that a map can hold")


def _stored_item(value: object) -> object:
    """The same of what stands in a list: a further list in it may hold no map."""
    if type(value) is list and any(type(item) is Map for item in value):
        raise Fail("a list that a map can hold")
    return _stored(value)


# ---------------------------------------------------------------- and, or, not


def _contrary(verdict: Verdict) -> Verdict:
    if not callable(verdict):
        return not verdict
    return lambda row: not verdict(row)


def _combined(verdicts: tuple[Verdict, ...], decisive: bool) -> Verdict:
    """Or, of which true is decisive; and, of which false is."""
    if any(verdict is decisive for verdict in verdicts):
        return decisive
    judges = tuple(verdict for verdict in verdicts if callable(verdict))
    if len(judges) < 2:
        return judges[0] if judges else not decisive
    if len(judges) > 2:
        return _many(judges, decisive)
    return _either(*judges) if decisive else _both(*judges)


def _both(first: Judge, second: Judge) -> Judge:
    return lambda row: first(row) and second(row)


def _either(first: Judge, second: Judge) -> Judge:
    return lambda row: first(row) or second(row)


def _many(judges: tuple[Judge, ...], decisive: bool) -> Judge:
    def judged(row: Row) -> bool:
        for each in judges:
            if each(row) is decisive:
                return decisive
        return not decisive

    return judged
