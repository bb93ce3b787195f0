"""Answers against the OpenAPI description that the program gives of itself: what a client may rely on.

Every answer that keepfast.Client receives is held against it, so each test from outside also tests the description. An
answer has the status, the content type and exactly the members that stand there for its route, or it is a problem whose
status is the one of its code."""

import json
import re

PROBLEM = "application/problem+json"
TAILS = {"docs": ("versions", "revert", "diff"), "streams": ("entries", "context")}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Misfit(AssertionError):
    """An answer that is not described."""


def need(condition, what):
    if not condition:
        raise Misfit(what)


KINDS = {"integer": lambda v: isinstance(v, int) and not isinstance(v, bool), "boolean": lambda v: isinstance(v, bool),
         "string": lambda v: isinstance(v, str), "array": lambda v: isinstance(v, list),
         "object": lambda v: isinstance(v, dict), "null": lambda v: v is None}


class Description:
    def __init__(self, text):
        self.whole = json.loads(text)
        self.paths = self.whole["paths"]
        self.schemas = self.whole["components"]["schemas"]
        self.codes = {p["code"]: p for p in self.whole["x-problems"]}

    # ------------------------------------------------------------------------------------- values

    def fits(self, value, schema, where):
        """Raises unless the value has all that is required, nothing that is not described, and the types."""
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"].rsplit("/", 1)[1]]
        if "anyOf" in schema:
            self.fits_one(value, schema["anyOf"], where)
            return
        if "type" not in schema:
            return
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        need(any(KINDS[k](value) for k in kinds), f"{where} is {value!r}, described as {' or '.join(kinds)}")
        if schema.get("format") == "date-time" and value is not None:
            need(TIME.fullmatch(value), f"{where} is {value!r}, described as a time")
        if isinstance(value, list):
            for n, item in enumerate(value):
                self.fits(item, schema.get("items", {}), f"{where}[{n}]")
        if isinstance(value, dict) and "properties" in schema:
            self.members_fit(value, schema, where)

    def fits_one(self, value, schemas, where):
        reasons = []
        for schema in schemas:
            try:
                self.fits(value, schema, where)
                return
            except Misfit as reason:
                reasons.append(str(reason))
        raise Misfit("; ".join(reasons))

    def members_fit(self, value, schema, where):
        for member in schema.get("required", []):
            need(member in value, f"{where} lacks {member}")
        for member, inner in value.items():
            need(member in schema["properties"], f"{where} has {member}, which is not described")
            self.fits(inner, schema["properties"][member], f"{where}.{member}")

    # ------------------------------------------------------------------------------------- routes

    def pattern_of(self, target):
        """The path of the description that a target belongs to, None when there is none."""
        path = target.split("?", 1)[0]
        match = re.fullmatch(r"/v1/[^/]+/(docs|streams)/(.+)", path)
        if match:
            last = match[2].rsplit("/", 1)[-1]
            tail = f"/{last}" if "/" in match[2] and last in TAILS[match[1]] else ""
            return f"/v1/{{space}}/{match[1]}/{{{'name' if match[1] == 'docs' else 'key'}}}{tail}"
        for pattern in self.paths:
            if "{name}" not in pattern and "{key}" not in pattern and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
                return pattern
        return None

    def operation(self, method, target):
        path = self.paths.get(self.pattern_of(target), {})
        return path.get("get" if method == "HEAD" else method.lower())

    # ------------------------------------------------------------------------------------- answers

    def check(self, method, target, status, headers, body):
        """Raises unless the answer is described. Returns "OPERATION STATUS", "OPERATION CODE" for a problem."""
        where = f"{method} {target[:100]}: {status}"
        kind = (headers.get("Content-Type") or "").split(";")[0]
        operation = self.operation(method, target)
        name = operation["operationId"] if operation else "-"
        if kind == PROBLEM:
            return f"{name} {self.problem(status, headers, body, where, method == 'HEAD')}"
        need(operation, f"{where}: no such operation is described, and this is no problem")
        answer = operation["responses"].get(str(status))
        need(answer, f"{where}: this status is not described for {name}")
        for header, said in answer.get("headers", {}).items():
            need(headers.get(header) or not said["required"], f"{where}: no {header}")
        content = answer.get("content")
        if content is None:
            need(not body and not kind, f"{where}: no body is described")
        else:
            need(kind in content, f"{where}: {kind!r}, described is {' or '.join(content)}")
            schema = content[kind].get("schema")
            if schema and method != "HEAD":
                self.fits(json.loads(body), schema, where)
        return f"{name} {status}"

    def problem(self, status, headers, body, where, head):
        if head:
            need(any(p["status"] == status for p in self.codes.values()), f"{where}: no problem has this status")
            return str(status)
        problem = json.loads(body)
        self.fits(problem, {"$ref": "#/components/schemas/Problem"}, where)
        known = self.codes.get(problem["code"])
        need(known, f"{where}: the code {problem['code']} is not described")
        need(problem["status"] == status == known["status"], f"{where}: {problem['code']} has {known['status']}")
        need(problem["retryable"] == known["retryable"], f"{where}: {problem['code']} retryable")
        need(problem["type"] == "urn:keepfast:problem:" + problem["code"], f"{where}: type {problem['type']}")
        need(not known["retryable"] or headers.get("Retry-After"), f"{where}: no Retry-After")
        need(status != 405 or headers.get("Allow"), f"{where}: no Allow")
        need(status != 401 or headers.get("WWW-Authenticate"), f"{where}: no WWW-Authenticate")
        return problem["code"]
