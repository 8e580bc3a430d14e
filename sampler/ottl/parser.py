"""From a condition's text to its syntax, or to the place where it breaks off."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import cast

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError

from gateway import limits
from sampler.ottl import literals
from sampler.ottl.errors import OttlError
from sampler.ottl.syntax import (
    And,
    Argument,
    Call,
    Chain,
    Comparison,
    Enum,
    Field,
    ListOf,
    Literal,
    MapOf,
    Negative,
    Node,
    Not,
    Or,
    Path,
    Place,
)
from sampler.ottl.types import Fail

# Conditions and values are one kind of expression here: ( may begin either, and one token ahead does not tell which.
_GRAMMAR = r"""
start: alternatives
?alternatives: together (_OR together)*
?together: contrary (_AND contrary)*
?contrary: NOT comparison                -> contrary
    | comparison
?comparison: sum | sum COMPARED sum      -> comparison
?sum: product (SIGN product)*            -> chain
?product: signed (TIMES signed)*         -> chain
?signed: SIGN atom                       -> signed
    | atom
?atom: "(" alternatives ")"
    | literal | listing | mapping | call | path
literal: STRING | BYTES | FLOAT | INT | NIL | TRUE | FALSE
listing: LSQB (sum ("," sum)*)? "]"
mapping: LBRACE (pair ","?)* "}"
pair: STRING ":" sum
call: NAME "(" (argument ("," argument)*)? ")" key*
argument: (NAME "=")? alternatives
path: field ("." field)*
field: NAME key*
key: "[" sum "]"

