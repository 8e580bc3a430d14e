"""gateway.config.addresses"""

from __future__ import annotations

import pytest
from pydantic_core import PydanticCustomError

from gateway.config.addresses import Listen, Peer, RedisUrl, Target, TargetEndpoint, TargetUrl, Url
from gateway.config.scalars import Kind
from gateway.config.settings import Endpoint
from gateway.config.tree import Substituted


def refusal(kind: Kind, given: object) -> str:
    with pytest.raises(PydanticCustomError) as caught:
        kind.validate(given)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("0.0.0.0:4317", Endpoint("0.0.0.0", 4317)),
        ("localhost:0", Endpoint("localhost", 0)),
        (":4317", Endpoint("0.0.0.0", 4317)),
        ("[::1]:4317", Endpoint("::1", 4317)),
        ("[::]:4317", Endpoint("::", 4317)),
    ],
)
def test_listeners_have_a_host_and_a_port(text: str, endpoint: Endpoint) -> None:
    """Without a host a listener takes every interface, with port 0 any free port."""
    assert Listen().validate(text) == endpoint


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("4317", "the port is missing"),
        ("[::1]", "the port is missing"),
        ("a:b", "the port is no number"),
        ("a:-1", "the port is no number"),
        ("a:99999", "the port is no number"),
        ("a:٣", "the port is no number"),
        ("a b:1", "this is no host"),
        ("-a:1", "this is no host"),
        ("::1:4317", "an IPv6 address is written [::1]:4317"),
        ("[x]:4317", "no IPv6 address is in the brackets"),
        ("http://a:1", "without a scheme"),
        ("unix:/a", "without a scheme"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_the_reason(text: str, reason: str) -> None:
    """Every message says what is wrong with the endpoint and shows one that is right."""
    assert reason in refusal(Listen(), text)
    assert "such as 0.0.0.0:4317" in refusal(Listen(), text)


def test_a_number_is_no_endpoint() -> None:
    """A bare port is refused."""
    assert refusal(Listen(), 4317) == "expected host:port such as 0.0.0.0:4317, got 4317"


def test_an_endpoint_in_a_variable_is_text() -> None:
    """A variable may hold an IPv6 endpoint, which as YAML would be something else."""
    assert Listen().validate(Substituted("${E}", "[::1]:4317", None)) == Endpoint("::1", 4317)


def test_peers_must_be_reachable() -> None:
    """Where others are to connect, neither every interface nor port 0 will do."""
    assert Peer().validate("sampler-0.samplers:4317") == Endpoint("sampler-0.samplers", 4317)
    assert str(Peer(4317).validate("sampler-0")) == "sampler-0:4317"
    assert "the port is missing" in refusal(Peer(), "sampler-0")
    assert "every interface" in refusal(Peer(), "0.0.0.0:4317")
    assert "every interface" in refusal(Peer(), ":4317")
    assert "port from 1" in refusal(Peer(), "a:0")
    assert "without a scheme" in refusal(Peer(), "http://a:1")


def test_targets_may_have_a_scheme() -> None:
    """http:// and https:// say whether there is TLS; other schemes and paths are refused."""
    assert Target().validate("tempo:4317") == TargetEndpoint(Endpoint("tempo", 4317), "")
    assert Target().validate("http://tempo:4317") == TargetEndpoint(Endpoint("tempo", 4317), "http")
    assert Target().validate("https://tempo:4317/") == TargetEndpoint(Endpoint("tempo", 4317), "https")
    assert "not built yet" in refusal(Target(), "dns:///tempo:4317")
    assert "has no path" in refusal(Target(), "http://tempo:4317/v1/traces")


@pytest.mark.parametrize(
    "url",
    [
        "redis://r",
        "redis://r:6379/0",
        "rediss://user:p%40ss@r:6379/1",
        "redis://[::1]:6379",
        "unix:///run/r.sock",
        "redis://r/0?x=y",
    ],
)
def test_redis_urls_are_taken(url: str) -> None:
    """TCP, TLS and unix sockets are ways to a Redis."""
    assert RedisUrl().validate(url) == url


@pytest.mark.parametrize(
    "url", ["r:6379", "http://hunter2@r", "redis://", "redis://:hunter2@", "redis://r:0", "redis://r/x", "unix://a", 5]
)
def test_other_urls_are_refused_and_never_shown(url: object) -> None:
    """A URL may hold a password, so no message repeats it."""
    assert "hunter2" not in refusal(RedisUrl(), url)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("http://tempo", TargetUrl(Endpoint("tempo", 80), False, "")),
        ("https://tempo/", TargetUrl(Endpoint("tempo", 443), True, "/")),
        ("https://[::1]/a/b?c=d", TargetUrl(Endpoint("::1", 443), True, "/a/b?c=d")),
        ("http://10.0.0.1:4318?k=v", TargetUrl(Endpoint("10.0.0.1", 4318), False, "?k=v")),
    ],
)
def test_urls(given: str, wanted: TargetUrl) -> None:
    """A URL is a scheme, a host, a port that the scheme has by default, and a path."""
    assert Url().validate(given) == wanted


@pytest.mark.parametrize(
    "given",
    [
        "tempo:4318",
        "ftp://tempo",
        "http://",
        "http:///x",
        "http://a b",
        "http://tempo/#x",
        "http://u:p@h",
        "http://h:0",
        "http://h\r\nx",
    ],
)
def test_what_is_no_url(given: str) -> None:
    """No scheme, no host, a name and password, a fragment, spaces: none of these is a place to post to."""
    assert "u:p" not in refusal(Url(), given)
