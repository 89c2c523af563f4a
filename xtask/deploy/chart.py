"""Judges the Helm chart of `deploy/helm`, without a cluster: `chart.py RENDER KEDA MONITORS`, where RENDER prints what Helm makes of it, KEDA is the folder of KEDA's module, and MONITORS that of the types of
Prometheus' operator.

Each manifest is checked against the schemas of the oldest and the newest Kubernetes that the chart is for, against KEDA's, or against those types. What else is wrong (a selector that selects nothing, a volume that
nothing mounts, an option that `meetbot` does not have) is printed too, and the exit code is 1. Then each mistake of `mistakes.py` is made, and must be found.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import kubernetes_validate
import promql_parser
import yaml
from judge import changed, options, selectors, table
from keda import Keda
from mistakes import MISTAKES, REFUSED
from monitor import Monitors

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "meetbot"
VALUES = ROOT / "xtask" / "deploy" / "values"
#: The Kubernetes versions whose schemas are asked.
VERSIONS = ("1.27", "1.37")
DEFAULTS = (ROOT / "crates/orchestrator/src/default.toml").read_text()
SETTINGS = set(re.findall(r"MEETBOT_[A-Z_]+", DEFAULTS)) | {"MEETBOT_CONFIG"}
METRICS = table("operations.md")
#: The objects of each rendering, so that a template that makes nothing is noticed.
KINDS = {
    "fixed.yaml": {"ServiceAccount": 1, "ConfigMap": 2, "Service": 1, "Deployment": 2, "PodDisruptionBudget": 2, "NetworkPolicy": 2},
    "browser.yaml": {"ServiceAccount": 1, "ConfigMap": 3, "Service": 1, "Deployment": 3, "PodDisruptionBudget": 3, "NetworkPolicy": 2, "PodMonitor": 1},
    "keda.yaml": {
        "ServiceAccount": 1,
        "ConfigMap": 3,
        "Service": 1,
        "Deployment": 1,
        "ScaledJob": 2,
        "TriggerAuthentication": 1,
        "PodDisruptionBudget": 3,
        "NetworkPolicy": 2,
    },
    "prometheus.yaml": {"ServiceAccount": 1, "ConfigMap": 2, "Service": 1, "Deployment": 1, "ScaledJob": 1, "PodDisruptionBudget": 2},
}

Manifest = dict[str, Any]


class Types(NamedTuple):
    """What custom resources must be."""

    keda: Keda
    monitors: Monitors


def rendered(render: str, *values: str) -> tuple[str, str]:
    ended = subprocess.run([render, str(CHART), *values], capture_output=True, text=True, check=False)
    return ended.stdout, ended.stderr if ended.returncode else ""


def loaded(text: str) -> list[Manifest]:
    return [manifest for manifest in yaml.load_all(text, yaml.CSafeLoader) if manifest]


def schemas(manifest: Manifest) -> Iterator[str]:
    if manifest["kind"] in ("TriggerAuthentication", "PodMonitor"):
        return
    if manifest["kind"] == "ScaledJob":
        # What Kubernetes gets are the jobs that KEDA makes of it.
        manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": manifest["metadata"], "spec": manifest["spec"]["jobTargetRef"]}
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {error.message} at {'.'.join(map(str, error.path))}"


def template(manifest: Manifest) -> Manifest | None:
    spec = manifest.get("spec", {})
    return spec.get("jobTargetRef", spec).get("template")


OPTIONS = options("worker/mod.rs")


def given(container: Manifest) -> dict[str, str]:
    """The options of a container's command, with their values."""
    return dict(argument.split("=", 1) for argument in container["args"][1:])


def variables(container: Manifest) -> dict[str, str]:
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


def pod(manifest: Manifest, names: set[tuple[str, str]]) -> Iterator[str]:
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
        for name in variables(container):
            if name.startswith("MEETBOT_") and name not in SETTINGS:
                yield f"there is no setting {name}"
        for name in given(container):
            if name not in OPTIONS:
                yield f"`meetbot worker` has no option {name}"
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        files = [value for name, value in variables(container).items() if name.endswith("_FILE")]
        for file in files:
            if str(Path(file).parent) not in paths:
                yield f"{file} is in no volume"
    if ("ServiceAccount", spec["serviceAccountName"]) not in names:
        yield "there is no such ServiceAccount"