LSQB: "["
LBRACE: "{"
_OR.2: /or(?!\w)/
_AND.2: /and(?!\w)/
NOT.2: /not(?!\w)/
NIL.2: /nil(?!\w)/
TRUE.2: /true(?!\w)/
FALSE.2: /false(?!\w)/
COMPARED: "==" | "!=" | "<=" | ">=" | "<" | ">"
SIGN: "+" | "-"
TIMES: "*" | "/"
STRING: /"(\\.|[^\\"])*"/
BYTES.3: /0x[a-fA-F0-9]+/
FLOAT.2: /([0-9]+\.[0-9]*|[0-9]*\.[0-9]+)([eE][-+]?[0-9]+)?/
INT: /[0-9]+/
NAME: /(?!(and|or|not|nil|true|false)(?!\w))[a-zA-Z_][a-zA-Z0-9_]*/
%ignore /\s+/
"""

_READERS: dict[str, Callable[[str], object]] = {
    "STRING": literals.string,
    "BYTES": literals.blob,
    "FLOAT": literals.double,
    "INT": literals.integer,
    "NIL": lambda _: None,
    "TRUE": lambda _: True,
    "FALSE": lambda _: False,
}

_BRACKETS = re.compile(r'"(?:\\.|[^\\"])*"?|[(\[{]|[)\]}]')
_HINTS = {
    "=": "write == to compare",
    "=>": "functions of functions are not supported",
    "&": "write and",
    "|": "write or",
    "!": "write not",
    "'": "strings stand in double quotes",
    "`": "strings stand in double quotes",
    '"': "this string does not end",
    "where": "a condition stands alone, without where",
}
_VALUE = "a path, a literal or a function's call"


def parse(text: str) -> Node:
    """The syntax of a condition.

    Raises OttlError where it breaks off, and for one that is too long or too deep.
    """
    if len(text) > limits.OTTL_CHARS_MAX:
        raise OttlError(f"a condition has at most {limits.OTTL_CHARS_MAX} characters")
    _watch_characters(text)
    _watch_depth(text)
    try:
        return cast("Node", _parser().parse(text))
    except VisitError as error:
        if isinstance(error.orig_exc, OttlError):
            raise error.orig_exc from None
        raise
    except UnexpectedInput as error:
        raise _broken_off(text, error) from None


def _watch_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise OttlError("this is half a character, a surrogate", *_place_of(text, error.start)) from None


def _watch_depth(text: str) -> None:
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(found.group(), 0)
        if depth > limits.OTTL_NESTING_MAX:
            message = f"brackets stand at most {limits.OTTL_NESTING_MAX} deep in each other"
            raise OttlError(message, *_place_of(text, found.start()))


def _place_of(text: str, at: int) -> Place:
    before = text[:at]
    return Place(before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1)


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="contextual", maybe_placeholders=False, transformer=_Builder())


# ---------------------------------------------------------------- what is wrong


def _broken_off(text: str, error: UnexpectedInput) -> OttlError:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return OttlError(f"the condition ends where {_wanted(error)} is expected", *_place_of(text, len(text)))
    at = error.pos_in_stream or 0
    found = error.token.value if isinstance(error, UnexpectedToken) else text[at]
    hint = _hint(text, at, found)
    message = f"{found} is not expected here" + (f": {hint}" if hint else f", but {_wanted(error)}")
    return OttlError(message, *_place_of(text, at))


def _hint(text: str, at: int, found: str) -> str:
    return _HINTS.get(text[at : at + 2]) or _HINTS.get(found, "")


def _expected(error: UnexpectedInput) -> frozenset[str]:
    known = [getattr(error, name, None) for name in ("accepts", "expected", "allowed")]
    return frozenset(next(filter(None, known), ()))


def _wanted(error: UnexpectedInput) -> str:
    expected = _expected(error)
    if "NAME" in expected:
        return _VALUE
    closing = {"RPAR": ")", "RSQB": "]", "RBRACE": "}", "STRING": "a key", "COLON": ":"}
    wanted = [word for name, word in closing.items() if name in expected]
    return " or ".join(["an operator", *wanted] if "COMPARED" in expected or "SIGN" in expected else wanted or [_VALUE])


# ---------------------------------------------------------------- what is right


def _place(token: Token) -> Place:
    return Place(token.line or 1, token.column or 1)


class _Builder(Transformer[Token, Node]):
    """Makes nodes of what the grammar's rules have matched; the names are the rules'."""

    def start(self, parts: list[Node]) -> Node:
        return parts[0]

    def alternatives(self, parts: list[Node]) -> Node:
        return Or(parts[0].place, tuple(parts))

    def together(self, parts: list[Node]) -> Node:
        return And(parts[0].place, tuple(parts))

    def contrary(self, parts: list[Token | Node]) -> Node:
        word, operand = cast("tuple[Token, Node]", parts)
        return Not(_place(word), operand)

    def comparison(self, parts: list[Token | Node]) -> Node:
        left, symbol, right = cast("tuple[Node, Token, Node]", parts)
        return Comparison(_place(symbol), str(symbol), left, right)

    def chain(self, parts: list[Token | Node]) -> Node:
        first, *rest = parts
        steps = tuple(
            (str(symbol), cast("Node", operand)) for symbol, operand in zip(rest[::2], rest[1::2], strict=True)
        )
        node = cast("Node", first)
        return Chain(node.place, node, steps) if steps else node

    def signed(self, parts: list[Token | Node]) -> Node:
        sign, operand = cast("tuple[Token, Node]", parts)
        return Negative(_place(sign), operand) if sign == "-" else operand

    def literal(self, parts: list[Token]) -> Node:
        token = parts[0]
        return Literal(_place(token), _read(token))

    def listing(self, parts: list[Token | Node]) -> Node:
        opening, *items = parts
        return ListOf(_place(cast("Token", opening)), tuple(cast("list[Node]", items)))

    def mapping(self, parts: list[Token | tuple[bytes, Node]]) -> Node:
        opening, *pairs = parts
        return MapOf(_place(cast("Token", opening)), tuple(cast("list[tuple[bytes, Node]]", pairs)))

    def pair(self, parts: list[Token | Node]) -> tuple[bytes, Node]:
        key, value = cast("tuple[Token, Node]", parts)
        return cast("bytes", _read(key)), value

    def call(self, parts: list[Token | Argument | tuple[Node]]) -> Node:
        name, *rest = parts
        arguments = tuple(part for part in rest if isinstance(part, Argument))
        keys = tuple(part[0] for part in rest if not isinstance(part, Argument | Token))
        return Call(_place(cast("Token", name)), str(name), arguments, keys)

    def argument(self, parts: list[Token | Node]) -> Argument:
        value = cast("Node", parts[-1])
        named = cast("Token", parts[0]) if len(parts) > 1 else None
        return Argument(_place(named) if named else value.place, str(named or ""), value)

    def path(self, parts: list[Field]) -> Node:
        first = parts[0]
        if len(parts) == 1 and not first.keys and first.name[0].isupper():
            return Enum(first.place, first.name)
        return Path(first.place, tuple(parts))

    def field(self, parts: list[Token | tuple[Node]]) -> Field:
        name, *keys = parts
        return Field(_place(cast("Token", name)), str(name), tuple(key[0] for key in cast("list[tuple[Node]]", keys)))

    def key(self, parts: list[Node]) -> tuple[Node]:
        return (parts[0],)


def _read(token: Token) -> object:
    try:
        return _READERS[token.type](str(token))
    except Fail as failed:
        raise OttlError(f"expected {failed}", *_place(token)) from None
