"""gateway.cli: the `tailgate` command, its words and exit statuses."""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from gateway.config.settings import Endpoint, LoadBalancerConfig, SamplerConfig
from gateway.errors import ConfigError, StartupError
from gateway.net import embedded_redis, explain, lease_store, up, workers
from gateway.net.tier import Worker
from tests.support.ports import free_ports

LOADBALANCER = """\
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:PORT"}}}}
exporters:
  load_balancing:
    protocol: {otlp: {tls: {insecure: true}}}
    resolver: {static: {hostnames: ["127.0.0.1:4327"]}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [load_balancing]}}
"""
SAMPLER = """\
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:PORT"}}}}
processors:
  tail_sampling:
    policies: [{name: all, type: always_sample}]
exporters: {debug: {}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], processors: [tail_sampling], exporters: [debug]}}
"""


@pytest.fixture
def loadbalancer(tmp_path: Path) -> str:
    path = tmp_path / "loadbalancer.yaml"
    path.write_text(LOADBALANCER.replace("PORT", "14317"))
    return str(path)


@pytest.fixture
def sampler(tmp_path: Path) -> str:
    path = tmp_path / "sampler.yaml"
    path.write_text(SAMPLER.replace("PORT", "14327"))
    return str(path)


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """A sampler's file with a wrong type in line 4 and an unknown exporter in line 5."""
    path = tmp_path / "broken.yaml"
    path.write_text(
        SAMPLER.replace("PORT", "14327").replace("always_sample", "alway_sample").replace("debug: {}", "debgu: {}")
    )
    return str(path)


