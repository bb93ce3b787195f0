#!/usr/bin/env python3
"""docs/reference.md and the OpenAPI description are what the program's tables say."""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import Server, folder, run  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = os.environ.get("KF_TOP", ".")


@test
def the_reference_is_the_programs():
    with open(os.path.join(TOP, "docs/reference.md"), "rb") as file:
        equal(run("reference").out.decode(), file.read().decode(), "docs/reference.md; `keepfast reference` makes it")


@test
def every_reference_in_the_description_leads_somewhere():
    text = run("reference", "--json").out.decode()
    description = json.loads(text)
    for name in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        check(name in description["components"]["schemas"], f"the schema {name} is there")


def fits(value, schema, schemas, where):
    """Raises unless the value has the members that the schema requires and none it does not name, all the way down."""
    if "anyOf" in schema:
        if value is None:
            return
        schema = schema["anyOf"][0]
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if value is None:
        check("null" in kinds, f"{where} may be null")
    elif "array" in kinds:
        for n, item in enumerate(value):
            fits(item, schema["items"], schemas, f"{where}[{n}]")
    elif "object" in kinds and "properties" in schema:
        unknown, missing = set(value) - set(schema["properties"]), set(schema["required"]) - set(value)
        check(not unknown and not missing, f"members of {where}: unknown {unknown}, missing {missing}")
        for member in value:
            fits(value[member], schema["properties"][member], schemas, f"{where}.{member}")
    elif "integer" in kinds:
        check(isinstance(value, int) and not isinstance(value, bool), f"{where} is an integer")
    elif "boolean" in kinds:
        check(isinstance(value, bool), f"{where} is a boolean")
    elif "string" in kinds:
        check(isinstance(value, str), f"{where} is a string")


@test
def answers_have_the_members_that_are_described():
    top = folder()
    (top / "usb").mkdir(mode=0o700)
    with Server(top / "data") as server:
        c = server.client("shop")
        description = c.get("/openapi.json", raw=True).json()
        schemas = description["components"]["schemas"]
        c.put("/docs/a.json", b"1")
        c.put("/docs/a.json", b"2")
        asked = [("PUT", "", "/v1/{space}", "201", None), ("GET", "/docs", "/v1/{space}/docs", "200", None),
                 ("PUT", "/docs/b.json", "/v1/{space}/docs/{name}", "201", b"1"),
                 ("GET", "/docs/a.json/versions", "/v1/{space}/docs/{name}/versions", "200", None),
                 ("GET", "/status", "/v1/{space}/status", "200", None),
                 ("POST", "/remotes", "/v1/{space}/remotes", "201",
                  {"name": "usb", "url": f"dir:{top}/usb", "on_change": "1s"}),
                 ("GET", "/remotes/usb", "/v1/{space}/remotes/{remote}", "200", None),
                 ("GET", "/remotes/usb/pending", "/v1/{space}/remotes/{remote}/pending", "200", None),
                 ("POST", "/remotes/usb/run", "/v1/{space}/remotes/{remote}/run", "200", None),
                 ("GET", "/remotes/usb/runs", "/v1/{space}/remotes/{remote}/runs", "200", None),
                 ("GET", "/set-aside", "/v1/{space}/set-aside", "200", None),
                 ("GET", "/runs", "/v1/{space}/runs", "200", None),
                 ("POST", "/remotes/usb/probe", "/v1/{space}/remotes/{remote}/probe", "200", None),
                 ("GET", "/remotes", "/v1/{space}/remotes", "200", None),
                 ("GET", "/digest", "/v1/{space}/digest", "200", None),
                 ("POST", "/verify", "/v1/{space}/verify", "200", None)]
        for method, path, pattern, status, body in asked:
            client = server.client("other") if path == "" else c
            answer = client.ask(method, path, body)
            equal(str(answer.status), status, f"{method} {path}: {answer}")
            route = description["paths"][pattern][method.lower()]
            content = route["responses"][status]["content"]["application/json"]
            fits(answer.json(), content["schema"], schemas, f"{method} {path}")
        for path, pattern in (("/v1", "/v1"), ("/healthz", "/healthz"), ("/durablez", "/durablez")):
            answer = c.get(path, raw=True)
            content = description["paths"][pattern]["get"]["responses"]["200"]["content"]["application/json"]
            fits(answer.json(), content["schema"], schemas, path)


main()
