"""Reads an AWS account through boto3 into a snapshot: every call of `aws_calls`, in all regions, read-only.

One call that is denied is denied alone: the others go on, and the snapshot says which it was. What one region or
service can't answer never holds up the rest. Throttling is met by botocore's adaptive retries.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from auditor import __version__
from auditor.capture.aws_calls import GLOBAL, GLOBAL_REGION, OPERATIONS, Operation
from auditor.capture.aws_kept import FREE_KEYS, PAGING, written
from auditor.capture.kinds import Job, Progress, SourceResult
from auditor.capture.snapshot import Record
from auditor.errors import AuditorError, UsageError
from auditor.model import Outcome
from auditor.phrases import timestamp
from auditor.redaction import redact

if TYPE_CHECKING:
    from auditor.capture.snapshot import Snapshot

PART_BYTES: Final = 8 * 1024 * 1024
"""Bytes of answers after which another file begins: a file of an estate is read up to 16 MiB."""
ATTEMPTS: Final = 10
CONNECT_SECONDS: Final = 10
READ_SECONDS: Final = 60
PAGES: Final = 20_000
"""Pages of one call. An API that goes on for ever is one that repeats itself."""

_DENIED: Final = (
    "AccessDenied", "AuthFailure", "AuthorizationError", "ExpiredToken", "Forbidden", "InvalidClientTokenId",
    "InvalidIdentityToken", "NotAuthorized", "OptInRequired", "SignatureDoesNotMatch", "SubscriptionRequired",
    "UnauthorizedOperation", "UnrecognizedClient",
)  # fmt: skip
_UNSUPPORTED: Final = ("InvalidAction", "UnknownOperation", "UnsupportedOperation", "NotImplemented")
_NO_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_WEB_PAGE: Final = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+)?html\b", re.I | re.S)
_AT_A_TIME: Final = 8
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3}|\.\d{6})?Z", re.A)
_LATE: Final = 2**31
_NOT_ASKED: Final = "not all was asked for: "
_GLOBAL_AT: Final = {"aws": "us-east-1", "aws-cn": "cn-northwest-1", "aws-us-gov": "us-gov-west-1"}


class Source(Protocol):
    """An account as the inventory declares it."""

    @property
    def account(self) -> str | None: ...
    @property
    def profile(self) -> str | None: ...
    @property
    def role_arn(self) -> str | None: ...
    @property
    def regions(self) -> tuple[str, ...]: ...


class Writer(Protocol):
    """Where answers go: a snapshot."""

    @property
    def outcomes(self) -> Mapping[str, Outcome]: ...
    def store(self, path: str, content: bytes) -> None: ...
    def record(self, records: Iterable[Record]) -> None: ...


class Client(Protocol):
    """What is used of a client of boto3, beside a method for each operation."""

    @property
    def meta(self) -> Any: ...
    def can_paginate(self, operation_name: str) -> bool: ...
    def get_paginator(self, operation_name: str) -> Any: ...


class Session(Protocol):
    """What is used of a session of boto3."""

    def client(self, service_name: str, *, region_name: str, config: Any) -> Any: ...
    def get_available_regions(self, service_name: str, partition_name: str) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class AwsResult:
    """What became of an account: how many operations were asked, and of how many not all was seen.

    `outcome` is OK unless the account could not be asked at all; `detail` says why.
    """

    account: str
    asked: int
    unseen: int
    detail: str = ""
    outcome: Outcome = Outcome.OK


@dataclass(slots=True)
class _Answered:
    """One operation in one region: what was got, and what went wrong."""

    operation: Operation
    found: int = 0
    calls: int = 0
    listed: list[tuple[Mapping[str, Any], Any]] = field(default_factory=list)
    """What others are asked for: the parameters of the call, and a thing of its answer, as short as can be."""
    problems: list[tuple[Outcome, str]] = field(default_factory=list)
    parts: int = 0

    def outcome(self) -> Outcome:
        if not self.problems:
            return Outcome.OK if self.parts else Outcome.ABSENT
        if self.parts:
            return Outcome.PARTIAL
        kinds = {kind for kind, _ in self.problems}
        return kinds.pop() if len(kinds) == 1 else Outcome.PARTIAL

    def detail(self) -> str:
        if not self.problems:
            return ""
        first = self.problems[0][1]
        return first if self.calls <= 1 else f"{len(self.problems)} of {self.calls} calls: {first}"


def collect(job: Job, snapshot: Snapshot, /, *, now: Callable[[], datetime], progress: Progress) -> SourceResult:
    """Captures the account of a source of kind aws. Raises as `collect_aws` does."""
    result = collect_aws(
        job.source, snapshot, workers=min(job.options.jobs, 16), progress=progress, now=now, stop=job.stop
    )
    if result.outcome is not Outcome.OK:
        progress(0, 0, f"{job.name}: {result.outcome}: {result.detail}")
    return SourceResult(job.name, result.asked, result.unseen, result.detail, result.outcome)


def collect_aws(
    source: Source,
    writer: Writer,
    *,
    attempts: int = 0,
    workers: int = 16,
    operations: Sequence[Operation] = OPERATIONS,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    session: Session | None = None,
    stop: threading.Event | None = None,
) -> AwsResult:
    """Captures one account into `aws/<account>/<region>/<service>.<Operation>.json`.

    `attempts` is how often a call is tried; by default what AWS_MAX_ATTEMPTS says. `progress` gets how many operations
    are done, and of how many, from several threads but never from two at once. What was recorded as seen by an
    interrupted run is left out; once `stop` is set, nothing more is asked or recorded. Raises UsageError without boto3,
    OSError if the snapshot can't be written.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise UsageError(
            "boto3 is not installed, which speaks to AWS",
            hint="It is in the extra `aws`: pip install '.[aws]' where the auditor's source is.",
        ) from None

    label = source.account or source.profile or "default"
    config = _config(attempts, workers)
    try:
        session = session or _session(source, config)
        account, partition = _identity(session, config)
        if source.account and account != source.account:
            raise _RefusedError(f"these credentials are of account {account}, the inventory declares {source.account}")
        regions = _regions(session, config, source, partition)
    except (BotoCoreError, ClientError, _RefusedError) as error:
        outcome, detail = outcome_of(error)
        return AwsResult(label, 0, 1, detail, outcome)
    run = _Run(session, config, writer, account, partition, workers, operations, now, stop or threading.Event())
    return run.all(regions, progress)


