"""Judges `deploy/alerts.yaml`, and the settings that the files of `deploy/` name.

An expression that cannot be read, a metric or a failure code that the server does not have, or a setting that it does not know, is printed, and the exit code is 1.
"""

from __future__ import annotations

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


def settings() -> Iterator[str]:
    known = set(re.findall(r"MEETBOT_[A-Z_]+", (ROOT / "crates/orchestrator/src/default.toml").read_text()))
    files = [ROOT / "deploy" / "Dockerfile", ROOT / "deploy" / "compose.yaml", ROOT / "docs" / "deploy.md"]
    for path in files:
        for name in re.findall(r"MEETBOT_[A-Z_]+", path.read_text()):
            if name not in known:
                yield f"{path.name}: there is no setting {name}"


if __name__ == "__main__":
    found = [*alerts(), *settings()]
    print("\n".join(found))
    sys.exit(bool(found))
