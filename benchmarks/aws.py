"""An AWS account: `auditor collect` beside Cloud Custodian, for the same resource types, on one moto server.

The estate: 5,000 Route 53 records, 2,000 alarms, 1,000 EventBridge rules with targets, 500 instances, 500 SNS
subscriptions, 300 certificates. moto takes more CPU than either client, so both are also measured without its share: a
server that keeps moto's answers, asked for once by each of the two, and gives the same bytes again to the same request.

moto's own share is told by its CPU seconds. Once the estate is planted, its process is copied (`--workers`), as nobody
writes any more: one process answers one request at a time. `--latency` is what each answer waits before moto makes it,
as the way to AWS and its own work take; moto answers in 5 ms. Cloud Custodian is in a virtual environment of its own,
made beforehand and outside of the repository:

    python3 -m venv /tmp/c7n && /tmp/c7n/bin/pip install c7n
    python benchmarks/aws.py --custodian /tmp/c7n/bin/custodian
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssh import adopt, children

REGION = "eu-central-1"
OPERATIONS = (
    "route53.ListHostedZones",
    "route53.ListResourceRecordSets",
    "cloudwatch.DescribeAlarms",
    "events.ListEventBuses",
    "events.ListRules",
    "events.ListTargetsByRule",
    "ec2.DescribeInstances",
    "sns.ListSubscriptions",
    "acm.ListCertificates",
    "acm.DescribeCertificate",
)
"""What is asked for the resource types of the policies below."""

POLICIES = """\
policies:
  - {name: records, resource: aws.rrset}
  - {name: alarms, resource: aws.alarm}
  - {name: rules, resource: aws.event-rule}
  - {name: targets, resource: aws.event-rule-target}
  - {name: instances, resource: aws.ec2}
  - {name: subscriptions, resource: aws.sns-subscription}
  - {name: certificates, resource: aws.acm-certificate}
"""


def plant(url: str, sizes: argparse.Namespace) -> None:
    """Fills the account."""
    import boto3

    def client(service: str) -> Any:
        return boto3.client(service, region_name=REGION, endpoint_url=url)

    route53 = client("route53")
    zone = route53.create_hosted_zone(Name="eventide.net", CallerReference="1")["HostedZone"]["Id"]
    changes = [
        {
            "Action": "CREATE",
            "ResourceRecordSet": {
                "Name": f"host{number}.eventide.net",
                "Type": "A",
                "TTL": 300,
                "ResourceRecords": [{"Value": f"10.20.{number // 250}.{number % 250}"}],
            },
        }
        for number in range(sizes.records)
    ]
    for at in range(0, len(changes), 500):
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes[at : at + 500]})
    ec2 = client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    found = ec2.run_instances(ImageId=image, MinCount=sizes.instances, MaxCount=sizes.instances)["Instances"]
    instances = [one["InstanceId"] for one in found]
    topic = client("sns").create_topic(Name="ops")["TopicArn"]
    cloudwatch, events, sns, acm = (client(name) for name in ("cloudwatch", "events", "sns", "acm"))

    def alarm(number: int) -> None:
        cloudwatch.put_metric_alarm(
            AlarmName=f"alarm-{number}", MetricName="CPUUtilization", Namespace="AWS/EC2", Period=60, Threshold=90,
            EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold", Statistic="Average", AlarmActions=[topic],
            Dimensions=[{"Name": "InstanceId", "Value": instances[number % len(instances)]}],
        )  # fmt: skip

    def rule(number: int) -> None:
        events.put_rule(Name=f"rule-{number}", ScheduleExpression="rate(1 day)")
        events.put_targets(Rule=f"rule-{number}", Targets=[{"Id": "1", "Arn": topic}])

    def subscription(number: int) -> None:
        sns.subscribe(TopicArn=topic, Protocol="https", Endpoint=f"https://hook{number}.eventide.net/x")

    def certificate(number: int) -> None:
        acm.request_certificate(DomainName=f"c{number}.eventide.net")

    # One after the other: moto's own threads get into each other's way.
    for work, count in (
        (alarm, sizes.alarms),
        (rule, sizes.rules),
        (subscription, sizes.subscriptions),
        (certificate, sizes.certificates),
    ):
        for number in range(count):
            work(number)


def serve(port: int) -> None:
    """moto's server, for a line with the number of workers and the milliseconds to wait; then a copy of it for each."""
    from multiprocessing import Value
    from threading import Thread

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    moto = DomainDispatcherApplication(create_backend_app)
    asked = Value("L", 0)
    wait = 0.0

    def application(environ: Any, start_response: Any) -> Any:
        with asked.get_lock():
            asked.value += 1
        time.sleep(wait)
        return moto(environ, start_response)

    class Quiet(MotoRequestHandler):
        def log(self, *_: Any) -> None:
            """Nothing."""

    listening = socket.create_server(("127.0.0.1", port), backlog=256)
    settings: dict[str, Any] = {"threaded": True, "request_handler": Quiet, "fd": listening.fileno()}
    first = make_server("127.0.0.1", port, application, **settings)
    running = Thread(target=first.serve_forever, daemon=True)
    running.start()
    print("ready", flush=True)
    workers, milliseconds = sys.stdin.readline().split()
    first.shutdown()
    running.join()
    wait = float(milliseconds) / 1000
    children = []
    for _ in range(int(workers)):
        child = os.fork()
        if not child:
            make_server("127.0.0.1", port, application, **settings).serve_forever()
        children.append(child)
    print(*children, flush=True)
    for _ in sys.stdin:
        print(asked.value, flush=True)
    for child in children:
        os.kill(child, 9)


