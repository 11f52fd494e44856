"""kubeconfig files (kubectl's, `v1` of `Config`): which cluster a context means, and how its user logs in.

A file may name a program that prints the credentials (`exec`, `auth-provider`): no such program is ever run. What can't
be done as the file says is told and not done otherwise: no TLS without verification, no proxy, no other user's name.
"""

from __future__ import annotations

import binascii
import os
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from auditor.capture.http.client import ClientCertificate, FailedError, usable_token
from auditor.model import Outcome
from auditor.text import printable

_MAX_FILE: Final = 1024 * 1024
_OTHERS: Final = ("as", "as-uid", "as-groups", "as-user-extra")
_PROGRAMS: Final = ("exec", "auth-provider")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster and how to log in there."""

    url: str
    ca_data: str | None = None
    server_name: str = ""
    token: str = field(default="", repr=False)
    certificate: ClientCertificate | None = None


def default_kubeconfig() -> Path:
    """The file of $KUBECONFIG, or ~/.kube/config. Raises FailedError for several."""
    named = [one for one in os.environ.get("KUBECONFIG", "").split(os.pathsep) if one]
    if len(named) > 1:
        raise FailedError(Outcome.UNSUPPORTED, "$KUBECONFIG names several files: give one of them as `kubeconfig`")
    return Path(named[0] if named else "~/.kube/config").expanduser()


def read_kubeconfig(path: Path, context: str = "", *, login: bool = True) -> Cluster:
    """The cluster of a context, the current one by default. Without `login` the file's users are not looked at.

    Raises FailedError, with what to do; never with a part of a credential.
    """
    return _File(path).cluster(context, login=login)


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as stream:
                content = stream.read(_MAX_FILE + 1)
        except OSError as error:
            why = f"the kubeconfig {printable(str(path))} can't be read: {error.strerror}"
            raise FailedError(Outcome.UNSUPPORTED, why) from None
        if len(content) > _MAX_FILE:
            raise self._wrong("it is larger than 1 MiB")
        from auditor.api import read_yaml

        stream_of = read_yaml(content)
        if stream_of.problem is not None or len(stream_of.documents) != 1:
            line = stream_of.problem.line if stream_of.problem is not None else 1
            raise self._wrong(f"line {line} is no YAML, or it is no single document")
        root = stream_of.documents[0].plain()
        if not isinstance(root, dict):
            raise self._wrong("it is no mapping")
        self._root = root

    def _wrong(self, what: str, outcome: Outcome = Outcome.UNSUPPORTED) -> FailedError:
        return FailedError(outcome, f"the kubeconfig {printable(self._path.name)}: {printable(what)}")

    def cluster(self, context: str, *, login: bool) -> Cluster:
        """See `read_kubeconfig`."""
        name = context or str(self._root.get("current-context") or "")
        if not name:
            raise self._wrong("it has no current context: give one as `context`")
        found = self._named("contexts", name, "context")
        cluster = self._named("clusters", str(found.get("cluster", "")), "cluster")
        url = str(cluster.get("server") or "")
        if not url:
            raise self._wrong("its cluster has no `server`")
        if str(cluster.get("insecure-skip-tls-verify", "")).lower() in ("true", "yes", "on"):
            raise self._wrong("`insecure-skip-tls-verify` is not done: give the cluster's CA instead")
        if cluster.get("proxy-url"):
            raise self._wrong("`proxy-url` is not used: run the auditor where the API server can be reached")
        ca = self._content(cluster, "certificate-authority")
        user = self._user(str(found.get("user", ""))) if login else {}
        certificate, key = self._content(user, "client-certificate"), self._content(user, "client-key")
        if (certificate is None) != (key is None):
            raise self._wrong("its user has a client certificate or a key without the other", Outcome.DENIED)
        return Cluster(
            url,
            ca.decode("ascii", "replace") if ca is not None else None,
            str(cluster.get("tls-server-name") or ""),
            self._token(user),
            ClientCertificate(certificate, key) if certificate is not None and key is not None else None,
        )

    def _named(self, section: str, name: str, key: str) -> dict[str, Any]:
        entries = self._root.get(section)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and str(entry.get("name")) == name and isinstance(entry.get(key), dict):
                found: dict[str, Any] = entry[key]
                return found
        raise self._wrong(f"there is no {key} called {name[:100]}")

    def _user(self, name: str) -> dict[str, Any]:
        user = self._named("users", name, "user")
        for key in _PROGRAMS:
            if program := user.get(key):
                called = str(program.get("command") or program.get("name") or "") if isinstance(program, dict) else ""
                what = f"its user logs in through a program (`{key}`: {called[:100]}), and none is ever run"
                raise self._wrong(f"{what}: name what prints a token in `token_command`", Outcome.DENIED)
        if any(user.get(key) for key in _OTHERS):
            raise self._wrong("its user acts as another one (`as`), which is not done", Outcome.DENIED)
        if user.get("username") or user.get("password"):
            raise self._wrong("its user has a password, which Kubernetes takes no more since 1.19", Outcome.DENIED)
        return user

    def _token(self, user: dict[str, Any]) -> str:
        token = user.get("token")
        if not token and (path := user.get("tokenFile")):
            token = self._read(str(path)).decode("utf-8", "replace").strip()
        return usable_token(str(token)) if token else ""

    def _content(self, entry: dict[str, Any], key: str) -> bytes | None:
        """What a key holds in base64 (`…-data`), or the file that it names."""
        if data := entry.get(f"{key}-data"):
            try:
                return b64decode("".join(str(data).split()), validate=True)
            except (binascii.Error, ValueError):
                raise self._wrong(f"`{key}-data` is not base64") from None
        return self._read(str(entry[key])) if entry.get(key) else None

    def _read(self, name: str) -> bytes:
        """A file that is named relative to this one."""
        path = self._path.parent / name
        try:
            with path.open("rb") as stream:
                return stream.read(_MAX_FILE)
        except OSError as error:
            raise self._wrong(f"{name} can't be read: {error.strerror}") from None
