"""sampler.policy.probabilistic: the Collector's own hash and threshold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.names import HASH_UPTO, RANDOM_FROM, Node
from sampler.policy import BadPolicyError
from sampler.policy.probabilistic import DEFAULT_SALT, fnv1a, hash_upto, probabilistic

HASHES = [
    ("00" * 16, 16254958829412527165, 9316101679626017984),
    ("0102030405060708090a0b0c0d0e0f10", 15838989281584434349, 643542913863792944),
    ("000000000000000052969a8955571a3f", 8586181139913351667, 9005606981338413206),
    ("4bf92f3577b34da6a3ce929d0e0e4736", 11908981664384643253, 12373566994375301436),
    ("ff" * 16, 1711019809656077869, 5329741664083342512),
]
THRESHOLDS = [
    (0.1, 18446744073709551),
    (1, 184467440737095519),
    (10, 1844674407370955263),
    (25, 4611686018427387903),
    (33, 6087425544324152319),
    (50, 9223372036854775807),
    (99.9, 18428297329635844095),
    (0, 0),
    (-5, 0),
    (100, 2**64 - 1),
    (250, 2**64 - 1),
]


@pytest.mark.parametrize(("trace_id", "default", "salted"), HASHES)
def test_the_hash_is_the_collectors(trace_id: str, default: int, salted: int) -> None:
    """The hash of salt and trace id is the Collector's, so the same traces are kept."""
    assert fnv1a(DEFAULT_SALT.encode() + bytes.fromhex(trace_id)) == default
    assert fnv1a(bytes.fromhex(trace_id), fnv1a(b"test-salt")) == salted


@pytest.mark.parametrize(("percentage", "threshold"), THRESHOLDS)
def test_the_threshold_is_the_collectors(percentage: float, threshold: int) -> None:
    """A percentage becomes the very threshold that Go's arithmetic gives."""
    assert hash_upto(percentage) == threshold


@given(st.floats(-10, 110), st.floats(-10, 110))
def test_a_higher_percentage_keeps_no_less(one: float, other: float) -> None:
    """What is kept at a percentage is kept at every higher one."""
    low, high = sorted((one, other))
    assert 0 <= hash_upto(low) <= hash_upto(high) <= 2**64 - 1


@pytest.mark.parametrize("consistent", [False, True])
def test_not_a_number_is_refused(consistent: bool) -> None:
    """A percentage of NaN cannot be a policy."""
    with pytest.raises(BadPolicyError) as caught:
        probabilistic(float("nan"), consistent=consistent)
    assert caught.value.path == ("sampling_percentage",)


def test_the_kernel_is_given_the_salted_hash_and_the_threshold() -> None:
    """What the kernel compares is the hash that goes on from the salt, with the largest hash that is kept."""
    assert probabilistic(10, "salt") == Node(HASH_UPTO, fnv1a(b"salt"), hash_upto(10))
    assert probabilistic(10) == probabilistic(10, "") == Node(HASH_UPTO, fnv1a(DEFAULT_SALT.encode()), hash_upto(10))
    assert probabilistic() == probabilistic(0)


@pytest.mark.parametrize(
    ("percentage", "least"),
    [
        (100, 0),
        (150, 0),
        (50, 1 << 55),
        (25, 0xC0000000000000),
        (10, 0xE6666666666666),
        (0, 1 << 56),
        (-5, 1 << 56),
        (100 / 2**56, 2**56 - 1),
        (50 / 2**56, 1 << 56),  # cannot be stated
    ],
)
def test_consistent_probability_is_a_threshold_on_randomness(percentage: float, least: int) -> None:
    """Where probability is to be stated, a trace is kept from OpenTelemetry's threshold for the percentage on; no salt counts."""
    assert probabilistic(percentage, "salt", consistent=True) == Node(RANDOM_FROM, least)
