"""An object of Kubernetes and the file that it stands in, and how the objects that it names are called."""

from __future__ import annotations

from typing import NamedTuple

from auditor.api import Kind, Ref, Where, YamlNode, YamlStream
from collectors.infrastructure.common import step


class ManifestObject(NamedTuple):
    """One object and the file that it stands in."""

    stream: YamlStream
    root: YamlNode
    kind: str
    name: str
    namespace: str
    version: str
    """As in `apiVersion`: `networking.k8s.io/v1`, `v1`."""
    cluster: str = ""
    """The scope of its own and of other objects' names, where it is known of which of several clusters they are."""

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def ref(self) -> Ref:
        return Ref(Kind.SERVICE, f"kubernetes {self.kind} {self.full_name}", self.cluster)

    @property
    def where(self) -> Where:
        return self.at(step(self.root, "metadata", "name"))

    def at(self, node: YamlNode | None) -> Where:
        """The place of a node, by its own text where a line of JSON holds a whole object."""
        return self.stream.where(node or self.root)

    @property
    def group(self) -> str:
        """The API group: `gateway.networking.k8s.io`; empty for the core one."""
        return self.version.rpartition("/")[0]

    def service(self, name: str) -> Ref:
        """A service of the same namespace."""
        return self.other("Service", name)

    def other(self, kind: str, name: str, namespace: str = "") -> Ref:
        """An object that this one names: of the same namespace, unless it says another."""
        namespace = namespace or self.namespace
        return Ref(Kind.SERVICE, f"kubernetes {kind} {namespace + '/' if namespace else ''}{name}", self.cluster)


def step_text(node: YamlNode | None, *keys: str) -> str:
    """The scalar behind several keys; empty if there is none."""
    found = step(node, *keys)
    return found.scalar if found is not None and found.is_scalar else ""