def _config(attempts: int, workers: int) -> Any:
    from botocore import __version__ as botocore_version
    from botocore.config import Config

    retries: dict[str, Any] = {"mode": "adaptive"}
    if attempts or "AWS_MAX_ATTEMPTS" not in os.environ:
        retries["total_max_attempts"] = attempts or ATTEMPTS
    return Config(
        retries=retries,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=max(workers, 10),
        # botocore makes its own anew twice a call, which takes a seventh of the call's time.
        user_agent=f"auditor/{__version__} Botocore/{botocore_version}",
    )


class _RefusedError(AuditorError):
    """Credentials that must not be used for this source."""


def _session(source: Source, config: Any) -> Session:
    from botocore.session import get_session

    session = _made(get_session(), profile_name=source.profile)
    if source.role_arn is None:
        return session  # type: ignore[no-any-return]
    from botocore.credentials import RefreshableCredentials

    client = session.client("sts", region_name=session.region_name or "us-east-1", config=config)

    def assume() -> dict[str, str]:
        given = client.assume_role(RoleArn=source.role_arn, RoleSessionName="auditor")["Credentials"]
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "token": given["SessionToken"],
            "expiry_time": given["Expiration"].isoformat(),
        }

    # A role's credentials end after an hour, and a large account takes longer.
    inner: Any = get_session()
    inner._credentials = RefreshableCredentials.create_from_metadata(assume(), assume, "assume-role")
    return _made(inner, region_name=session.region_name)  # type: ignore[no-any-return]


def _made(core: Any, **given: Any) -> Any:
    """A session of boto3 over one of botocore."""
    import boto3

    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return boto3.Session(botocore_session=core, **given)


