"""Members and views as values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.membership import Member, RingParameters, State, View, ViewStamp, entry, make_view, parse_member

members = st.builds(
    Member,
    id=st.text("0123456789abcdef", min_size=16, max_size=16),
    endpoint=st.from_regex(r"[a-z]{1,5}:[0-9]{1,5}", fullmatch=True),
    ring_name=st.sampled_from(["", "sampler-0", "sampler-1"]),
    state=st.sampled_from(State),
    weight=st.integers(1, 100),
    start=st.integers(0, 2**53),
    http=st.sampled_from(["", "h:4318", "h:4319"]),
    admin=st.sampled_from(["", "h:13133"]),
)


@given(st.lists(members, max_size=5, unique_by=lambda member: member.id), st.randoms(use_true_random=False))
def test_order_does_not_matter(listed: list[Member], random: object) -> None:
    """A view is the same in whatever order its members are named."""
    shuffled = list(listed)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert make_view(3, listed) == make_view(3, shuffled)


@given(members, members)
def test_digest_tells_members_apart(one: Member, other: Member) -> None:
    """Two views have one digest only if their members are the same."""
    assert (make_view(1, [one]).digest == make_view(1, [other]).digest) == (one == other)


@given(members)
def test_entry_reads_back(member: Member) -> None:
    """What the lease store keeps of a member is the whole member."""
    assert parse_member(member.id, entry(member)) == member


def test_digest_covers_the_ring_and_not_the_epoch() -> None:
    """Other ring parameters give another digest; another epoch does not."""
    member = Member("a", "h:1")
    assert make_view(1, [member]).digest == make_view(2, [member]).digest
    assert make_view(1, [member]).digest != make_view(1, [member], RingParameters("consistent")).digest


def test_only_active_members_are_active() -> None:
    """Joining and draining members are in the view and own nothing."""
    states = {member.id: member for member in (Member(str(i), f"h:{i}", state=state) for i, state in enumerate(State))}
    assert [member.state for member in make_view(1, list(states.values())).active] == [State.ACTIVE]


def test_static_view_needs_no_store() -> None:
    """A view of configured endpoints has epoch 0 and a digest like any other."""
    view = make_view(0, (Member("1", "h:1"), Member("2", "h:2")), RingParameters("consistent"))
    assert view.stamp == ViewStamp(0, view.digest)
    assert isinstance(view, View)
    assert len(view.digest) == 16


@given(st.integers(0, 2**60), st.text("0123456789abcdef", min_size=1, max_size=64))
def test_stamp_reads_back(epoch: int, digest: str) -> None:
    """A stamp survives the metadata, as text and as bytes."""
    stamp = ViewStamp(epoch, digest)
    assert ViewStamp.parse(str(stamp)) == ViewStamp.parse(str(stamp).encode()) == stamp


@pytest.mark.parametrize(
    "text", [None, "", "5", "x:ab", ":ab", "5:", "-1:ab", "9" * 20 + ":a", "1:" + "a" * 65, b"\xff:\xff"]
)
def test_stamp_of_a_stranger_is_none(text: str | bytes | None) -> None:
    """Metadata that is not a stamp of ours is no stamp, whatever it is."""
    assert ViewStamp.parse(text) is None


def test_ring_parameters_read_back() -> None:
    """Ring parameters survive their text form; another text is refused."""
    parameters = RingParameters("consistent", 2, 13)
    assert RingParameters.parse(str(parameters)) == parameters
    with pytest.raises(ValueError, match="unpack"):
        RingParameters.parse("maglev")


def test_a_member_may_have_an_http_address() -> None:
    """It is kept behind the other fields; without one an entry is what it was before there was such a field."""
    plain, both = Member("a", "h:1", start=7), Member("a", "h:1", start=7, http="h:2")
    assert entry(plain) == "h:1\th:1\tactive\t1\t7"
    assert entry(both) == "h:1\th:1\tactive\t1\t7\th:2"
    assert parse_member("a", entry(plain)) == plain
    assert parse_member("a", entry(both)) == both
    assert make_view(1, [plain]).digest != make_view(1, [both]).digest


def test_a_member_may_say_where_its_admin_pages_are() -> None:
    """It is the last field, behind an HTTP address that may be empty; entries of earlier releases are read as before."""
    seen = Member("a", "h:1", start=7, admin="h:9")
    assert entry(seen) == "h:1\th:1\tactive\t1\t7\t\th:9"
    assert parse_member("a", entry(seen)) == seen
    assert parse_member("a", "h:1\th:1\tactive\t1\t7\th:2") == Member("a", "h:1", start=7, http="h:2")
    with pytest.raises(ValueError, match="more fields"):
        parse_member("a", entry(seen) + "\tx")


@given(members)
def test_every_entry_can_be_read(member: Member) -> None:
    """What is written of a member is read as the same member."""
    assert parse_member(member.id, entry(member)) == (
        replace(member, ring_name="") if member.ring_name == member.endpoint else member
    )
