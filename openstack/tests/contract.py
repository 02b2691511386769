"""docs/openapi.json, and whether what travels is as it says."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import jsonschema

from volward_openstack.client import Client

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs/openapi.json").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]


class Recorded(Client):
    """A client, each of whose exchanges is held against the document."""

    seen: set[tuple[str, str, int]]

    def __init__(self, path: str, patience: float) -> None:
        super().__init__(path, patience)
        self.seen = set()

    def _exchange(
        self, method: str, target: str, request: Mapping[str, Any] | None, patience: float
    ) -> tuple[int, bytes]:
        status, text = super()._exchange(method, target, request, patience)
        path, described = described_call(method, target)
        if request is not None:
            # As it travels: pairs are lists.
            sent = json.loads(json.dumps(request))
            validate(sent, described["requestBody"]["content"]["application/json"]["schema"])
        answer = described["responses"][str(status)]["content"]["application/json"]["schema"]
        validate(json.loads(text), answer)
        self.seen.add((method, path, status))
        return status, text


def described_call(method: str, target: str) -> tuple[str, dict[str, Any]]:
    """The path of the document that a target is, and what it says of the call."""
    path, _, query = target.partition("?")
    (template,) = [one for one in DOCUMENT["paths"] if _is_like(one, path)]
    described: dict[str, Any] = DOCUMENT["paths"][template][method.lower()]
    known = {one["name"] for one in described.get("parameters", []) if one["in"] == "query"}
    asked = {name for name, _ in parse_qsl(query, strict_parsing=bool(query))}
    assert asked <= known, f"{target} asks for {sorted(asked - known)}"
    return template, described


def _is_like(template: str, path: str) -> bool:
    if template in DOCUMENT["paths"] and path in DOCUMENT["paths"]:
        return template == path
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) is not None


def validate(value: Any, schema: dict[str, Any]) -> None:
    """Raises jsonschema.ValidationError where the value is not of the schema."""
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def disagreements(shape: Any, schema: dict[str, Any], is_sent: bool, where: str = "") -> list[str]:
    """What a type and a schema do not have in common.

    Of what is sent, every value of the type must be of the schema. Of what is read, every value of the
    schema must be of the type, but for words: the type has text for them.
    """
    schema = _resolved(schema)
    origin = get_origin(shape)
    if origin is NotRequired:
        return disagreements(get_args(shape)[0], schema, is_sent, where)
    if origin in (Union, UnionType, Literal) or shape in (str, int, bool, NoneType):
        return _words(shape, schema, is_sent, where)
    if origin is list:
        if schema.get("type") != "array":
            return [f"{where} is no list"]
        return disagreements(get_args(shape)[0], schema["items"], is_sent, f"{where}[]")
    if origin is tuple:
        items = schema.get("prefixItems", [])
        if schema.get("type") != "array" or len(items) != len(get_args(shape)):
            return [f"{where} is no such tuple"]
        pairs = zip(get_args(shape), items, strict=True)
        return [found for of, item in pairs for found in disagreements(of, item, is_sent, f"{where}[]")]
    return _members(shape, schema, is_sent, where)


def _members(shape: Any, schema: dict[str, Any], is_sent: bool, where: str) -> list[str]:
    found = []
    properties, required = schema["properties"], set(schema.get("required", []))
    for name, of in get_type_hints(shape, include_extras=True).items():
        if name not in properties:
            found.append(f"{where}.{name} is not in the document")
            continue
        found += disagreements(of, properties[name], is_sent, f"{where}.{name}")
    ours = set(shape.__required_keys__)
    for name in required - ours if is_sent else ours - required:
        found.append(f"{where}.{name} may be left out by {'us' if is_sent else 'the daemon'}")
    return found


def _words(shape: Any, schema: dict[str, Any], is_sent: bool, where: str) -> list[str]:
    ours, theirs = _of_type(shape), _of_schema(schema)
    if not is_sent and "str" in ours:
        theirs = {"str" if kind.startswith("'") else kind for kind in theirs}
    if is_sent and "str" in theirs:
        ours = {"str" if kind.startswith("'") else kind for kind in ours}
    narrower, wider = (ours, theirs) if is_sent else (theirs, ours)
    return [f"{where} may be {kind}" for kind in sorted(narrower - wider)]


def _of_type(shape: Any) -> set[str]:
    if get_origin(shape) in (Union, UnionType):
        return set().union(*(_of_type(one) for one in get_args(shape)))
    if get_origin(shape) is Literal:
        return {f"'{word}'" for word in get_args(shape)}
    if hasattr(shape, "__required_keys__"):
        return {f"object of {sorted(get_type_hints(shape))}"}
    return {"null" if shape is NoneType else shape.__name__}


def _of_schema(schema: dict[str, Any]) -> set[str]:
    schema = _resolved(schema)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return set().union(*(_of_schema(one) for one in schema[key]))
    if "enum" in schema or "const" in schema:
        words: list[str] = schema.get("enum") or [schema["const"]]
        return {f"'{word}'" for word in words}
    kinds: list[str] = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    names = {"string": "str", "integer": "int", "boolean": "bool"}
    if kinds == ["object"]:
        return {f"object of {sorted(schema['properties'])}"}
    return {names.get(kind, kind) for kind in kinds}


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    name = re.fullmatch(r"#/components/schemas/(\w+)", reference)
    assert name is not None, reference
    return _resolved(SCHEMAS[name[1]])