def moment(value: Any) -> datetime:
    """A time as the API has it, mostly in ISO 8601 or in seconds since the epoch: botocore takes ten times as long.

    Raises ValueError. Stands in for `botocore.utils.parse_timestamp`, as the AWS CLI has one of its own.
    """
    if isinstance(value, str) and _ISO.fullmatch(value):
        return datetime.fromisoformat(value)
    if isinstance(value, (int, float)) and 0 <= value < _LATE:
        return datetime.fromtimestamp(value, UTC)
    from botocore.utils import parse_timestamp

    return parse_timestamp(value)  # type: ignore[no-any-return]


def _identity(session: Session, config: Any) -> tuple[str, str]:
    """The account of the credentials, and its partition (`aws`, `aws-cn`, `aws-us-gov`)."""
    region = getattr(session, "region_name", None) or "us-east-1"
    known = session.client("sts", region_name=region, config=config).get_caller_identity()
    parts = str(known.get("Arn", "")).split(":")
    account = str(known.get("Account", ""))
    if not (account.isdecimal() and len(account) == 12):
        raise _RefusedError("the answer to GetCallerIdentity names no account")
    return account, parts[1] if len(parts) > 1 and parts[1] in _GLOBAL_AT else "aws"


def _regions(session: Session, config: Any, source: Source, partition: str) -> list[str]:
    if "all" not in source.regions:
        return list(dict.fromkeys(source.regions))
    client = session.client("ec2", region_name=_GLOBAL_AT[partition], config=config)
    found = client.describe_regions(AllRegions=False)
    return sorted(str(region["RegionName"]) for region in found["Regions"])


