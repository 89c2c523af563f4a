"""Judges `deploy/alerts.yaml`, the workers of `deploy/compose.workers.yaml`, and the settings that the files of `deploy/` name.

An expression that cannot be read, a metric or a failure code that the server does not have, a setting or an option that `meetbot` does not know, or a worker whose parts do not fit together, is printed, and the
exit code is 1. Then mistakes are made in the compose file on purpose, and must be found.
"""

from __future__ import annotations

import copy
import ipaddress
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml

ROOT = Path(__file__).parents[2]
#: Prometheus' own, for each target.
OF_PROMETHEUS = {"up"}


def selectors(expression: Any) -> Iterator[Any]:
    """The vector selectors in an expression, at any depth."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for part in ("expr", "lhs", "rhs", "vector_selector"):
        if (inner := getattr(expression, part, None)) is not None:
            yield from selectors(inner)
    for inner in getattr(expression, "args", None) or []:
        yield from selectors(inner)


def table(document: str) -> dict[str, list[str]]:
    """The rows of a document's tables that begin with a code: the code, and the codes of the row's other cells."""
    rows = re.findall(r"^\| `(\w+)`(.*)$", (ROOT / "docs" / document).read_text(), re.MULTILINE)
    return {name: re.findall(r"`(\w+)`", rest) for name, rest in rows}


def alerts() -> Iterator[str]:
    metrics, codes = table("operations.md"), table("failure-codes.md")
    # A histogram is queried by its buckets, its sum and its count.
    metrics |= {f"{name}_{part}": [*labels, "le"] for name, labels in metrics.items() for part in ("bucket", "sum", "count")}
    seen = 0
    for group in yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            name = rule["alert"]
            missing = {"labels", "annotations"} - rule.keys() | {"summary", "look"} - rule.get("annotations", {}).keys()
            if missing:
                yield f"{name} lacks {sorted(missing)}"
            try:
                expression = promql_parser.parse(rule["expr"])
            except ValueError as error:
                yield f"{name}: {error}"
                continue
            for selector in selectors(expression):
                seen += 1
                if selector.name in OF_PROMETHEUS:
                    continue
                if selector.name not in metrics:
                    yield f"{name}: the server has no metric {selector.name}"
                for matcher in selector.matchers.matchers:
                    if selector.name in metrics and matcher.name not in metrics[selector.name]:
                        yield f"{name}: {selector.name} has no label {matcher.name}"
                    unknown = set(matcher.value.split("|")) - codes.keys()
                    if matcher.name == "failure_code" and unknown:
                        yield f"{name}: there is no failure code {sorted(unknown)}"
    if seen < 10:
        yield f"only {seen} metrics were found in the alerts"


def options(command: str) -> set[str]:
    """The options of `meetbot`'s commands, as its source declares them."""
    source = (ROOT / "crates/cli/src" / command).read_text()
    found = re.findall(r"#\[arg\(long[^\]]*\]\s*(?:pub\(crate\) )?(\w+):", source)
    return {f"--{name.replace('_', '-')}" for name in found}


def composed() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "deploy" / "compose.workers.yaml").read_text())


def workers(compose: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the workers of a compose file."""
    known, pools = options("worker/mod.rs"), []
    network = ipaddress.ip_network(compose["networks"]["metrics"]["ipam"]["config"][0]["subnet"])
    for name, service in compose["services"].items():
        if service.get("command", [""])[0] != "worker":
            continue
        given = dict(argument.split("=", 1) for argument in service["command"][1:])
        yield from (f"{name}: `meetbot worker` has no option {option}" for option in given.keys() - known)
        pool = given.get("--pools")
        pools.append(pool)
        address = service["networks"]["metrics"]["ipv4_address"]
        served = given.get("--metrics", "")
        if served != f"{address}:9310" or f"http://{served}/metrics" not in service["healthcheck"]["test"] or ipaddress.ip_address(address) not in network:
            yield f"{name}: its metrics are at {served}, and its address is {address}"
        if pool == "browser" and service["environment"].get("MEETBOT_BOTS_BROWSER_MAX") != given.get("--bots"):
            yield f"{name}: its browsers are not as many as its bots"
        if int(service["environment"]["MEETBOT_SERVER_DRAIN_SECONDS"]) + 60 > int(service["stop_grace_period"].removesuffix("s")):
            yield f"{name}: it is killed before its bots have left"
    if sorted(map(str, pools)) != ["browser", "native"]:
        yield f"its workers are of the pools {pools}"
    if compose["services"]["meetbot"]["environment"] != {"MEETBOT_BOTS_WORKERS": "none", "MEETBOT_BOTS_BROWSER_ENABLED": "true"}:
        yield "the server does not leave all bots to workers"


#: A field of the compose file, its wrong value, and what must be found.
MISTAKES: tuple[tuple[str, Any, str], ...] = (
    ("services worker-native command 3", "--pool=native", "no option --pool"),
    ("services worker-native command 3", "--pools=browser", "its workers are of the pools"),
    ("services worker-native command 5", "--metrics=0.0.0.0:9310", "its metrics are at"),
    ("services worker-native networks metrics ipv4_address", "172.28.93.13", "its address is"),
    ("services worker-browser environment MEETBOT_BOTS_BROWSER_MAX", "1", "its browsers are not as many"),
    ("services worker-browser stop_grace_period", "30s", "killed before its bots have left"),
    ("services meetbot environment MEETBOT_BOTS_WORKERS", "own", "does not leave all bots"),
)


def changed(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The object with another value at a path, as in `spec triggers 0 type`; without the field, where the value is None."""
    made = inner = copy.deepcopy(manifest)
    *parents, last = (int(part) if part.isdecimal() else part for part in path.split())
    for part in parents:
        inner = inner[part]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return made


def compose() -> Iterator[str]:
    found = [*workers(composed())]
    yield from (f"compose.workers.yaml: {problem}" for problem in found)
    if not found:
        for path, value, word in MISTAKES:
            found = [*workers(changed(composed(), path, value))]
            if not any(word in problem for problem in found):
                yield f"compose.workers.yaml: {path} = {value!r} is not found by {word!r}, but {found}"


def settings() -> Iterator[str]:
    known = set(re.findall(r"MEETBOT_[A-Z_]+", (ROOT / "crates/orchestrator/src/default.toml").read_text()))
    files = [ROOT / "deploy" / "Dockerfile", ROOT / "deploy" / "compose.yaml", ROOT / "deploy" / "compose.workers.yaml", ROOT / "docs" / "deploy.md"]
    for path in files:
        for name in re.findall(r"MEETBOT_[A-Z_]+", path.read_text()):
            if name not in known:
                yield f"{path.name}: there is no setting {name}"


if __name__ == "__main__":
    found = [*alerts(), *compose(), *settings()]
    print("\n".join(found))
    sys.exit(bool(found))
