"""What the operator of Prometheus says of a PodMonitor: the fields of its types, by the tags in their Go module, which `monitor/go.mod` names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: The source of the types.
SOURCE = "v1/podmonitor_types.go"


class Monitors:
    """The types, by the folder of their module."""

    def __init__(self, folder: Path) -> None:
        self.source = (folder / SOURCE).read_text()

    def fields(self, kind: str) -> dict[str, bool]:
        """The fields that a type itself names, and whether each must be there."""
        (body,) = re.findall(rf"^type {kind} struct {{\n(.*?)^}}", self.source, re.DOTALL | re.MULTILINE)
        tags = re.findall(r'`json:"([^",]+)([^"]*)"', body)
        return {name: "omitempty" not in options for name, options in tags}

    def problems(self, manifest: dict[str, Any], pods: list[dict[str, Any]]) -> Iterator[str]:
        """What is wrong with a PodMonitor; `pods` are the containers of the pods that it may select."""
        if manifest["apiVersion"] != "monitoring.coreos.com/v1":
            yield f"PodMonitor: there is no {manifest['apiVersion']}"
        spec = manifest.get("spec", {})
        yield from self.compared(spec, "PodMonitorSpec")
        for endpoint in spec.get("podMetricsEndpoints", []):
            yield from self.compared(endpoint, "PodMetricsEndpoint")
            ports = [{port["name"] for port in container.get("ports", [])} for container in pods]
            if not any(endpoint.get("port") in names for names in ports):
                yield f"PodMonitor: no worker has a port {endpoint.get('port')}"

    def compared(self, given: dict[str, Any], kind: str) -> Iterator[str]:
        fields = self.fields(kind)
        yield from (f"PodMonitor: {kind} has no field {name}" for name in given.keys() - fields.keys())
        yield from (f"PodMonitor: {kind} lacks {name}" for name, is_required in fields.items() if is_required and name not in given)
