"""Operations that are asked a thousand times, for one thing each: the first call is botocore's, and the others like it.

Between two such calls only the parameters change, and with them the body and the signature (Signature Version 4,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html). botocore makes everything
anew each time, which takes two thirds of a call's computing. What is made here is held against what botocore sent and
understood, with the same parameters, before it is used at all; and the first answer that is not 200, or can't be read,
ends it: botocore asks then, for that one and all that follow, with its retries and its throttling.
"""

from __future__ import annotations

import hmac
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from auditor.capture.aws_wire import Wire, host_of, moment

_STAMP: Final = "%Y%m%dT%H%M%SZ"
ENOUGH: Final = 16
"""Calls of one operation from which on it is worth it: two or three go to being sure."""
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/, ]+/\d{8}/(?P<region>[^/, ]+)/(?P<service>[^/, ]+)/aws4_request, "
    r"SignedHeaders=(?P<signed>[a-z0-9;-]+), Signature=[0-9a-f]{64}"
)
_OF_A_CALL: Final = frozenset(
    {
        "authorization", "x-amz-date", "x-amz-security-token", "amz-sdk-invocation-id", "amz-sdk-request",
        "content-length",
    }
)  # fmt: skip
"""Headers, in lower case, that are others in each call."""


@dataclass(slots=True)
class Request:
    """What a request of botocore is to the wire."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"
    stream_output: bool = False


@dataclass(frozen=True, slots=True)
class _Way:
    """How botocore sent a call, without what changes from one to the next."""

    url: str
    headers: Mapping[str, str]
    region: str
    service: str
    signed: tuple[str, ...]


class Repeated:
    """One operation of a client of botocore, for several threads.

    Only of services that speak JSON, where a call is nothing but its body.
    """

    def __init__(
        self, client: Any, name: str, wire: Wire, credentials: Callable[[], Any], check: Callable[..., None]
    ) -> None:
        """`credentials` gives those of now, as botocore's ReadOnlyCredentials. `check` is a handler of `before-parse`,
        which raises if an answer is none."""
        from botocore.parsers import ResponseParserFactory
        from botocore.serialize import create_serializer

        self._model = client.meta.service_model.operation_model(name)
        self._wire, self._credentials, self._check = wire, credentials, check
        self._way: _Way | None = None
        self._key: tuple[tuple[str, ...], bytes] = (), b""
        self._seen = threading.local()
        self._learning = threading.Lock()
        self._usable = (
            self._model.service_model.resolved_protocol == "json"
            and not getattr(self._model, "context_parameters", None)
            and not getattr(self._model, "operation_context_parameters", None)
            and not (self._model.endpoint or {}).get("hostPrefix")
        )
        if self._usable:
            self._serializer = create_serializer("json", include_validation=False)
            factory = ResponseParserFactory()
            factory.set_parser_defaults(timestamp_parser=moment)
            self._parser = factory.create_parser("json")
            client.meta.events.register("before-send", self._see)

    def page(self, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer to one call; None if botocore has to ask."""
        way = self._way
        if way is None:
            return None
        try:
            return self._asked(way, parameters)
        # Whatever it was: botocore will meet it as well, and knows what to do.
        except Exception:  # noqa: BLE001
            self._way, self._usable = None, False
            return None

    def learn(self, parameters: Mapping[str, Any], page: Mapping[str, Any]) -> None:
        """Takes over how the last call of this thread was sent, with its parameters and answer, if it is understood."""
        request = getattr(self._seen, "request", None)
        if not self._usable or self._way is not None or request is None or not self._learning.acquire(blocking=False):
            return
        try:
            way = self._understood(request, parameters)
            own = self._asked(way, parameters) if way is not None else None
            if own is None or _bare(own) != _bare(page):
                self._usable = False
            else:
                self._way = way
        # What is not understood is left to botocore.
        except Exception:  # noqa: BLE001
            self._usable = False
        finally:
            self._learning.release()

    def _see(self, request: Any, event_name: str, **_: Any) -> None:
        self._seen.request = request if event_name.endswith(f".{self._model.name}") else None

    def _understood(self, request: Any, parameters: Mapping[str, Any]) -> _Way | None:
        headers = {name: _text(value) for name, value in request.headers.items()}
        lower = {name.lower(): value for name, value in headers.items()}
        said = _AUTHORIZATION.fullmatch(lower.get("authorization", ""))
        place = urlsplit(request.url)
        if said is None or request.method != "POST" or place.path not in ("", "/") or place.query:
            return None
        fixed = {name: value for name, value in headers.items() if name.lower() not in _OF_A_CALL}
        fixed.setdefault("Host", host_of(place))
        way = _Way(request.url, fixed, said["region"], said["service"], tuple(said["signed"].split(";")))
        again = self._request(way, parameters, datetime.strptime(lower["x-amz-date"], _STAMP).replace(tzinfo=UTC))
        same = again.body == request.body and all(
            again.headers.get(name) == value or name.lower() in _OF_A_CALL - {"authorization"}
            for name, value in headers.items()
        )
        return way if same else None

    def _asked(self, way: _Way, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        answer = self._wire.send(self._request(way, parameters, datetime.now(UTC)))
        if answer is None or answer.status_code != 200:
            raise ValueError("not answered")
        whole = {"status_code": 200, "headers": answer.headers, "body": answer.content, "context": {}}
        self._check(operation_model=self._model, response_dict=whole)
        return self._parser.parse(whole, self._model.output_shape)  # type: ignore[no-any-return]

    def _request(self, way: _Way, parameters: Mapping[str, Any], now: datetime) -> Request:
        body = self._serializer.serialize_to_request(parameters, self._model)["body"]
        credentials = self._credentials()
        stamp = now.strftime(_STAMP)
        headers = {**way.headers, "X-Amz-Date": stamp}
        if credentials.token:
            headers["X-Amz-Security-Token"] = credentials.token
        scope = (stamp[:8], way.region, way.service, "aws4_request")
        lower = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        canonical = "\n".join(
            ("POST", "/", "", *(f"{name}:{lower[name]}" for name in way.signed), "", ";".join(way.signed), _hash(body))
        )
        text = "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join(scope), _hash(canonical.encode())))
        signature = hmac.digest(self._signing_key(credentials.secret_key, scope), text.encode(), "sha256").hex()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{'/'.join(scope)}, "
            f"SignedHeaders={';'.join(way.signed)}, Signature={signature}"
        )
        return Request(way.url, headers, body)

    def _signing_key(self, secret: str, scope: tuple[str, ...]) -> bytes:
        """The key of a day, a region and a service."""
        known = secret, *scope
        made, key = self._key
        if made != known:
            key = f"AWS4{secret}".encode()
            for part in scope:
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = known, key
        return key


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _bare(page: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in page.items() if name != "ResponseMetadata"}
