"""Attribute values as policies read them: the content of an AnyValue, by hand.

Only the kinds that a policy asks for are told apart. What cannot be decoded is, like a list, a value of another kind: a policy
is no place to refuse a span.
"""

from __future__ import annotations

from struct import Struct

from gateway.kernel.names import RESOURCE, SPAN, Look
from gateway.otlp.schema import FIXED64, LENGTH, RESOURCE_ATTRIBUTES, SPAN_ATTRIBUTES, VARINT
from sampler.ottl.types import int64
from sampler.ottl.values import fields_or_none
from sampler.policy.errors import BadPolicyError

_DOUBLE = Struct("<d")

# AnyValue: oneof of string = 1; bool = 2; int64 = 3; double = 4; ArrayValue = 5; KeyValueList = 6; bytes = 7; strindex = 8
_STRING_TAG = 1 << 3 | LENGTH
_BOOL_TAG = 2 << 3 | VARINT
_INT_TAG = 3 << 3 | VARINT
_DOUBLE_TAG = 4 << 3 | FIXED64
_OTHER_TAGS = (5 << 3 | LENGTH, 6 << 3 | LENGTH, 7 << 3 | LENGTH, 8 << 3 | VARINT)

Scalar = bool | int | float | bytes | None
"""A value: `bytes` are a string as it came, None is one of any other kind, or none at all."""


def attribute(key: str) -> tuple[Look, Look]:
    """Where an attribute of this key may stand, as attribute policies look for it: on the resource and on the span.

    Raises BadPolicyError for an empty key, which OTLP does not allow.
    """
    if not key:
        raise BadPolicyError("names no attribute: keys are not empty", ("key",))
    return Look(RESOURCE, RESOURCE_ATTRIBUTES, key), Look(SPAN, SPAN_ATTRIBUTES, key)


def scalar(raw: bytes) -> Scalar:
    """The value in an AnyValue's content. The last of several counts, as for any oneof."""
    if len(raw) >= 2 and raw[0] == _STRING_TAG and raw[1] == len(raw) - 2 < 0x80:  # nearly all there are
        return raw[2:]
    value: Scalar = None
    for tag, content in fields_or_none(raw):
        if isinstance(content, bytes):
            if tag == _STRING_TAG:
                value = content
            elif tag == _DOUBLE_TAG:
                (value,) = _DOUBLE.unpack(content)
        elif tag == _BOOL_TAG:
            value = content != 0
        elif tag == _INT_TAG:
            value = int64(content)
        if tag in _OTHER_TAGS:
            value = None
    return value
