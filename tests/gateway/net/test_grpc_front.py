"""gateway.net.grpc_front: what every front tells its clients."""

from __future__ import annotations

from gateway import limits
from gateway.core import Accepted, Invalid, Overloaded
from gateway.membership import VIEW_HEADER, ViewStamp
from gateway.net.grpc_front import refusal, response, stamped
from gateway.otlp import reply

STAMP = stamped(ViewStamp(7, "abc"))


def test_the_view_is_on_every_answer_inside_a_cluster() -> None:
    """The trailers carry our view; outside a cluster there is none to carry."""
    assert STAMP == ((VIEW_HEADER, "7:abc"),)
    assert stamped(None) == ()


def test_full_success_is_no_bytes() -> None:
    """A partial success and a warning are messages; full success is none."""
    assert response(Accepted()) == b""
    assert reply.read_success(response(Accepted(2, "two"))) == (2, "two")
    assert reply.read_success(response(Accepted(0, "hm"))) == (0, "hm")


def test_a_refusal_for_good() -> None:
    """What will never be taken is INVALID_ARGUMENT, with no word of trying again."""
    assert refusal(Invalid("no"), STAMP) == (3, "no", STAMP)


def test_a_refusal_for_now() -> None:
    """What may be sent again is UNAVAILABLE and says when, after the view."""
    code, message, trailers = refusal(Overloaded("busy", 0.5), STAMP)
    assert (code, message, trailers[:1]) == (14, "busy", STAMP)
    assert reply.read_retry_after({key: value for key, value in trailers if isinstance(value, bytes)}) == 0.5


def test_messages_are_cut_between_letters() -> None:
    """A message is cut in bytes, and never inside a letter; what cannot be encoded does no harm."""
    message = refusal(Invalid("\N{SNOWMAN}" * 1000)).message
    assert limits.MESSAGE_CHARS_MAX - 3 < len(message.encode()) <= limits.MESSAGE_CHARS_MAX
    assert refusal(Invalid("\ud800")).message == "?"
