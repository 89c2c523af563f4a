"""Judges the Helm chart of `deploy/helm`, without a cluster: `chart.py RENDER`, where RENDER prints what Helm makes of it.

Each manifest is checked against the schemas of the oldest and the newest Kubernetes that the chart is for. What else is wrong (a selector that selects nothing, a volume that
nothing mounts, an option that `meetbot` does not have) is printed too, and the exit code is 1.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "meetbot"
VALUES = ROOT / "xtask" / "deploy" / "values"
#: The Kubernetes versions whose schemas are asked.
VERSIONS = ("1.27", "1.37")
SETTINGS = set(re.findall(r"MEETBOT_[A-Z_]+", (ROOT / "crates/orchestrator/src/default.toml").read_text())) | {"MEETBOT_CONFIG"}
#: The objects of each rendering, so that a template that makes nothing is noticed.
KINDS = {"ServiceAccount": 1, "ConfigMap": 2, "Service": 1, "Deployment": 2, "PodDisruptionBudget": 2, "NetworkPolicy": 2}
#: Values that must be refused, each with a word of the reason.
REFUSED = {
    "store: { url: 'postgres://meetbot:secret@host/meetbot' }": "store.url",
    "storage: { url: 'https://bucket' }": "storage.url",
    "workers: { keySecret: { name: '' } }": "workers.keySecret.name",
    "workers: { keySecret: { name: a, key: k }, bots: 0 }": "workers.bots",
    "server: { replica: 2 }": "replica",
}


def rendered(render: str, *values: str) -> tuple[str, str]:
    ended = subprocess.run([render, str(CHART), *values], capture_output=True, text=True, check=False)
    return ended.stdout, ended.stderr if ended.returncode else ""


def schemas(manifest: dict[str, Any]) -> Iterator[str]:
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {error.message} at {'.'.join(map(str, error.path))}"


def template(manifest: dict[str, Any]) -> dict[str, Any] | None:
    return manifest.get("spec", {}).get("template")


def options(command: str) -> set[str]:
    """The options of `meetbot`'s commands, as its source declares them."""
    source = (ROOT / "crates/cli/src" / command).read_text()
    found = re.findall(r"#\[arg\(long[^\]]*\]\s*(?:pub\(crate\) )?(\w+):", source)
    return {f"--{name.replace('_', '-')}" for name in found}


def pod(manifest: dict[str, Any], names: set[tuple[str, str]]) -> Iterator[str]:
    spec = template(manifest)["spec"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    for volume in spec["volumes"]:
        config = volume.get("configMap", {}).get("name")
        if config and ("ConfigMap", config) not in names:
            yield f"there is no ConfigMap {config}"
    for container in spec["containers"]:
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        if mounted != volumes:
            yield f"volumes and mounts differ: {sorted(mounted ^ volumes)}"
        for variable in container["env"]:
            if variable["name"].startswith("MEETBOT_") and variable["name"] not in SETTINGS:
                yield f"there is no setting {variable['name']}"
        known = options("worker/mod.rs")
        for argument in container["args"][1:]:
            if argument.split("=")[0] not in known:
                yield f"`meetbot worker` has no option {argument}"
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        files = [variable["value"] for variable in container["env"] if variable["name"].endswith("_FILE")]
        for file in files:
            if str(Path(file).parent) not in paths:
                yield f"{file} is in no volume"
    if ("ServiceAccount", spec["serviceAccountName"]) not in names:
        yield "there is no such ServiceAccount"


def judge(text: str) -> Iterator[str]:
    manifests = [manifest for manifest in yaml.safe_load_all(text) if manifest]
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    if len(names) != len(manifests):
        yield "two objects have one name"
    counted = {kind: sum(manifest["kind"] == kind for manifest in manifests) for kind in {manifest["kind"] for manifest in manifests}}
    if counted != KINDS:
        yield f"{counted} were made, and {KINDS} were expected"
    pods = [template(manifest)["metadata"]["labels"] for manifest in manifests if template(manifest)]
    for manifest in manifests:
        about = f"{manifest['kind']} {manifest['metadata']['name']}"
        found = [*schemas(manifest)]
        if template(manifest):
            found += pod(manifest, names)
        spec = manifest.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if selector:
            labels = selector.get("matchLabels", selector)
            selected = [pod for pod in pods if labels.items() <= pod.items()]
            if len(selected) != 1:
                found.append(f"its selector selects {len(selected)} kinds of pods")
        yield from (f"{about}: {problem}" for problem in found)


def all_problems(render: str) -> Iterator[str]:
    for values in ("least.yaml", "all.yaml"):
        text, error = rendered(render, str(VALUES / values))
        yield from (f"{values}: {problem}" for problem in ([error] if error else judge(text)))
    _, error = rendered(render)
    for required in ("store.url", "store.passwordSecret.name", "storage.url", "workers.keySecret.name"):
        if required not in error:
            yield f"values without {required} are not refused: {error}"
    base = (VALUES / "least.yaml").read_text()
    wrong = ROOT / "target" / "deploy" / "wrong.yaml"
    for values, word in REFUSED.items():
        merged = yaml.safe_load(base)
        for part, value in yaml.safe_load(values).items():
            merged[part] = {**merged.get(part, {}), **value}
        wrong.write_text(yaml.safe_dump(merged))
        _, error = rendered(render, str(wrong))
        if word not in error:
            yield f"{values} is not refused: {error}"


def can_fail() -> Iterator[str]:
    """What the schemas must find, so that a judge that finds nothing is noticed."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"port": 1}}
    if len([*schemas(service)]) != len(VERSIONS):
        yield "the schemas find nothing"


if __name__ == "__main__":
    found = [*all_problems(sys.argv[1]), *can_fail()]
    print("\n".join(found))
    sys.exit(bool(found))