def command(*arguments: str) -> tuple[int, str, str]:
    """Run `tailgate` in a process of its own; status, stdout, stderr."""
    words = [sys.executable, "-P", "-m", "gateway.cli", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


class Recorder:
    """A tier that only remembers how it was run."""

    name = "sampler"

    def __init__(self, outcome: int | BaseException = 0) -> None:
        self.outcome = outcome
        self.workers: list[Worker] = []

    def parse(self, document: object) -> str:
        return "the settings"

    def run(self, config: object, worker: Worker) -> int:
        assert config == "the settings"
        self.workers.append(worker)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def test_check_names_the_tier(loadbalancer: str, sampler: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` says OK and which tier the file is for, with status 0."""
    assert cli.main(["check", "--config", loadbalancer]) == 0
    assert cli.main(["check", "--config", sampler]) == 0
    assert capsys.readouterr().out == f"{loadbalancer}: OK (load balancer)\n{sampler}: OK (sampler)\n"


def test_check_names_every_mistake(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` prints every mistake on stderr as FILE:LINE:COLUMN: message, and its status is 2."""
    assert cli.main(["check", "--config", broken]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) >= 2
    places = [line.split(": ")[0].removeprefix(f"{broken}:").split(":") for line in err.splitlines()]
    assert [int(line) for line, column in places if column.isdigit()] == sorted(int(line) for line, _ in places)
    assert {"4", "5"} <= {line for line, _ in places}
    assert "always_sample" in err


def test_check_remarks_on_what_is_probably_not_meant(sampler: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is right and doubtful is a line on stderr, as a warning or a note; the file is OK all the same, with status 0."""
    path = Path(sampler)
    more = "{name: some, type: rate_limiting, rate_limiting: {spans_per_second: 100}}"
    path.write_text(path.read_text().replace("type: always_sample}", "type: always_sample}, " + more))
    assert cli.main(["check", "--config", sampler]) == 0
    out, err = capsys.readouterr()
    assert out == f"{sampler}: OK (sampler)\n"
    lines = err.splitlines()
    assert f'{sampler}:4:16: warning: "all" keeps every trace: no other policy but drop changes a decision' in lines
    assert [line.split(": ")[1] for line in lines] == ["warning", "warning", "note", "warning"]
    assert all(line.startswith(f"{sampler}:4:") for line in lines)


def test_check_merges_files_in_order(sampler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several files are one configuration: a later one replaces what an earlier one says."""
    over = tmp_path / "over.yaml"
    over.write_text("processors: {tail_sampling: {decision_wait: nonsense}}\n")
    assert cli.main(["check", "--config", sampler, "--config", str(over)]) == 2
    assert f"{over}:1:45: " in capsys.readouterr().err
    over.write_text("processors: {tail_sampling: {decision_wait: 3s}}\n")
    assert cli.main(["check", "--config", sampler, "--config", str(over)]) == 0
    assert capsys.readouterr().out == f"{sampler} {over}: OK (sampler)\n"


@pytest.mark.parametrize("name", ["check", "sampler", "loadbalancer"])
def test_files_that_cannot_be_read_are_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file that is missing, a directory or no text is one line with its name, and the status is 2."""
    missing, binary = tmp_path / "missing.yaml", tmp_path / "binary.yaml"
    binary.write_bytes(b"receivers: \xff")
    assert cli.main([name, "--config", str(missing), "--config", str(tmp_path), "--config", str(binary)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}:1:1: cannot be read: Is a directory",
        f"{binary}:1:1: is not UTF-8 text: invalid start byte at byte 11",
        f"{missing}:1:1: cannot be read: No such file or directory",
    ]


def test_a_file_of_the_other_tier_is_refused(
    loadbalancer: str, sampler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tier refuses the other tier's file with status 2 and says where that file belongs."""
    assert cli.main(["sampler", "--config", loadbalancer]) == 2
    assert "tailgate loadbalancer" in capsys.readouterr().err
    assert cli.main(["loadbalancer", "--config", sampler]) == 2
    assert "tailgate sampler" in capsys.readouterr().err


def test_one_process_runs_the_tier_here(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --workers the tier runs in this process, alone, and its status is the command's."""
    tier = Recorder(outcome=1)
    monkeypatch.setattr(cli.tier, "find", lambda name: tier)
    assert cli.main(["sampler", "--config", sampler]) == 1
    assert tier.workers == [Worker()]


def test_a_worker_is_told_which_it_is(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker process runs the tier itself, knowing its index, how many there are and its admin socket."""
    tier = Recorder()
    monkeypatch.setattr(cli.tier, "find", lambda name: tier)
    flags = ["--workers", "3", "--worker", "2", "--admin-socket", "/tmp/2.sock"]
    assert cli.main(["sampler", "--config", sampler, *flags]) == 0
    assert tier.workers == [Worker(index=2, workers=3, admin_socket="/tmp/2.sock")]


def test_several_workers_have_a_parent(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --workers N this process is the parent of N, and the tier does not run in it."""
    tier = Recorder()
    calls: list[Any] = []
    monkeypatch.setattr(cli.tier, "find", lambda name: tier)
    monkeypatch.setattr(workers, "run", lambda *arguments: calls.append(arguments) or 0)
    assert cli.main(["sampler", "--config", sampler, "--workers", "3"]) == 0
    assert calls == [("sampler", "the settings", [sampler], 3)]
    assert tier.workers == []


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        (StartupError("cannot listen on 127.0.0.1:1"), 1, "tailgate: cannot listen on 127.0.0.1:1\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_failures_are_one_line(
    sampler: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: BaseException,
    status: int,
    said: str,
) -> None:
    """What keeps a process from starting is one line and status 1; Ctrl-C is no line at all; neither has a stack trace."""
    monkeypatch.setattr(cli.tier, "find", lambda name: Recorder(outcome))
    assert cli.main(["sampler", "--config", sampler]) == status
    assert capsys.readouterr().err == said


def test_a_bug_is_not_hidden(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is no expected one is not caught: the process dies of it, with its stack trace."""
    monkeypatch.setattr(cli.tier, "find", lambda name: Recorder(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["sampler", "--config", sampler])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["check"],
        ["sampler"],
        ["members"],
        ["sampler", "--config", "F", "--workers", "0"],
        ["sampler", "--config", "F", "--workers", "many"],
        ["up", "--samplers", "100000"],
        ["check", "--config", "F", "extra"],
    ],
)
def test_a_wrong_command_line_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that cannot be understood is explained on stderr, with status 2."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: tailgate")


def test_its_version_is_the_installations(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the installed version."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"tailgate {version('tailgate')}\n"


def test_help_hides_what_only_workers_are_given() -> None:
    """The flags a parent gives its workers are not offered to people."""
    commands = next(one for one in cli.parser()._actions if isinstance(one, argparse._SubParsersAction))
    text = commands.choices["sampler"].format_help()
    assert "--workers" in text
    assert "--admin-socket" not in text
    assert "--worker " not in text


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[up.Plan]]:
    """What `up` was asked to run; it says one line and ends with status 0."""
    made: list[up.Plan] = []

    def run(plan: up.Plan, say: Any) -> int:
        made.append(plan)
        say("ready")
        return 0

    monkeypatch.setattr(up, "run", run)
    yield made


def test_up_needs_no_arguments(plans: list[up.Plan], capsys: pytest.CaptureFixture[str]) -> None:
    """`up` alone runs the quickstart's files: a load balancer, two samplers, and an embedded Redis that they are told."""
    assert cli.main(["up"]) == 0
    (plan,) = plans
    assert isinstance(plan.loadbalancer, LoadBalancerConfig)
    assert isinstance(plan.sampler, SamplerConfig)
    assert plan.samplers == 2
    assert plan.embedded is not None
    assert plan.redis_url == embedded_redis.url(plan.embedded)
    assert plan.sampler.membership is not None
    assert plan.sampler.membership.redis.url == plan.redis_url
    assert capsys.readouterr().out == "ready\n"


def test_up_takes_what_it_is_given(loadbalancer: str, sampler: str, plans: list[up.Plan]) -> None:
    """`up` runs the files, the number of samplers and the Redis it is given; then it embeds none."""
    files = ["--loadbalancer-config", loadbalancer, "--sampler-config", sampler]
    assert cli.main(["up", *files, "--samplers", "5", "--redis-url", "redis://elsewhere:6379/1"]) == 0
    (plan,) = plans
    assert (plan.loadbalancer_file, plan.sampler_file) == (loadbalancer, sampler)
    assert (plan.samplers, plan.redis_url, plan.embedded) == (5, "redis://elsewhere:6379/1", None)
    assert plan.loadbalancer.receivers[0].grpc is not None
    assert plan.loadbalancer.receivers[0].grpc.endpoint == Endpoint("127.0.0.1", 14317)


def test_up_names_the_mistakes_of_both_files(
    broken: str, sampler: str, plans: list[up.Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    """`up` finds the mistakes in both files before anything starts, with status 2."""
    assert cli.main(["up", "--loadbalancer-config", sampler, "--sampler-config", broken]) == 2
    said = capsys.readouterr().err
    assert f"{sampler}:" in said
    assert f"{broken}:" in said
    assert plans == []


def test_members_prints_the_view(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`members` prints the view of the cluster asked for, as JSON."""

    async def members(url: str, cluster: str) -> dict[str, object]:
        return {"url": url, "cluster": cluster}

    monkeypatch.setattr(lease_store, "members", members)
    assert cli.main(["members", "--redis-url", "redis://r:1/0"]) == 0
    assert json.loads(capsys.readouterr().out) == {"url": "redis://r:1/0", "cluster": "default"}
    assert cli.main(["members", "--redis-url", "redis://r:1/0", "--cluster", "blue"]) == 0
    assert json.loads(capsys.readouterr().out)["cluster"] == "blue"


def test_members_without_redis_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A Redis that cannot be reached is one line on stderr, and status 1."""
    url = embedded_redis.url(embedded_redis.free_endpoint())
    assert cli.main(["members", "--redis-url", url]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"tailgate: cannot reach Redis at {url}: ")
    assert err.count("\n") == 1


TRACE = "0af7651916cd43dd8448eb211c80319c"
KEPT = {"trace_id": TRACE, "state": "decided", "decision": "keep", "policy": "errors"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], str]]:
    """What nodes are asked; all know the trace."""
    questions: list[tuple[list[str], str]] = []

    async def ask(urls: list[str], trace_id: str) -> dict[str, object]:
        questions.append((urls, trace_id))
        return dict(KEPT) if trace_id == TRACE else {"trace_id": trace_id, "state": "unknown"}

    monkeypatch.setattr(explain, "ask", ask)
    return questions


def test_explain_tells_what_became_of_a_trace(
    asked: list[tuple[list[str], str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """`explain` prints a short answer, or with --json the whole; the id may be in any case."""
    assert cli.main(["explain", TRACE.upper(), "--url", "http://h:1"]) == 0
    assert capsys.readouterr().out == f"trace {TRACE} was kept by policy errors\n"
    assert cli.main(["explain", TRACE, "--url", "http://h:1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == KEPT
    assert asked == [(["http://h:1"], TRACE)] * 2


def test_explain_of_an_unknown_trace(asked: list[tuple[list[str], str]], capsys: pytest.CaptureFixture[str]) -> None:
    """When nothing is known of the trace the status is 1."""
    assert cli.main(["explain", "a" * 32, "--url", "http://h:1"]) == 1
    assert capsys.readouterr().out == f"trace {'a' * 32} is not known\n"
    assert len(asked) == 1


@pytest.mark.parametrize("tier", ["loadbalancer", "sampler"])
def test_explain_finds_the_node_of_a_file(tier: str, tmp_path: Path, asked: list[tuple[list[str], str]]) -> None:
    """With --config the node of that file is asked, on this machine, where it answers health and metrics."""
    text = (LOADBALANCER if tier == "loadbalancer" else SAMPLER).replace("PORT", "14317")
    text = text.replace("{level: none}", '{address: "0.0.0.0:8889"}')
    text = text.replace(
        "service:\n", 'extensions: {health_check: {endpoint: "[::]:13199"}}\nservice:\n  extensions: [health_check]\n'
    )
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert cli.main(["explain", TRACE, "--config", str(file)]) == 0
    assert asked == [(["http://[::1]:13199", "http://127.0.0.1:8889"], TRACE)]


def test_explain_needs_to_know_where(
    sampler: str, asked: list[tuple[list[str], str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A file without pages is one line with status 1; neither a file nor a URL, or no trace id, is status 2."""
    assert cli.main(["explain", TRACE, "--config", sampler]) == 1
    assert "give --url" in capsys.readouterr().err
    for words in (["explain", TRACE], ["explain", "xyz", "--url", "http://h:1"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(words)
        assert caught.value.code == 2
    assert "'xyz' is not 32 hexadecimal digits" in capsys.readouterr().err
    assert asked == []


def test_explain_without_a_node_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """When nobody answers there, that is one line on stderr, and status 1."""
    url = f"http://{embedded_redis.free_endpoint()}"
    assert cli.main(["explain", TRACE, "--url", url]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"tailgate: {url} cannot be asked: ")
    assert err.count("\n") == 1


LINE = """{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%s","spanId":"0102030405060708","name":"n"}]}]}]}\n"""


@pytest.fixture
def recording(tmp_path: Path) -> str:
    path = tmp_path / "recording.jsonl"
    path.write_text("".join(LINE % f"{number:032x}" for number in (1, 2, 3)))
    return str(path)


def test_replay_prints_decisions_and_a_summary(
    sampler: str, recording: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`replay` prints one object per decided trace on stdout and the summary on stderr, with status 0."""
    assert cli.main(["replay", "--config", sampler, recording]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["trace_id"] for line in out.splitlines()] == [f"{number:032x}" for number in (1, 2, 3)]
    assert "traces" in err and "all " in err


def test_replay_takes_the_memory_limiter_for_its_budget(
    sampler: str, recording: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The buffer of a replay has the budget that the service would have, from memory_limiter or from the machine."""
    budgets = []

    class Tier(Recorder):
        def parse(self, document: object) -> Any:
            return sampler_parse(document)

        def replay(self, config: SamplerConfig, budget: int, other: object = None) -> Any:
            budgets.append(budget)
            raise StartupError("that was all")

    sampler_parse = cli.tier.find("sampler").parse
    monkeypatch.setattr(cli.tier, "find", lambda name: Tier())
    limited = tmp_path / "limited.yaml"
    limited.write_text(
        "processors: {memory_limiter: {check_interval: 1s, limit_mib: 64}}\n"
        "service: {pipelines: {traces: {processors: [memory_limiter, tail_sampling]}}}\n"
    )
    assert cli.main(["replay", "--config", sampler, "--config", str(limited), recording]) == 1
    assert cli.main(["replay", "--config", sampler, recording]) == 1
    assert 0 < budgets[0] <= 64 * 2**20 < budgets[1]
    assert capsys.readouterr().out == ""


def test_replay_compares_two_configurations(
    sampler: str, recording: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --compare only what the other file decides differently is printed; both files' mistakes are named."""
    other = tmp_path / "other.yaml"
    text = Path(sampler).read_text()
    other.write_text(text.replace("type: always_sample", "type: span_count, span_count: {min_spans: 2}"))
    assert cli.main(["replay", "--config", sampler, "--compare", str(other), recording]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[0])["after"] == {"decision": "drop", "policy": None}
    assert "decided differently: 0 kept instead, 3 dropped instead" in err
    assert cli.main(["replay", "--config", sampler, "--compare", sampler, recording]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "wrong",
    [["INPUT", "/no/such/file"], ["INPUT", "--compare", "CONFIG", "--kept", "OUT"], [], ["INPUT", "--compare", "/no"]],
)
def test_replay_with_mistakes_has_status_2(
    wrong: list[str], sampler: str, recording: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be read, options that do not go together, no input: status 2, and nothing on stdout."""
    words = [{"INPUT": recording, "CONFIG": sampler}.get(word, word) for word in wrong]
    try:
        status = cli.main(["replay", "--config", sampler, *words])
    except SystemExit as stopped:  # argparse's own
        status = int(str(stopped.code))
    out, err = capsys.readouterr()
    assert (status, out) == (2, "") and err != ""


def test_replay_is_for_samplers(loadbalancer: str, recording: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A load balancer's file has no policies: its mistakes are named, with status 2."""
    assert cli.main(["replay", "--config", loadbalancer, recording]) == 2
    assert "tail_sampling" in capsys.readouterr().err


@pytest.mark.integration
def test_replay_in_a_pipe(sampler: str, tmp_path: Path) -> None:
    """`replay -` reads standard input, and ends quietly when whoever reads its output has seen enough."""
    lines = "".join(LINE % f"{number:032x}" for number in range(1, 20_000))
    replay = [sys.executable, "-P", "-m", "gateway.cli", "replay", "--config", sampler, "-"]
    done = subprocess.run(replay, input=lines, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout.count("\n") == 19_999
    with subprocess.Popen(
        replay, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as cut:
        assert cut.stdin and cut.stdout and cut.stderr
        cut.stdout.close()
        cut.stdin.write(lines)
        cut.stdin.close()
        assert (cut.stderr.read(), cut.wait(60)) == ("", 0)


def test_reading_raises_what_main_prints(tmp_path: Path) -> None:
    """Reading files raises one ConfigError with a mistake for each that cannot be read."""
    with pytest.raises(ConfigError) as caught:
        cli.read([str(tmp_path / "a"), str(tmp_path / "b")], {})
    assert [mistake.file for mistake in caught.value.mistakes] == [str(tmp_path / "a"), str(tmp_path / "b")]


@pytest.mark.integration
@pytest.mark.parametrize("count", ["1", "2"])
@pytest.mark.parametrize("name", ["loadbalancer", "sampler"])
def test_a_port_in_use_is_one_line(name: str, count: str, tmp_path: Path) -> None:
    """A port in use is one line naming the address and status 1, with one worker as with several."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        file = tmp_path / "config.yaml"
        file.write_text((LOADBALANCER if name == "loadbalancer" else SAMPLER).replace("PORT", port))
        status, out, err = command(name, "--config", str(file), "--workers", count)
    lines = [line for line in err.splitlines() if not line.startswith("{")]  # what is logged is JSON
    assert (status, out) == (1, "")
    assert len(lines) == 1, err
    assert lines[0].startswith(f"tailgate: cannot listen on 127.0.0.1:{port}")
    assert "Traceback" not in err


@pytest.mark.integration
def test_workers_on_each_others_ports_are_one_line(tmp_path: Path) -> None:
    """Two workers of a sampler on neighbouring ports for gRPC and HTTP: one line naming both, and nothing is started."""
    first = free_ports(1)[0]
    second = first + 1
    file = tmp_path / "config.yaml"
    both = f'grpc: {{endpoint: "127.0.0.1:{first}"}}, http: {{endpoint: "127.0.0.1:{second}"}}'
    file.write_text(SAMPLER.replace('grpc: {endpoint: "127.0.0.1:PORT"}', both))
    status, out, err = command("sampler", "--config", str(file), "--workers", "2")
    assert (status, out) == (1, "")
    assert err == (
        f"tailgate: worker 1 of receivers.otlp.protocols.grpc (port {first} + 1) and receivers.otlp.protocols.http would both "
        f"listen on port {second}: give receivers.otlp.protocols.http port {first + 2} or a higher one or start fewer workers\n"
    )


@pytest.mark.integration
def test_the_command_is_a_process(sampler: str, broken: str) -> None:
    """`python -m gateway.cli` is the command; its exit status is what a script sees."""
    assert command("check", "--config", sampler) == (0, f"{sampler}: OK (sampler)\n", "")
    assert command("check", "--config", broken)[0] == 2
