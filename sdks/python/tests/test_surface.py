"""The public names and signatures of this package, as `spec/surface/python.txt` lists them."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import meetbot
from meetbot import testing, webhooks

LISTING = Path(__file__).parents[3] / "spec" / "surface" / "python.txt"


def signature(function: Any) -> str:
    """As it is written, without the quotes of annotations and without addresses."""
    return re.sub(r"<(\w+)[^>]*>", r"<\1>", str(inspect.signature(function)).replace("'", ""))


def own(kind: type) -> list[type]:
    """The class with its base classes that are this package's."""
    return [base for base in kind.__mro__ if base is kind or base.__module__.startswith("meetbot")]


def members(kind: type) -> Iterator[str]:
    seen = set[str]()
    for base in own(kind):
        fields = inspect.get_annotations(base)
        for name in [*fields, *vars(base)]:
            value = inspect.getattr_static(base, name, None)
            special = name in ("__init__", "__call__") and getattr(value, "__module__", None) == base.__module__
            if (name.startswith("_") and not special) or name == "model_config" or name in seen:
                continue
            seen.add(name)
            if isinstance(value, (classmethod, staticmethod)):
                value = value.__func__
            if isinstance(value, property):
                returns = inspect.get_annotations(value.fget).get("return") if value.fget else None
                yield f"{name}: {returns}"
            elif inspect.iscoroutinefunction(value):
                yield f"async def {name}{signature(value)}"
            elif inspect.isfunction(value):
                yield f"def {name}{signature(value)}"
            elif name in fields:
                annotation = getattr(fields[name], "__forward_arg__", fields[name])
                yield f"{name}: {annotation}" + ("" if required(kind, name) else " = ...")
            else:
                yield name


def required(kind: Any, name: str) -> bool:
    """Whether the field has to be given, where the class is one of pydantic's."""
    fields = getattr(kind, "model_fields", {})
    return name not in fields or bool(fields[name].is_required())


def alias(value: Any) -> str:
    if get_origin(value) is Literal:
        return f"Literal[{', '.join(map(repr, get_args(value)))}]"
    parts = [part.__name__ if isinstance(part, type) else alias(part) for part in get_args(value)]
    return " | ".join(sorted(parts)) or type(value).__name__


def item(name: str, value: Any) -> list[str]:
    if isinstance(value, type) and issubclass(value, Enum):
        return [f"enum {name}", *sorted(f"  {member.name} = {member.value}" for member in value)]
    if isinstance(value, type):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        return [f"class {name}({bases})", *sorted(f"  {member}" for member in members(value))]
    if inspect.isfunction(value) or inspect.isbuiltin(value):
        return [f"def {name}{signature(value)}"]
    if type(value).__module__.startswith("_pytest"):
        return [f"{name}: fixture of pytest"]
    if isinstance(value, str):
        return [f"{name}: str"]
    return [f"{name} = {alias(value)}"]


def names(module: ModuleType) -> list[str]:
    """The names in the module's `__all__`, or else those defined in it."""
    if "__dir__" in vars(module):
        return dir(module)
    defined = (name for name in dir(module) if getattr(vars(module).get(name), "__module__", None) == module.__name__)
    return vars(module).get("__all__") or [name for name in defined if not name.startswith("_")]


def listing() -> str:
    lines = ["What programs can name of the package meetbot. Made from the code by a test."]
    for module in (meetbot, webhooks, testing):
        for name in sorted(names(module)):
            value = getattr(module, name)
            if not isinstance(value, ModuleType):
                first, *rest = item(name, value)
                lines += ["", f"{module.__name__}: {first}", *rest]
    return "\n".join(lines) + "\n"


def test_no_public_name_changes_by_accident() -> None:
    found = listing()
    if os.environ.get("UPDATE"):
        LISTING.parent.mkdir(exist_ok=True)
        LISTING.write_text(found)
    assert LISTING.read_text() == found, "spec/surface/python.txt is not what the code says: run this test with UPDATE=1"