class _Run:
    """One account's collection: chains of operations, each for one region, several at once."""

    def __init__(
        self,
        session: Session,
        config: Any,
        writer: Writer,
        account: str,
        partition: str,
        workers: int,
        operations: Sequence[Operation],
        now: Callable[[], datetime],
        stop: threading.Event,
    ) -> None:
        self._stop = stop
        self._session, self._config, self._writer = session, config, writer
        self._account, self._partition, self._now = account, partition, now
        self._operations = operations
        self._workers = workers
        self._lock = threading.Lock()
        self._unseen = 0
        self._clients: dict[tuple[str, str], Client] = {}
        self._paginators: dict[tuple[str, str], Any] = {}
        self._there: dict[str, frozenset[str]] = {}

    def all(self, regions: Sequence[str], progress: Callable[[int, int], None]) -> AwsResult:
        chains = list(self._chains(regions))
        total, done = sum(len(chain) for _, chain in chains), 0
        # Calls for single things have their own threads: a chain waits for them, and never they for a chain.
        with ThreadPoolExecutor(self._workers) as calls, ThreadPoolExecutor(max(self._workers // 2, 1)) as roots:
            pending = [roots.submit(self._chain, region, chain, calls) for region, chain in chains]
            try:
                for (_, chain), one in zip(chains, pending, strict=True):
                    one.result()
                    done += len(chain)
                    progress(done, total)
            except BaseException:
                for one in pending:
                    one.cancel()
                raise
        return AwsResult(self._account, total, self._unseen)

    def _chains(self, regions: Sequence[str]) -> Iterator[tuple[str, Sequence[Operation]]]:
        """Operations in groups that hang together, for each region."""
        groups: dict[str, list[Operation]] = {}
        roots: dict[str, str] = {}
        for operation in self._operations:
            root = roots[operation.key] = roots[operation.each.of] if operation.each else operation.key
            groups.setdefault(root, []).append(operation)
        for group in groups.values():
            for region in (GLOBAL_REGION,) if group[0].service in GLOBAL else regions:
                if not self._seen_before(region, group):
                    yield region, group

    def _seen_before(self, region: str, group: Iterable[Operation]) -> bool:
        known = self._writer.outcomes
        return all(known.get(self._path(region, one)) in (Outcome.OK, Outcome.ABSENT) for one in group)

    def _path(self, region: str, operation: Operation, part: int = 1) -> str:
        number = f".{part}" if part > 1 else ""
        return f"aws/{self._account}/{_safe(region)}/{operation.key}{number}.json"

    def _client(self, service: str, region: str) -> Client:
        # Making clients is not safe in several threads, using them is.
        with self._lock:
            client = self._clients.get((service, region))
            if client is None:
                where = _GLOBAL_AT[self._partition] if region == GLOBAL_REGION else region
                client = self._session.client(service, region_name=where, config=self._config)
                client.meta.events.register("before-parse", _whole)
                self._clients[service, region] = client
            return client

    def _is_listed(self, service: str, region: str) -> bool:
        """Whether botocore knows a service in a region, or does not know the region.

        Its list of where a service is lags behind by years; that of the regions themselves does not.
        """
        with self._lock:
            for name in (service, "ec2"):
                if name not in self._there:
                    self._there[name] = frozenset(self._session.get_available_regions(name, self._partition))
        return region in self._there[service] or region not in self._there["ec2"]

    def _nowhere(self, service: str, region: str) -> str:
        """The name under which a service would be in a region, if botocore does not know it there and it is none."""
        from botocore.utils import get_environ_proxies

        if self._is_listed(service, region):
            return ""
        url = str(self._client(service, region).meta.endpoint_url)
        place = urlsplit(url)
        # Behind a proxy it is the proxy that knows names.
        if place.scheme in get_environ_proxies(url) or not _is_no_name(place.hostname or ""):
            return ""
        return str(place.hostname)

    def _chain(self, region: str, chain: Sequence[Operation], calls: ThreadPoolExecutor) -> None:
        if host := self._nowhere(chain[0].service, region):
            why = f"{chain[0].service} is not in this region: there is no {host}"
            when = timestamp(self._now())
            self._writer.record([Record(self._path(region, one), Outcome.ABSENT, when, why) for one in chain])
            return
        done: dict[str, _Answered] = {}
        wanted = {one.each.of for one in chain if one.each is not None}
        for operation in chain:
            if self._stop.is_set():
                return
            answered = _Answered(operation)
            if operation.each is None:
                answered.calls = 1
                self._root(region, answered, chain)
            else:
                self._each(region, answered, done[operation.each.of], chain, calls)
            if self._stop.is_set():
                return
            done[operation.key] = answered
            self._record(region, answered)
            if operation.key not in wanted:
                answered.listed.clear()

    def _root(self, region: str, answered: _Answered, chain: Sequence[Operation]) -> None:
        for answer in self._ask(region, answered, answered.operation.parameters, chain):
            if isinstance(answer, tuple):
                answered.problems.append(answer)
            elif _count(answer):
                self._store(region, answered, answer)

    def _each(
        self,
        region: str,
        answered: _Answered,
        parent: _Answered,
        chain: Sequence[Operation],
        calls: ThreadPoolExecutor,
    ) -> None:
        asked = _parameters(answered.operation, parent)
        answered.calls = len(asked)
        for outcome, detail in parent.problems:
            # What was not listed was not asked for: the same gap, one level down.
            answered.problems.append((outcome, f"{_NOT_ASKED}{detail.removeprefix(_NOT_ASKED)}"))
        kept: list[dict[str, Any]] = []
        size = 0

        def some(several: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
            return [list(self._ask(region, answered, one, chain)) for one in several]

        # To hand a call to a thread takes a third of what the call does.
        length = max(1, min(_AT_A_TIME, len(asked) // (4 * self._workers)))
        pieces = [asked[at : at + length] for at in range(0, len(asked), length)]
        found = (answers for several in calls.map(some, pieces) for answers in several)
        for parameters, answers in zip(asked, found, strict=True):
            shown = {key: value for key, value in parameters.items() if key not in answered.operation.parameters}
            for answer in answers:
                if isinstance(answer, tuple):
                    answered.problems.append((answer[0], f"{_named(shown)}: {answer[1]}"))
                    continue
                kept.append({"parameters": shown, "answer": answer})
                size += _weight(answer)
                if size > PART_BYTES:
                    self._store(region, answered, {"calls": kept})
                    kept, size = [], 0
        if kept:
            self._store(region, answered, {"calls": kept})

    def _ask(
        self, region: str, answered: _Answered, parameters: Mapping[str, Any], chain: Sequence[Operation]
    ) -> Iterator[dict[str, Any] | tuple[Outcome, str]]:
        """The answer to one call, pages merged, in pieces of some size; last what went wrong, if anything did."""
        from botocore.exceptions import BotoCoreError, ClientError

        operation = answered.operation
        followers = [one.each for one in chain if one.each is not None and one.each.of == operation.key]
        merged: dict[str, Any] = {}
        size = 0
        if self._stop.is_set():
            return
        try:
            for count, page in enumerate(self._pages(region, operation, parameters)):
                if count >= PAGES:
                    raise _EndlessError(f"more than {PAGES} pages: the rest was not asked for")
                weight = _weight(page)
                bare = {key: value for key, value in page.items() if key not in PAGING}
                keys = {path for each in followers for path in (*each.parameters.values(), each.only[0])}
                for items in dict.fromkeys(each.items for each in followers):
                    shorts = [(parameters, _short(thing, keys)) for thing in _things(bare, items)]
                    with self._lock:
                        answered.listed.extend(shorts)
                if size and size + weight > PART_BYTES:
                    yield merged
                    merged, size = {}, 0
                _merge(merged, bare)
                size += weight
                if self._stop.is_set() or count + 1 == operation.enough:
                    break
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in operation.absent:
                return
            if size:
                yield merged
            yield outcome_of(error)
            return
        except (BotoCoreError, _EndlessError) as error:
            if size:
                yield merged
            yield outcome_of(error)
            return
        except _UnreadableError as error:
            if size:
                yield merged
            yield Outcome.UNREACHABLE, f"{operation.name}: {error}"
            return
        # What botocore's parsers raise has no base of its own.
        except Exception as error:  # noqa: BLE001
            if size:
                yield merged
            yield Outcome.UNREACHABLE, f"{operation.name}: the answer can't be read: {type(error).__name__}"
            return
        if merged:
            yield merged

    def _pages(self, region: str, operation: Operation, parameters: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        client = self._client(operation.service, region)
        key = region, operation.key
        # botocore makes a class of its own for each paginator.
        if key not in self._paginators:
            from botocore import xform_name

            method = xform_name(operation.name)
            self._paginators[key] = client.get_paginator(method) if client.can_paginate(method) else None
        paginator: Any = self._paginators[key]
        return _followed(client, operation, parameters) if paginator is None else paginator.paginate(**parameters)

    def _store(self, region: str, answered: _Answered, answer: Mapping[str, Any]) -> None:
        answered.parts += 1
        path = self._path(region, answered.operation, answered.parts)
        text = written(answer, FREE_KEYS.union(answered.operation.free))
        self._writer.store(path, text.encode("utf-8", "replace"))
        if answered.parts > 1:
            self._writer.record([Record(path, Outcome.OK, timestamp(self._now()))])

    def _record(self, region: str, answered: _Answered) -> None:
        outcome = answered.outcome()
        if outcome not in (Outcome.OK, Outcome.ABSENT):
            with self._lock:
                self._unseen += 1
        path = self._path(region, answered.operation)
        self._writer.record([Record(path, outcome, timestamp(self._now()), answered.detail())])


def _is_no_name(host: str) -> bool:
    """Whether a name does not exist; not where nobody could be asked."""
    try:
        socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return error.errno in _NO_NAME
    except (OSError, UnicodeError):
        return False
    return False


class _EndlessError(Exception):
    """An answer without an end."""


class _UnreadableError(Exception):
    """An answer that is none of the API."""


def _whole(operation_model: Any, response_dict: Mapping[str, Any], **_: Any) -> None:
    """Refuses what botocore would take for an empty answer: half a page of JSON, the page of a proxy.

    Raises _UnreadableError. A handler of botocore's event `before-parse`.
    """
    if response_dict["status_code"] >= 300:
        return
    body = response_dict["body"]
    if _WEB_PAGE.match(body[:4096]):
        raise _UnreadableError("a page of HTML instead of an answer: is there a proxy in between?")
    if not body.strip():
        raise _UnreadableError("an empty answer")
    if "json" not in operation_model.service_model.resolved_protocol:
        return
    try:
        whole = isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise _UnreadableError("the answer is no JSON object, or not all of it")


def _followed(client: Client, operation: Operation, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The pages of an operation that botocore has no paginator for."""
    from botocore import xform_name

    call = getattr(client, xform_name(operation.name))
    token: dict[str, str] = {}
    while True:
        page = call(**parameters, **token)
        yield page
        following = {given: found for given, said in operation.token if (found := _following(page, said))}
        if not following:
            return
        if following == token:
            raise _EndlessError("the same page came again: the rest was not asked for")
        token = following


def _following(page: Mapping[str, Any], said: str) -> str:
    found: Any = page
    for key in said.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    if isinstance(found, list):
        # Firehose goes on after the last name, as long as it says that there are more.
        found = found[-1] if found and page.get("HasMoreDeliveryStreams") else None
    return str(found or "")


def _parameters(operation: Operation, parent: _Answered) -> list[dict[str, Any]]:
    """What an operation is asked with, for each thing that its parent listed."""
    each = operation.each
    if each is None:
        return [dict(operation.parameters)]
    key, beginnings = each.only
    things = [
        (asked, thing) for asked, thing in parent.listed if not key or str(_part(thing, key)).startswith(beginnings)
    ]
    if each.batch:
        name = next(iter(each.parameters))
        texts = [_part(thing, each.parameters[name]) for _, thing in things]
        return [{**operation.parameters, name: texts[at : at + each.batch]} for at in range(0, len(texts), each.batch)]
    made: list[dict[str, Any]] = []
    for asked, thing in things:
        given = dict(operation.parameters)
        for name, origin in each.parameters.items():
            value = asked.get(origin[1:]) if origin.startswith("@") else _part(thing, origin)
            if value is not None:
                given[name] = value
        # Two instances of one traffic policy ask for the same document.
        if given not in made[-1:]:
            made.append(given)
    return made


def _part(thing: Any, key: str) -> Any:
    return thing.get(key) if key and isinstance(thing, dict) else thing


def _short(thing: Any, keys: Iterable[str]) -> Any:
    return {key: thing[key] for key in keys if key in thing} if isinstance(thing, dict) else thing


def _things(answer: Mapping[str, Any], path: str) -> list[Any]:
    found: Any = answer
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, list) else []


def _merge(into: dict[str, Any], page: Mapping[str, Any]) -> None:
    """Adds a page: lists grow, maps are merged, anything else is as the last page says."""
    for key, value in page.items():
        known = into.get(key)
        if isinstance(known, list) and isinstance(value, list):
            known.extend(value)
        elif isinstance(known, dict) and isinstance(value, dict):
            _merge(known, value)
        else:
            into[key] = list(value) if isinstance(value, list) else dict(value) if isinstance(value, dict) else value


def _weight(page: Mapping[str, Any]) -> int:
    """About how many bytes a page will have in a file, by what came over the wire."""
    headers = page.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    length = str(headers.get("content-length", ""))
    return int(length) * 2 if length.isdecimal() else 32_768


def _count(answer: Mapping[str, Any]) -> int:
    """How many things a list of an API holds, at its top or one level below."""
    found = 0
    for value in answer.values():
        if isinstance(value, list):
            found += len(value)
        elif isinstance(value, dict):
            found += sum(len(inner) for inner in value.values() if isinstance(inner, list))
    return found


def _named(parameters: Mapping[str, Any]) -> str:
    return ", ".join(str(value) for value in parameters.values() if isinstance(value, str))[:200]


def outcome_of(error: BaseException) -> tuple[Outcome, str]:
    """What an error of boto3 means for coverage, in one line without secrets."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        known = response.get("Error", {})
        code, status = str(known.get("Code", "")), response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        operation = str(getattr(error, "operation_name", ""))
        said = " ".join(str(known.get("Message", "")).split())
        # Of a server that fails altogether the message is a page of HTML.
        more = f": {said}" if said and not said.startswith("<") else ""
        detail = redact(f"{operation}: {code or status}{more}")[:300]
        if code.startswith(_DENIED) or status in (401, 403):
            return Outcome.DENIED, detail
        if code.startswith(_UNSUPPORTED) or status == 501:
            return Outcome.UNSUPPORTED, detail
        return Outcome.UNREACHABLE, detail
    detail = redact(f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
    if isinstance(error, _EndlessError):
        return Outcome.PARTIAL, detail
    if isinstance(error, _RefusedError) or "Credential" in type(error).__name__ or "Profile" in type(error).__name__:
        return Outcome.DENIED, detail
    return Outcome.UNREACHABLE, detail


def _safe(name: str) -> str:
    """A name as one part of a path."""
    return (
        "".join(character if character.isalnum() or character in "-_." else "-" for character in name).strip(".") or "-"
    )