def keys(settings: dict[str, Any], path: str = "") -> Iterator[str]:
    """The paths of the settings in a file, as in `bots.browser.max`."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from keys(value, f"{path}{name}.")
        else:
            yield path + name


def settings(file: str) -> Iterator[str]:
    """What is wrong with a file of settings."""
    try:
        given = tomllib.loads(file)
    except tomllib.TOMLDecodeError as error:
        yield f"its settings cannot be read: {error}"
        return
    for name in {*keys(given)} - {*keys(tomllib.loads(DEFAULTS))}:
        yield f"there is no setting {name}"


def worker(manifest: Manifest) -> Iterator[str]:
    """What a pod with bots needs."""
    made = template(manifest)
    (container,) = made["spec"]["containers"]
    pool, arguments, environment = made["metadata"]["labels"]["meetbot/pool"], given(container), variables(container)
    if arguments.get("--pools") != pool:
        yield f"it takes jobs of --pools={arguments.get('--pools')}, and is of the pool {pool}"
    drain = int(environment.get("MEETBOT_SERVER_DRAIN_SECONDS", "0"))
    if made["spec"].get("terminationGracePeriodSeconds", 30) < drain + 60:
        yield "it is killed before its last uploads"
    annotations = made["metadata"]["annotations"]
    if annotations.get("cluster-autoscaler.kubernetes.io/safe-to-evict") != "false" or annotations.get("karpenter.sh/do-not-disrupt") != "true":
        yield "its node may be removed"
    resources = container["resources"]
    if "ephemeral-storage" not in resources["requests"]:
        yield "it requests no disk for recordings"
    ports = {port["name"]: str(port["containerPort"]) for port in container.get("ports", [])}
    served = arguments.get("--metrics")
    expected = f"$(POD_IP):{ports['metrics']}" if "metrics" in ports else None
    if served != expected or annotations.get("prometheus.io/port") != ports.get("metrics"):
        yield f"its metrics are at {served}, and its ports are {ports}"
    if pool == "browser":
        if {name: resources["requests"][name] for name in ("cpu", "memory")} != {name: resources["limits"].get(name) for name in ("cpu", "memory")}:
            yield "its requests are not its limits"
        if environment.get("MEETBOT_BOTS_BROWSER_ENABLED") != "true" or environment.get("MEETBOT_BOTS_BROWSER_MAX") != arguments["--bots"]:
            yield "its browsers are not as many as its bots"
    is_job = manifest["kind"] == "ScaledJob"
    if ("--until-idle" in arguments) != is_job:
        yield "only the pod of a job ends by itself"
    if is_job:
        yield from scaled(manifest, pool, arguments["--bots"])


def scaled(manifest: Manifest, pool: str, places: str) -> Iterator[str]:
    """How KEDA starts pods of a pool with so many places each."""
    spec = manifest["spec"]
    if template(manifest)["spec"].get("restartPolicy") != "Never":
        yield "an ended pod is started again"
    if spec.get("rollout", {}).get("strategy") != "gradual":
        yield "an upgrade deletes pods with bots"
    if spec.get("scalingStrategy", {}).get("strategy") != "default":
        yield "pods that run are not subtracted from those that are wanted"
    if "maxReplicaCount" not in spec:
        yield "it has no largest number of pods"
    for trigger in spec["triggers"]:
        metadata = trigger["metadata"]
        if metadata.get("targetValue", metadata.get("threshold")) != places:
            yield f"it starts pods for a number of bots that is not {places}"
        expression = promql_parser.parse(metadata.get("valueLocation") or metadata.get("query", ""))
        for selector in selectors(expression):
            labels = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
            if "pool" not in METRICS.get(selector.name, []):
                yield f"the server has no metric {selector.name} with the label pool"
            if labels.get("pool") != pool:
                yield f"it is scaled by the pool {labels.get('pool')}"


def of_one(manifest: Manifest, manifests: list[Manifest], types: Types) -> Iterator[str]:
    """What is wrong with an object, among all that are made with it."""
    names = {(one["kind"], one["metadata"]["name"]) for one in manifests}
    found = [*schemas(manifest)]
    if manifest["kind"] in types.keda.schemas:
        found += types.keda.problems(manifest, manifests)
    if manifest["kind"] == "PodMonitor":
        workers = [template(one)["spec"]["containers"][0] for one in manifests if template(one) and "meetbot/pool" in template(one)["metadata"]["labels"]]
        found += types.monitors.problems(manifest, workers)
    yield from found
    if found:
        # The other checks rely on what the schemas require.
        return
    pods = [template(one)["metadata"]["labels"] for one in manifests if template(one)]
    if template(manifest):
        yield from pod(manifest, names)
        if template(manifest)["metadata"]["labels"]["app.kubernetes.io/component"] == "worker":
            yield from worker(manifest)
    spec = manifest.get("spec", {})
    selector = spec.get("selector") or spec.get("podSelector")
    if selector:
        labels = selector.get("matchLabels", selector)
        selected = [labels.items() <= one.items() for one in pods]
        # A policy, and a monitor, are for the workers of all pools.
        expected = sum(one["app.kubernetes.io/component"] == "worker" for one in pods) if manifest["kind"] in ("NetworkPolicy", "PodMonitor") and manifest["metadata"]["name"].endswith("worker") else 1
        if sum(selected) != expected:
            yield f"its selector selects {sum(selected)} kinds of pods"
    if manifest["kind"] == "NetworkPolicy":
        yield from policy(manifest)
    if manifest["kind"] == "ConfigMap":
        yield from settings(manifest["data"]["settings.toml"])


def policy(manifest: Manifest) -> Iterator[str]:
    """What meetings need of a network policy."""
    spec = manifest["spec"]
    if "Egress" in spec["policyTypes"]:
        outside = [rule for rule in spec["egress"] if any("ipBlock" in to for to in rule.get("to", []))]
        if not any("ports" not in rule for rule in outside):
            yield "media reach no meeting: UDP must be open"
        if any(port["port"] != "metrics" for rule in spec.get("ingress", []) for port in rule["ports"]):
            yield "more than the metrics is open"


def judge(manifests: list[Manifest], kinds: dict[str, int], types: Types) -> Iterator[str]:
    if len({(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}) != len(manifests):
        yield "two objects have one name"
    counted = {kind: sum(manifest["kind"] == kind for manifest in manifests) for kind in {manifest["kind"] for manifest in manifests}}
    if counted != kinds:
        yield f"{counted} were made, and {kinds} were expected"
    servers = [manifest for manifest in manifests if manifest["metadata"]["name"].endswith("-server") and manifest["kind"] == "Deployment"]
    for server in servers:
        is_enabled = "MEETBOT_BOTS_BROWSER_ENABLED" in variables(template(server)["spec"]["containers"][0])
        if is_enabled != any(manifest["metadata"]["name"].endswith("worker-browser") for manifest in manifests):
            yield "the servers take jobs for browsers without workers for them, or do not take them"
    for manifest in manifests:
        about = f"{manifest['kind']} {manifest['metadata']['name']}"
        yield from (f"{about}: {problem}" for problem in of_one(manifest, manifests, types))


def merged(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: merged(base.get(key), value) for key, value in over.items()}
    return over


def refusals(render: str) -> Iterator[str]:
    """Which wrong values are not refused, each with the reason."""
    _, error = rendered(render)
    for required in ("store.url", "store.passwordSecret.name", "storage.url", "workers.keySecret.name"):
        if required not in error:
            yield f"values without {required} are not refused: {error}"
    base = yaml.safe_load((VALUES / "fixed.yaml").read_text())
    wrong = ROOT / "target" / "deploy" / "wrong.yaml"
    for values, word in REFUSED.items():
        wrong.write_text(yaml.safe_dump(merged(base, yaml.safe_load(values))))
        _, error = rendered(render, str(wrong))
        if word not in error:
            yield f"{values} is not refused with {word!r}: {error}"


def unnoticed(made: dict[str, list[Manifest]], types: Types) -> Iterator[str]:
    """Mistakes that are made on purpose and are not found."""
    for values, name, path, value, word in MISTAKES:
        (index,) = (index for index, one in enumerate(made[values]) if f"{one['kind']} {one['metadata']['name']}" == name)
        manifests = [*made[values]]
        manifests[index] = changed(manifests[index], path, value)
        found = [*of_one(manifests[index], manifests, types)]
        if not any(word in problem for problem in found):
            yield f"{values}: {name} with {path} = {value!r} is not found by {word!r}, but {found}"


def all_problems(render: str, types: Types) -> Iterator[str]:
    made: dict[str, list[Manifest]] = {}
    found: list[str] = []
    for values, kinds in KINDS.items():
        text, error = rendered(render, str(VALUES / values))
        made[values] = loaded(text)
        found += (f"{values}: {problem}" for problem in ([error] if error else judge(made[values], kinds, types)))
    yield from found
    yield from refusals(render)
    if not found:
        # Each mistake is made in manifests that have no other.
        yield from unnoticed(made, types)


if __name__ == "__main__":
    found = [*all_problems(sys.argv[1], Types(Keda(Path(sys.argv[2])), Monitors(Path(sys.argv[3]))))]
    print("\n".join(found))
    sys.exit(bool(found))
