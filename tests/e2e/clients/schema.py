#!/usr/bin/env python3
# Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
"""schemathesis makes up requests from /openapi.json, good and bad ones, and holds the answers against it, with a token of each role.

What is left out, and why, is in schemathesis.toml beside this. Run by the Python of tools/clients.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

from service import Service, Work


def asking(service, url, role="admin"):
    """A client without any package: the answers' JSON."""
    def call(method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        headers = {**service.headers(role), **({"Content-Type": "application/json"} if data else {})}
        with urllib.request.urlopen(urllib.request.Request(url + path, data, headers, method=method), timeout=30) as answer:
            return json.load(answer)
    return call


def strict_document(service, url):
    """The document without `default`, so that a status which it does not name is a breach."""
    document = asking(service, url, "read")("GET", "/openapi.json")
    for operations in document["paths"].values():
        for operation in operations.values():
            del operation["responses"]["default"]
    path = service.folder / "openapi.json"
    path.write_text(json.dumps(document))
    return path


def main():
    # Everything may be refused for want of rights, so that the lesser roles need fewer words.
    phases = {"read": "coverage", "operate": "coverage", "admin": "coverage,fuzzing,stateful"}
    for role, wanted in phases.items():
        with Service() as service:
            url = service.start()
            jobs = Work(asking(service, url)).in_every_state()
            words = [pathlib.Path(sys.executable).parent / "schemathesis", "--config-file", pathlib.Path(__file__).parent / "schemathesis.toml",
                     "run", strict_document(service, url), "--url", url, "-H", f"Authorization: Bearer {service.tokens[role]}",
                     "--phases", wanted, *sys.argv[1:]]
            done = subprocess.run(words, cwd=service.folder, env={**os.environ, "NO_COLOR": "1", "COLUMNS": "160", "JOB": jobs["completed"]},
                                  text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150)
            if done.returncode != 0:
                sys.exit(done.stdout + (service.folder / "log").read_text()[-4000:])
            cases = re.search(r"(\d+) generated.*", done.stdout)
            print(f"counts: {cases[0] if cases else 'no'} requests by schemathesis with the role {role}, no breach")
            assert cases and int(cases[1]) > 300, done.stdout
            assert service.end(url) == 0


main()