def replay(port: int, moto: int) -> None:
    """Answers from memory. What is not known is asked of moto, once: a request is known by its line, what it is aimed
    at and its body. `GET /asked` tells how many requests there were, and how many of them moto answered."""
    import asyncio
    import re
    from http.client import HTTPConnection

    known: dict[tuple[bytes, bytes, bytes], bytes] = {}
    asked, unknown = 0, 0
    fields = re.compile(rb"\r\n(content-length|x-amz-target): *([^\r]*)", re.I)
    own = {"connection", "content-length", "date", "transfer-encoding"}

    def whole(status: int, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
        kept = [*((name, value) for name, value in headers if name.lower() not in own), ("Content-Length", len(body))]
        return (
            "\r\n".join([f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in kept), "", ""]).encode() + body
        )

    def ask(line: bytes, head: bytes, body: bytes) -> bytes:
        method, path, _ = line.decode().split(" ")
        headers = dict(one.split(": ", 1) for one in head.decode().split("\r\n")[1:])
        connection = HTTPConnection("127.0.0.1", moto)
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        return whole(answer.status, answer.getheaders(), answer.read())

    class Replayed(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport, self.read = transport, b""

        def data_received(self, data: bytes) -> None:
            nonlocal asked, unknown
            self.read += data
            while (end := self.read.find(b"\r\n\r\n")) >= 0:
                head = self.read[:end]
                said = {name.lower(): value for name, value in fields.findall(head)}
                last = end + 4 + int(said.get(b"content-length", 0))
                if len(self.read) < last:
                    return
                body, self.read = self.read[end + 4 : last], self.read[last:]
                line = head.partition(b"\r\n")[0]
                if line.startswith(b"GET /asked "):
                    self.transport.write(whole(200, [], f"{asked} {unknown}".encode()))
                    continue
                asked += 1
                request = line, said.get(b"x-amz-target", b""), body
                if request not in known:
                    unknown += 1
                    known[request] = ask(line, head, body)
                self.transport.write(known[request])

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Replayed, "127.0.0.1", port, backlog=256)
        print("ready", flush=True)
        await server.serve_forever()

    asyncio.run(run())


def client(root: Path) -> None:
    """The transport in a process of its own: from the first call to the last file."""
    from types import SimpleNamespace

    from auditor.capture import aws_calls
    from auditor.capture.aws import collect_aws
    from auditor.capture.snapshot import Snapshot

    # As `auditor collect` has it.
    gc.set_threshold(1_000_000, 20, 20)
    place = Path(tempfile.mkdtemp(dir=root))
    snapshot = Snapshot.open(place, inventory=b"version: 1\n", started_at="2026-01-01T00:00:00Z", resume=False)
    source = SimpleNamespace(account=None, profile=None, role_arn=None, regions=(REGION,))
    chosen = tuple(operation for operation in aws_calls.OPERATIONS if operation.key in OPERATIONS)
    result = collect_aws(source, snapshot, operations=chosen)
    if result.unseen or result.asked != len(chosen):
        raise SystemExit(f"not all was seen: {result}")


