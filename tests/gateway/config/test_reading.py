"""gateway.config.reading

The exact messages of every rule are golden files: tests/golden/config/NAME.bad.yaml and NAME.expected. NAME.good.yaml is a file
without mistakes, and NAME.remarks what `tailgate check` remarks on it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import loadbalancer.config
import sampler.config
from gateway.config import load, tier_of
from gateway.config.block import Block, inner, keys_of
from gateway.config.policies import POLICY_TYPES, Entry, Policy, RateAllocation, block_of
from gateway.config.reading import read
from gateway.config.tail_sampling import DecisionCache, TailSampling
from gateway.errors import ConfigError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
GOLDEN = ROOT / "tests" / "golden" / "config"
BAD = sorted(GOLDEN.glob("*.bad.yaml"))
GOOD_FILES = sorted(GOLDEN.glob("*.good.yaml"))
ENV = {"EMPTY": "", "SECRET": "hunter2", "WAIT": "10s", "EXP": "otlp"}

GOOD = """\
receivers: {otlp: {protocols: {grpc: }}}
processors: {tail_sampling: {policies: [{name: all, type: always_sample}]}}
exporters: {debug: , debug/unused: {verbosity: normal}}
service: {pipelines: {traces: {receivers: [otlp], processors: [tail_sampling], exporters: [debug]}}}
"""


def judge(name: str, text: str) -> list[str]:
    """Every mistake of a file, as `tailgate check` prints them."""
    try:
        document = load([(name, text)], ENV)
        parse = {"loadbalancer": loadbalancer.config.parse, "sampler": sampler.config.parse}[tier_of(document)]
        parse(document)
    except ConfigError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name.removesuffix(".bad.yaml"))
def test_every_mistake_has_its_message(path: Path, request: pytest.FixtureRequest) -> None:
    """A file with mistakes is answered with exactly the lines beside it: all of them, each with its place and path."""
    found = "".join(f"{line}\n" for line in judge(path.name, path.read_text(encoding="utf-8")))
    expected = path.with_name(path.name.replace(".bad.yaml", ".expected"))
    if request.config.getoption("--rewrite"):
        expected.write_text(found, encoding="utf-8")
    assert found and found == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", GOOD_FILES, ids=lambda path: path.name.removesuffix(".good.yaml"))
def test_a_good_file_has_only_remarks(path: Path, request: pytest.FixtureRequest) -> None:
    """A Collector's tail_sampling of any style loads without a mistake; what is remarked on it stands in the file beside it."""
    document = load([(path.name, path.read_text(encoding="utf-8"))], ENV)
    found = "".join(f"{remark}\n" for remark in sorted(sampler.config.remarks(document)))
    expected = path.with_name(path.name.replace(".good.yaml", ".remarks"))
    if request.config.getoption("--rewrite"):
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")


# ---------------------------------------------------------------- rules of tail_sampling, each with a file that breaks it

TOLD = [line for path in sorted(GOLDEN.glob("*.expected")) for line in path.read_text(encoding="utf-8").splitlines()]
LANGUAGE = ("policy_types", "policies", "tail_sampling")


