"""What is allowed and probably not meant: remarks on a tail_sampling block that has no mistakes.

Owns the warnings, one function each, and the order in which everything is remarked. Knows no files: a remark has a path, and
whoever read the file knows the place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.config.settings import TailSampling
from sampler.anchors import anchored
from sampler.outline import RATES, WARNING, At, Path, Remark, Subject, keeps_all, keeps_none, limits, patterns
from sampler.semantics import NOTES

_UNITS = {"rate_limiting": "spans", "bytes_limiting": "bytes", "composite": "spans"}

Rule = Callable[[Subject], Iterator[Remark]]


def lint(settings: TailSampling) -> list[Remark]:
    """Every remark there is, in the order of the rules: warnings, then notes unless semantics are strict already."""
    subject = Subject(settings)
    rules = WARNINGS if subject.strict else WARNINGS + NOTES
    return [remark for rule in rules for remark in rule(subject)]


def _warning(path: Path, message: str) -> Remark:
    return Remark(path, WARNING, message)


def unreachable(subject: Subject) -> Iterator[Remark]:
    """Policies that are never asked, or whose answer never counts."""
    for one in subject.top:
        if one.type == "drop" and all(map(keeps_all, one.inside())):
            yield _warning(one.path, f"{one.title} drops every trace: no other policy is ever asked")
    if subject.settings.sample_on_first_match:
        yield from _behind(subject.keepers, "sample_on_first_match: true")
    for one in subject.every:
        if one.type == "composite" and not subject.strict:
            yield from _behind(one.inside(), "a composite asks in the order of composite_sub_policy")


def _behind(policies: list[At], why: str) -> Iterator[Remark]:
    first = next((index for index, one in enumerate(policies) if keeps_all(one)), len(policies))
    for one in policies[first + 1 :]:
        yield _warning(
            one.path, f"{one.title} is never asked: {policies[first].title} keeps every trace before it ({why})"
        )


def catch_all(subject: Subject) -> Iterator[Remark]:
    """A policy that keeps everything makes the others superfluous, limiters first of all."""
    found = next((one for one in subject.keepers if keeps_all(one)), None)
    if found is None or subject.settings.sample_on_first_match or len(subject.keepers) == 1:
        return
    yield _warning(found.path, f"{found.title} keeps every trace: no other policy but drop changes a decision")
    for one in subject.keepers:
        if one is not found and limits(one):
            yield _warning(one.path, f"{one.title} limits nothing: {found.title} keeps the traces that it does not")


def never(subject: Subject) -> Iterator[Remark]:
    """Policies that cannot keep anything."""
    for one in subject.every:
        if keeps_none(one) and not any(map(keeps_none, one.inside())) and not _has_own_words(one):
            said = "never drops a trace" if one.type == "drop" else "never keeps a trace"
            yield _warning(one.path, f"{one.title} {said}")


def _has_own_words(one: At) -> bool:
    return one.type == "latency" or (one.type == "probabilistic" and one.get("sampling_percentage", 0.0) < 0)


def shadowed(subject: Subject) -> Iterator[Remark]:
    """Names that stand for two things, and policies that say what another says."""
    names = {one.policy.name: one for one in subject.top}
    for one in subject.every:
        if one.outer and one.policy.name in names:
            other = names[one.policy.name]
            text = f'the name "{one.policy.name}" is that of {_place(other)} too: metrics and explanations cannot tell them apart'
            yield _warning((*one.path, "name"), text)
        if one.type in ("and", "drop"):
            yield from _same_names(one.inside())
    seen: dict[tuple[object, ...], At] = {}
    for one in subject.keepers:
        other = seen.setdefault((one.type, one.policy.values), one)
        if other is not one and not limits(one):
            yield _warning(one.path, f"{one.title} says the same as {other.title} ({_place(other)})")


def _same_names(subs: list[At]) -> Iterator[Remark]:
    seen: dict[str, At] = {}
    for sub in subs:
        name = sub.policy.name
        if name and seen.setdefault(name, sub) is not sub:
            yield _warning((*sub.path, "name"), f'the name "{name}" is that of the policy before it too')


def _place(one: At) -> str:
    return f"policies[{one.path[1]}]"


def percentages(subject: Subject) -> Iterator[Remark]:
    """Percentages outside 0 to 100, and shares of more than there is."""
    for one in subject.every:
        percentage = one.get("sampling_percentage", 0.0)
        if percentage < 0 or percentage > 100:
            meant = "0, no trace" if percentage < 0 else "100, every trace"
            text = f"{percentage:g} is no percentage: it counts as {meant}"
            yield _warning(one.key("sampling_percentage"), text)
        shares = one.get("rate_allocation", ()) if one.type == "composite" else ()
        for index, (_, percent) in enumerate(shares):
            if percent > 100:
                yield _warning(one.key("rate_allocation", index, "percent"), f"{percent} is more than 100 percent")
        total = sum(percent for _, percent in shares)
        if total > 100 and all(percent <= 100 for _, percent in shares):
            yield _warning(one.key("rate_allocation"), f"the shares add up to {total} percent")


def same_hash(subject: Subject) -> Iterator[Remark]:
    """Of two shares taken by the same hash the smaller lies within the larger."""
    largest: dict[str, At] = {}
    plain = [one for one in subject.keepers if one.type == "probabilistic"]
    for one in sorted(plain, key=lambda one: -float(one.get("sampling_percentage", 0.0))):
        salt = "" if subject.settings.tracestate else one.get("hash_salt", "")
        other = largest.setdefault(salt, one)
        if other is not one and other.policy.values != one.policy.values:
            text = f"{one.title} keeps nothing that {other.title} does not: they choose by the same randomness"
            hint = "" if subject.settings.tracestate else "; a hash_salt of its own makes it choose others"
            yield _warning(one.path, text + hint)


def thresholds(subject: Subject) -> Iterator[Remark]:
    """Bounds in the wrong order."""
    for one in subject.every:
        lower, upper = one.get("threshold_ms", 0), one.get("upper_threshold_ms", 0)
        if one.type == "latency" and upper and upper <= lower:
            text = f"is not above threshold_ms ({lower}): {one.title} never keeps a trace"
            yield _warning(one.key("upper_threshold_ms"), f"upper_threshold_ms ({upper}) {text}")


def anchors(subject: Subject) -> Iterator[Remark]:
    """Regular expressions that match anywhere in a value."""
    if subject.strict:
        return
    for one, index, pattern in patterns(subject):
        if not any(anchored(pattern)):
            text = f'"{pattern}" matches anywhere in the value: anchor it with ^ and $ unless that is meant'
            yield _warning(one.key("values", index), text)


def waits(subject: Subject) -> Iterator[Remark]:
    """Waits that end before what they wait for."""
    settings = subject.settings
    for one in subject.every:
        threshold = one.get("threshold_ms", 0)
        if one.type == "latency" and threshold / 1000 >= settings.decision_wait:
            text = (
                f"threshold_ms of {threshold} is no shorter than decision_wait ({settings.decision_wait:g}s): "
                "a trace is decided before the spans have come that show it took so long"
            )
            yield _warning(one.key("threshold_ms"), text)
    after_root = settings.decision_wait_after_root_received
    if after_root >= settings.decision_wait:
        text = f"has no effect: it is no shorter than decision_wait ({settings.decision_wait:g}s)"
        yield _warning(("decision_wait_after_root_received",), f"decision_wait_after_root_received {text}")


def replicas(subject: Subject) -> Iterator[Remark]:
    """Limits that every process counts for itself."""
    for one in subject.every:
        if one.type in RATES and one.get(RATES[one.type], 0):
            rate, unit = one.get(RATES[one.type], 0), _UNITS[one.type]
            text = (
                f"every process keeps {rate} {unit} a second: divide what all may keep by the number of replicas, "
                "and by --workers"
            )
            yield _warning(one.key(RATES[one.type]), text)


def ignored(subject: Subject) -> Iterator[Remark]:
    """What is given and has no effect."""
    if subject.settings.num_shards > 1:
        yield _warning(("num_shards",), "num_shards has no effect: --workers uses more cores")
    for one in subject.every:
        exact = one.type == "trace_state" or (
            one.type == "string_attribute" and not one.get("enabled_regex_matching", False)
        )
        for index, value in enumerate(one.get("values", ()) if exact else ()):
            if not value:
                yield _warning(one.key("values", index), "an empty text matches nothing")
        if one.type == "probabilistic" and one.get("hash_salt", "") and subject.settings.tracestate:
            yield _warning(one.key("hash_salt"), "hash_salt has no effect beside tracestate: true")


def ingest(subject: Subject) -> Iterator[Remark]:
    """Span-ingest keeps nothing beside a drop policy."""
    drops = [one for one in subject.top if one.type == "drop"]
    if drops and subject.settings.sampling_strategy == "span-ingest" and not subject.strict:
        text = f"{drops[0].title} drops what it can only know at the end, so with span-ingest no trace is ever kept"
        yield _warning((*drops[0].path, "type"), f"{text}, as in the Collector")


def caches(subject: Subject) -> Iterator[Remark]:
    """Decisions that are forgotten while traces of their age still wait."""
    settings = subject.settings
    for key in ("sampled_cache_size", "non_sampled_cache_size"):
        size = getattr(settings, key)
        if 0 < size < settings.num_traces:
            text = f"{key} ({size}) is below num_traces ({settings.num_traces}): late spans soon find no decision to follow"
            yield _warning(("decision_cache", key), text)


WARNINGS: tuple[Rule, ...] = (
    unreachable,
    catch_all,
    never,
    shadowed,
    percentages,
    same_hash,
    thresholds,
    anchors,
    waits,
    replicas,
    ignored,
    ingest,
    caches,
)
