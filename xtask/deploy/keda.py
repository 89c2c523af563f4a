"""What KEDA says of its objects: the schemas of its custom resources, and the parameters of the triggers, which those schemas leave open.

Both are read from the Go module of KEDA that `keda/go.mod` names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema
import yaml

#: The source of each trigger that the chart may use.
TRIGGERS = {"metrics-api": "metrics_api_scaler.go", "prometheus": "prometheus_scaler.go"}
#: What a custom resource has besides the properties that its schema names.
COMMON = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object", "required": ["name"]}}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a trigger, by the tag of its field in KEDA's source."""

    names: tuple[str, ...]
    #: Whether the trigger's metadata may have it, and whether a TriggerAuthentication may.
    in_metadata: bool
    in_authentication: bool
    is_required: bool
    values: tuple[str, ...]


def closed(schema: Any) -> Any:
    """The schema without room for fields that it does not name. Kubernetes removes such fields silently."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    # A property may have the name of a keyword, so names and keywords are taken apart.
    made = {key: value if key in ("enum", "default") else closed(value) for key, value in schema.items() if key != "properties"}
    if "properties" in schema:
        made["properties"] = {name: closed(part) for name, part in schema["properties"].items()}
    if schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def parameters(source: str) -> Iterator[Parameter]:
    """The parameters that a Go file's tags name, as in `keda:"name=url,order=triggerMetadata"`."""
    for tag in re.findall(r'`keda:"([^"]*)"`', source):
        parts = dict([*part.strip().split("=", 1), ""][:2] for part in tag.split(","))
        if "name" not in parts:
            continue
        orders = parts["order"].split(";")
        yield Parameter(
            names=tuple(parts["name"].strip().split(";")),
            in_metadata="triggerMetadata" in orders,
            in_authentication="authParams" in orders,
            is_required="optional" not in parts and "default" not in parts,
            values=tuple(parts["enum"].split(";")) if "enum" in parts else (),
        )


class Keda:
    """KEDA, by the folder of its module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def schemas(self) -> dict[str, jsonschema.protocols.Validator]:
        """What checks an object, by its kind."""
        made = {}
        for file in ("keda.sh_scaledjobs.yaml", "keda.sh_triggerauthentications.yaml"):
            definition = yaml.load((self.folder / "config" / "crd" / "bases" / file).read_text(), yaml.CSafeLoader)
            (version,) = (version for version in definition["spec"]["versions"] if version["name"] == "v1alpha1")
            schema = closed(version["schema"]["openAPIV3Schema"])
            schema["properties"] |= COMMON
            schema["required"] = ["spec"]
            made[definition["spec"]["names"]["kind"]] = jsonschema.Draft4Validator(schema)
        return made

    @cached_property
    def of_authentication(self) -> list[Parameter]:
        """The parameters that say how a trigger authenticates."""
        return [*parameters((self.folder / "pkg/scalers/authentication/authentication_types.go").read_text())]

    def of_trigger(self, kind: str) -> list[Parameter]:
        return [*parameters((self.folder / "pkg/scalers" / TRIGGERS[kind]).read_text())]

    def problems(self, manifest: dict[str, Any], manifests: list[dict[str, Any]]) -> Iterator[str]:
        """What is wrong with an object of KEDA, among all that are made with it."""
        for error in self.schemas[manifest["kind"]].iter_errors(manifest):
            yield f"KEDA: {error.message} at {'.'.join(map(str, error.absolute_path))}"
        for trigger in manifest["spec"].get("triggers", []):
            if trigger.get("type") not in TRIGGERS:
                yield f"KEDA: no parameters of the trigger {trigger.get('type')} are known here"
                continue
            yield from (f"KEDA: {trigger['type']}: {problem}" for problem in self.trigger_problems(trigger, manifests))

    def trigger_problems(self, trigger: dict[str, Any], manifests: list[dict[str, Any]]) -> Iterator[str]:
        own, of_authentication = self.of_trigger(trigger["type"]), self.of_authentication
        known = {name: parameter for parameter in [*own, *of_authentication] if parameter.in_metadata for name in parameter.names}
        given = trigger.get("metadata", {})
        for name, value in given.items():
            if name not in known:
                yield f"there is no parameter {name}"
            elif known[name].values and value not in known[name].values:
                yield f"{name} is {value}, and none of {list(known[name].values)}"
        for parameter in own:
            if parameter.is_required and not given.keys() & set(parameter.names):
                yield f"it lacks {parameter.names[0]}"
        reference = trigger.get("authenticationRef", {}).get("name")
        secrets = [one["spec"].get("secretTargetRef", []) for one in manifests if one["kind"] == "TriggerAuthentication" and one["metadata"]["name"] == reference]
        if reference and not secrets:
            yield f"there is no TriggerAuthentication {reference}"
        has = {secret.get("parameter") for one in secrets for secret in one}
        yield from (f"no authentication has a parameter {name}" for name in has - {name for one in of_authentication if one.in_authentication for name in one.names})
        if given.get("authMode") == "bearer" and not has & {"token", "bearerToken"}:
            yield "the token of authMode bearer is missing"
