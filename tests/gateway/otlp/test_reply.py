"""gateway.otlp.reply: what goes out is what official clients read, and what comes in is believed only where it can be read."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from gateway import limits
from gateway.otlp import reply


def test_full_success_is_no_bytes() -> None:
    """Full success leaves partial_success unset: a reply of no bytes at all (S-04)."""
    assert reply.success() == b""
    assert reply.read_success(b"") == (0, "")


@given(st.integers(1, 2**40), st.text(st.characters(codec="utf-8"), max_size=50))
def test_partial_success_is_official(rejected: int, message: str) -> None:
    """A partial success carries the count and the reason where the official classes read them (S-05)."""
    response = ExportTraceServiceResponse.FromString(reply.success(rejected, message))
    assert response.partial_success.rejected_spans == rejected
    assert response.partial_success.error_message == message
    assert reply.read_success(reply.success(rejected, message)) == (rejected, message)


def test_a_warning_rejects_nothing() -> None:
    """A message with 0 rejected spans is a warning (S-06)."""
    response = ExportTraceServiceResponse.FromString(reply.success(0, "slow down"))
    assert (response.partial_success.rejected_spans, response.partial_success.error_message) == (0, "slow down")


def test_exact_bytes_of_a_partial_success() -> None:
    """The bytes on the wire of two rejected spans."""
    assert reply.success(2, "bad") == b"\x0a\x07\x08\x02\x12\x03bad"


def test_messages_are_bounded() -> None:
    """Error texts are cut at the bound, in and out (S-07)."""
    long = "ü" * (limits.MESSAGE_CHARS_MAX + 1)
    cut = long[:-1]
    assert reply.read_success(reply.success(1, long)) == (1, cut)
    assert Status.FromString(reply.status(3, long)).message == cut
    raw = ExportTraceServiceResponse()
    raw.partial_success.error_message = long
    assert reply.read_success(raw.SerializeToString()) == (0, cut)


def test_present_but_empty_is_full_success() -> None:
    """A partial_success that is there and empty, as the Collector writes it, is full success (C-04)."""
    assert reply.read_success(b"\x0a\x00") == (0, "")


@given(st.binary(max_size=40))
def test_any_reply_is_read(data: bytes) -> None:
    """Whatever a destination answers with success is success; the count is never negative."""
    rejected, message = reply.read_success(data)
    assert rejected >= 0
    assert len(message) <= limits.MESSAGE_CHARS_MAX


def test_a_negative_count_is_none() -> None:
    """A negative number of rejected spans counts as none."""
    raw = ExportTraceServiceResponse()
    raw.partial_success.rejected_spans = -3
    assert reply.read_success(raw.SerializeToString()) == (0, "")


@pytest.mark.parametrize("seconds", [0.0, 0.25, 1.0, 1.5, 3600.0])
def test_retry_is_asked_for_in_both_places(seconds: float) -> None:
    """UNAVAILABLE carries RetryInfo in the status details and in the trailer that Python's SDK reads, both official."""
    trailers = dict(reply.retry_trailers("busy", seconds))
    expected = RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9)))
    assert RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"]) == expected
    status = Status.FromString(trailers["grpc-status-details-bin"])
    assert (status.code, status.message) == (Code.UNAVAILABLE, "busy")
    info = RetryInfo()
    assert status.details[0].Unpack(info)
    assert info == expected
    for key in trailers:
        assert reply.read_retry_after({key: trailers[key]}) == seconds


def test_a_status_without_a_wish_has_no_details() -> None:
    """An error that is not to be tried again carries no RetryInfo (G-03)."""
    assert not Status.FromString(reply.status(reply.INVALID_ARGUMENT, "bad")).details
    assert reply.read_retry_after({reply.STATUS_DETAILS_KEY: reply.status(14, "busy")}) is None


def test_no_trailer_no_wish() -> None:
    """Without trailers nothing is asked for."""
    assert reply.read_retry_after({}) is None


@given(st.binary(max_size=40), st.sampled_from([reply.RETRY_INFO_KEY, reply.STATUS_DETAILS_KEY]))
def test_any_trailer_is_read(data: bytes, key: str) -> None:
    """Whatever stands in the trailers, the answer is none or a time that is not negative."""
    seconds = reply.read_retry_after({key: data})
    assert seconds is None or seconds >= 0


def test_another_detail_first_is_passed_over() -> None:
    """RetryInfo is found behind other details, and a detail that lies about its type is no wish."""
    info, other = Any(), Any()
    info.Pack(RetryInfo(retry_delay=Duration(seconds=2)))
    other.Pack(Duration(seconds=9))
    broken = Any(type_url=info.type_url, value=b"\xff")
    assert reply.read_retry_after({reply.STATUS_DETAILS_KEY: Status(details=[other, info]).SerializeToString()}) == 2
    assert reply.read_retry_after({reply.STATUS_DETAILS_KEY: Status(details=[broken]).SerializeToString()}) is None


def test_a_broken_trailer_does_not_hide_the_other() -> None:
    """A RetryInfo trailer that cannot be read leaves the one in the status details to be read."""
    trailers = {reply.RETRY_INFO_KEY: b"\xff", reply.STATUS_DETAILS_KEY: reply.status(14, "busy", 2.0)}
    assert reply.read_retry_after(trailers) == 2


def test_negative_wishes_are_none() -> None:
    """A negative delay means at once."""
    trailer = RetryInfo(retry_delay=Duration(seconds=-5)).SerializeToString()
    assert reply.read_retry_after({reply.RETRY_INFO_KEY: trailer}) == 0


def test_retryable_codes_are_the_specifications() -> None:
    """Exactly the specification's codes are tried again; RESOURCE_EXHAUSTED only with RetryInfo, and so not among them."""
    names = ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
    assert {Code.Value(name) for name in names} == reply.RETRYABLE_CODES


def test_codes_are_googles() -> None:
    """The status codes are those of google.rpc.Code."""
    for name in ("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "UNAVAILABLE"):
        assert getattr(reply, name) == Code.Value(name)