class Server:
    """A server in a process of its own, which this program is as well."""

    def __init__(self, log: Path, *words: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, __file__, words[0], str(self.port), *words[1:]]
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, text=True, bufsize=1
            )
        self.url = f"http://127.0.0.1:{self.port}"
        self.workers = [self.process.pid]
        if self._answer() != "ready":
            raise SystemExit(f"{words[0]} does not start: {log.read_text(errors='replace')[-800:]}")

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def _tell(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        return self._answer()

    def cpu(self) -> float:
        return sum(cpu_of(one) for one in self.workers)

    def calls(self) -> int:
        raise NotImplementedError

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


class Moto(Server):
    def copy(self, workers: int, latency: float) -> None:
        self.workers = [int(one) for one in self._tell(f"{workers} {latency}").split()]

    def calls(self) -> int:
        return int(self._tell("calls"))


class Replayer(Server):
    def asked(self) -> tuple[int, int]:
        """How many requests there were, and how many of them were not known."""
        from urllib.request import urlopen

        with urlopen(f"{self.url}/asked") as answer:
            asked, unknown = answer.read().split()
        return int(asked), int(unknown)

    def calls(self) -> int:
        return self.asked()[0]

    def close(self) -> None:
        self.process.kill()
        self.process.wait(20)


def timed(words: Sequence[str], server: Server, root: Path) -> tuple[float, float, float, int]:
    """Seconds, CPU seconds of the command with all that it starts, and of the server; how many calls there were."""
    servers = children()
    before, others, calls = resource.getrusage(resource.RUSAGE_CHILDREN), server.cpu(), server.calls()
    environment = {**os.environ, "AWS_ENDPOINT_URL": server.url}
    started = time.monotonic()
    with (root / "log").open("wb") as log:
        done = subprocess.run(words, stdout=log, stderr=log, check=False, env=environment)
    seconds = time.monotonic() - started
    for left in children() - servers:
        os.waitpid(left, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"exit {done.returncode}: {(root / 'log').read_text(errors='replace')[-800:]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used, server.cpu() - others, server.calls() - calls


def cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--client", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--replay", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--custodian", type=Path, help="the program of Cloud Custodian")
    parser.add_argument("--workers", type=int, default=2, help="processes of moto")
    parser.add_argument("--latency", type=float, default=0, help="milliseconds that each answer waits")
    parser.add_argument("--repeat", type=int, default=3)
    for name, size in (
        ("records", 5000), ("alarms", 2000), ("rules", 1000), ("instances", 500), ("subscriptions", 500),
        ("certificates", 300),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=size)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return 0
    if arguments.replay:
        replay(*arguments.replay)
        return 0
    if arguments.client:
        client(arguments.client)
        return 0
    if arguments.custodian is None:
        parser.error("--custodian is needed")
    adopt()
    root = Path(tempfile.mkdtemp(prefix="aws-bench-"))
    os.environ.update(
        AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION=REGION,
        AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE=str(root / "none"), NO_PROXY="127.0.0.1",
        AWS_SHARED_CREDENTIALS_FILE=str(root / "none"), PYTHONPATH=str(Path(__file__).resolve().parent.parent),
    )  # fmt: skip
    (root / "policies.yml").write_text(POLICIES)
    commands = {
        "auditor": [sys.executable, __file__, "--client", str(root)],
        "Cloud Custodian": [
            str(arguments.custodian), "run", "-s", str(root / "out"), "-r", REGION, "--cache-period", "0",
            str(root / "policies.yml"),
        ],
    }  # fmt: skip
    moto = Moto(root / "moto.log", "--serve")
    replayer = Replayer(root / "replayer.log", "--replay", str(moto.port))
    try:
        started = time.monotonic()
        plant(moto.url, arguments)
        for command in commands.values():
            timed(command, replayer, root)
        unknown = replayer.asked()[1]
        print(f"planted and asked for once in {time.monotonic() - started:.0f} s", flush=True)
        print(
            "| answers from | | seconds | its CPU s | the server's CPU s | calls | | CPU |", "|---" * 8 + "|", sep="\n"
        )
        compare("memory", commands, replayer, root, arguments.repeat)
        if replayer.asked()[1] != unknown:
            raise SystemExit("what was asked for is not the same each time: moto answered again")
        moto.copy(arguments.workers, arguments.latency)
        compare(f"moto, {arguments.workers} × {arguments.latency:g} ms", commands, moto, root, arguments.repeat)
    finally:
        replayer.close()
        moto.close()
        shutil.rmtree(root, ignore_errors=True)
    return 0


def compare(name: str, commands: Mapping[str, Sequence[str]], server: Server, root: Path, repeat: int) -> None:
    """Prints a line for each command: of its runs the one in the middle by seconds, and multiples of the first."""
    # In turn, so that what else the machine does meets all of them.
    rounds = [[timed(command, server, root) for command in commands.values()] for _ in range(repeat)]
    first = (0.0, 0.0)
    for command, runs in zip(commands, zip(*rounds, strict=True), strict=True):
        seconds, used, others, calls = sorted(runs)[len(runs) // 2]
        first = first if first[0] else (seconds, used)
        ratios = f"{seconds / first[0]:.1f}× | {used / first[1]:.1f}×"
        print(f"| {name} | {command} | {seconds:.2f} | {used:.2f} | {others:.2f} | {calls} | {ratios} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