def templates(module: str) -> Iterator[str]:
    """What every mistake that a module of gateway.config names looks like, as a regular expression."""
    for function in ast.walk(ast.parse((ROOT / "gateway" / "config" / f"{module}.py").read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        named = {
            target.id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Flaw", "wrong"):
                message = node.args[-1]
                message = named.get(message.id, message) if isinstance(message, ast.Name) else message
                if isinstance(message, (ast.Constant, ast.JoinedStr)):
                    yield template(message)


def template(message: ast.Constant | ast.JoinedStr) -> str:
    parts = message.values if isinstance(message, ast.JoinedStr) else [message]
    return "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in parts)


@pytest.mark.parametrize("module", LANGUAGE)
def test_every_rule_of_tail_sampling_has_a_file_that_breaks_it(module: str) -> None:
    """No message of these modules is without a golden file that shows it."""
    rules = sorted(set(templates(module)))
    assert rules and not [rule for rule in rules if not any(re.search(f": {rule}$", line) for line in TOLD)]


def keys() -> Iterator[str]:
    """Every key of tail_sampling, as the end of a path."""
    blocks: list[tuple[str, type[Block]]] = [("tail_sampling", TailSampling), ("decision_cache", DecisionCache)]
    blocks += [(r"policies\[\d+\]", Policy), (r"rate_allocation\[\d+\]", RateAllocation)]
    blocks += [(kind, block_of(Policy, kind)) for kind in POLICY_TYPES]
    for name, block in blocks:
        for key, (_, field) in keys_of(block).items():
            held = inner(field.annotation)
            nested = isinstance(held, type) and issubclass(held, Block) and not issubclass(held, Entry)
            if not nested or key == "decision_cache":
                yield rf"\.{name}\.{key}(\[\d+\])*: "


def test_every_key_of_tail_sampling_has_a_file_with_a_wrong_value() -> None:
    """No option and no key of a policy is without a golden file in which its value is refused."""
    without = [key for key in keys() if not any(re.search(key, line) for line in TOLD)]
    assert without == []


def test_every_type_is_shown_without_its_block_or_with_another() -> None:
    """What stands in a policy fits its type; the files show it for types at the top and inside others."""
    assert any('needs its block "' in line and "sub_policy" in line for line in TOLD)
    assert any("this block is for the type" in line and "sub_policy" in line for line in TOLD)
    assert any("this block is for the type" in line and "sub_policy" not in line for line in TOLD)


@pytest.mark.parametrize("holder", ["and", "not", "drop", "composite"])
def test_every_nesting_rule_has_a_file(holder: str) -> None:
    """Of each type that holds others there is a file in which it holds what it may not."""
    assert any(re.search(rf"\.{holder}_sub_policy(\[0\])?\.type: .* cannot stand in ", line) for line in TOLD)


def test_policies_that_only_their_module_can_judge_have_files() -> None:
    """Regular expressions and OTTL are judged at load, each with files that break them."""
    assert sum("string_attribute.values[" in line and "RE2" in line for line in TOLD) >= 4
    assert sum(re.search(r"ottl_condition\.(span|spanevent)\[\d\]: ", line) is not None for line in TOLD) >= 6


def test_there_are_many_broken_files() -> None:
    """The language of tail_sampling is shown broken in more than a hundred ways."""
    assert len(list(GOLDEN.glob("tail_*.bad.yaml"))) > 100


def test_no_message_shows_a_secret() -> None:
    """What a variable holds, and what a URL holds, is in no message."""
    for path in GOLDEN.glob("*.expected"):
        assert "hunter2" not in path.read_text(encoding="utf-8")


def test_mistakes_come_in_the_order_of_the_file() -> None:
    """All mistakes are told at once, sorted by place."""
    places = [
        line.split(":")[1:3]
        for line in judge("f", (GOLDEN / "everything_at_once.bad.yaml").read_text(encoding="utf-8"))
    ]
    numbers = [(int(line), int(column)) for line, column in places]
    assert len(numbers) == 10 and numbers == sorted(numbers)


def test_what_is_not_used_is_checked_and_no_mistake() -> None:
    """A definition that no pipeline names may stay, as in the Collector."""
    assert judge("f", GOOD) == []
    assert len(judge("f", GOOD.replace("verbosity: normal", "verbosity: loud"))) == 1


def test_several_files_make_one_configuration() -> None:
    """A second file changes one key of the first, and its mistakes are its own."""
    over = "exporters: {debug: {verbosity: loud}}\n"
    reading = read(load([("a.yaml", GOOD), ("b.yaml", over)], {}))
    assert [mistake.file for mistake in reading.mistakes] == ["b.yaml"]


def test_port_0_clashes_with_nothing() -> None:
    """Any number of listeners may ask for a free port."""
    text = GOOD.replace("grpc: ", "grpc: {endpoint: ':0'}, http: {endpoint: ':0'}")
    assert judge("f", text) == []


def test_a_collectors_balancer_runs_unchanged() -> None:
    """A Collector's file for trace-id balancing is taken as it is."""
    assert judge("f", (HERE / "collector_loadbalancer.yaml").read_text(encoding="utf-8")) == []


def test_a_collectors_sampler_is_refused_for_what_is_not_built_only() -> None:
    """Of a Collector's file for tail sampling exactly the exporter nop and the queue's batch are refused."""
    assert judge("f", (HERE / "collector_sampler.yaml").read_text(encoding="utf-8")) == [
        'f:20:3: exporters.nop: the exporter "nop" is not built yet',
        "f:25:36: exporters.otlp.sending_queue.batch: not built yet: the processor batch sets the size of export requests",
    ]


def test_a_collectors_forwarder_has_no_tier_here() -> None:
    """A Collector that neither balances nor samples is refused with the reason."""
    lines = judge("f", (HERE / "collector_forwarder.yaml").read_text(encoding="utf-8"))
    assert [line.rpartition(": ")[2] for line in lines] == [
        "an acknowledged span waits in the queue until it is delivered; without one it would be lost",
        "a sampler's pipeline needs tail_sampling",
    ]


@pytest.mark.parametrize("name", ["loadbalancer", "sampler"])
def test_the_quickstart_is_right(name: str) -> None:
    """Both files of deploy/quickstart/ are without mistakes, with and without the variable that `tailgate up` sets."""
    text = (ROOT / "deploy" / "quickstart" / f"{name}.yaml").read_text(encoding="utf-8")
    assert judge("f", text) == []
    assert tier_of(load([("f", text)], {"TAILGATE_REDIS_URL": "redis://127.0.0.1:7/0"})) == name


# ---------------------------------------------------------------- any text at all

SEEDS = [path.read_text(encoding="utf-8") for path in (*BAD, *GOOD_FILES, *sorted(HERE.glob("collector_*.yaml")))] + [
    GOOD
]
PIECES = (
    "\" ' { } [ ] : - # &a *a <<: !!int !!str !x null ~ 0 007 1e3 -1 .inf ${env:SECRET} ${ $$ ${X:-1} | > --- ... ? [] {} "
    'true 0x1F 10s @ ` % 99999999999999999999 "\\UFFFFFFFF" "\\ud800" é'
)
TOKENS = [*PIECES.split(), "\n", "  ", ": ", "- ", "\n---\n", "\t", "\x00", "\x85"]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A file that was nearly right, with a few places overwritten."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        text = text[:start] + draw(st.sampled_from(TOKENS) | st.text(max_size=5)) + text[end:]
    return text


def check(text: str) -> None:
    for line in judge("f.yaml", text):
        file, row, column, *_ = line.split(":")
        assert file == "f.yaml" and int(row) >= 1 and int(column) >= 1


@settings(max_examples=150, deadline=None)
@given(mutated())
def test_a_damaged_file_is_a_mistake_and_never_a_crash(text: str) -> None:
    """Whatever is done to a file, the answer is settings or lines with a place in the file."""
    check(text)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_mistake_and_never_a_crash(text: str) -> None:
    """Text that was never meant as a configuration is answered in the same way."""
    check(text)
