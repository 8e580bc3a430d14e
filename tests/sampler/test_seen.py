"""sampler.seen against a plain set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampler.seen import NONE_SEEN, PACKED_MAX, Seen, from_ids, size_of, with_id
from tests.support.spans import span_id

# ids made of few byte values, so that some are found across two neighbours
ids = st.lists(st.binary(min_size=8, max_size=8).map(lambda b: bytes(x % 2 for x in b)), max_size=3 * PACKED_MAX)


@given(ids)
def test_an_id_is_new_exactly_once(given_ids: list[bytes]) -> None:
    """A span id counts as seen when, and only when, the same eight bytes were there before."""
    seen: Seen = NONE_SEEN
    model: set[bytes] = set()
    for each in given_ids:
        grown = with_id(seen, each)
        assert (grown is None) == (each in model)
        model.add(each)
        seen = grown if grown is not None else seen
    assert isinstance(seen, set) == (len(model) > PACKED_MAX)


def test_small_traces_pay_eight_bytes_a_span() -> None:
    """The span ids of a small trace take eight bytes each."""
    seen: Seen = NONE_SEEN
    for number in range(1, PACKED_MAX + 1):
        grown = with_id(seen, span_id(number))
        assert grown is not None
        seen = grown
    assert size_of(seen) == 8 * PACKED_MAX


@given(ids.map(lambda each: list(dict.fromkeys(each))), ids)
def test_ids_given_together_are_those_given_one_by_one(together: list[bytes], later: list[bytes]) -> None:
    """A whole trace's ids at once are the same memory as one after the other, and go on alike."""
    one_by_one: Seen = NONE_SEEN
    for each in together:
        grown = with_id(one_by_one, each)
        assert grown is not None
        one_by_one = grown
    at_once = from_ids(b"".join(together))
    assert at_once == one_by_one and size_of(at_once) == size_of(one_by_one)
    for each in later:
        one, other = with_id(at_once, each), with_id(one_by_one, each)
        assert one == other
        at_once, one_by_one = (at_once if one is None else one), (one_by_one if other is None else other)
