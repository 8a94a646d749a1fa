#!/usr/bin/env python3
# Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
"""The API as clients that others wrote see it: requests, sseclient-py, curl and promtool, with tokens and jobs in every state.

What requests is answered is held against /openapi.json by schemathesis. Run by the Python of tools/clients.
"""
import json
import re
import shutil
import signal
import subprocess
import threading
import time

import requests
import schemathesis
import sseclient

from service import Service, Work


class Client:
    """A session of requests whose every answer is what /openapi.json says of that route, which must name the status."""

    def __init__(self, service, url, role):
        self.url = url
        self.session = requests.Session()
        if role:
            self.session.headers.update(service.headers(role))
        document = requests.get(url + "/openapi.json", headers=service.headers("read"), timeout=30).json()
        self.document = document["paths"]
        self.schema = schemathesis.openapi.from_dict(document)

    def ask(self, method, path, body=None, status=200, **more):
        if body is not None:
            more["json"] = body
        answer = self.session.request(method, self.url + path, timeout=30, allow_redirects=False, **more)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        bare = path.split("?")[0]
        pattern = next(known for known in sorted(self.document, key=lambda path: path.count("{"))
                       if re.fullmatch(re.sub(r"\{rest\}", ".+", re.sub(r"\{(?!rest)[^}]*\}", "[^/]+", known)), bare))
        if method != "HEAD":
            assert str(status) in self.document[pattern][method.lower()]["responses"], (method, pattern, status)
            self.schema[pattern][method].validate_response(answer)
        return answer

    def call(self, method, path, body=None):
        """The JSON of an answer that is no refusal."""
        answer = self.session.request(method, self.url + path, json=body, timeout=30)
        assert answer.ok, (method, path, answer.text)
        return answer.json()

    def connections(self):
        pools = self.session.get_adapter(self.url).poolmanager.pools
        return sum(pools[key].num_connections for key in pools.keys())


def try_requests(service, url, jobs):
    reader, admin = Client(service, url, "read"), Client(service, url, "admin")
    for name, id in jobs.items():
        job = reader.ask("GET", f"/api/jobs/{id}").json()["job"]
        assert job["status"] == ("scheduled" if name == "retried" else name), (name, job)
    done = reader.ask("GET", f"/api/jobs/{jobs['completed']}")
    assert done.json()["job"]["result"] == {"text": "Hello, Åsa ☃", "list": [1, 2.5, None, True]}
    # A list: gzip, which requests asks for and unpacks; pages; conditions, whose 304 leaves the connection as it was.
    seen, cursor = [], ""
    while cursor is not None:
        page = reader.ask("GET", f"/api/jobs?limit=3&cursor={cursor}")
        assert page.headers.get("Content-Encoding") == "gzip" or len(seen) + 3 > len(jobs)
        seen += [job["id"] for job in page.json()["jobs"]]
        cursor = page.json()["nextCursor"]
    assert sorted(seen) == sorted(jobs.values()), seen
    for path in "/api/jobs?limit=100", f"/api/jobs/{jobs['failed']}", "/api/jobs/counts", "/":
        tag = reader.ask("GET", path).headers["ETag"]
        assert reader.ask("GET", path, headers={"If-None-Match": tag}, status=304).content == b"", path
    for path in ("/api/health", "/api/worker/health", "/api/workers", "/api/status", "/api/stats", "/api/queues", "/api/telemetry",
                 "/api/session", "/api/capabilities", "/openapi.json", "/metrics"):
        length = reader.ask("HEAD", path, headers={"Accept-Encoding": "identity"}).headers.get("Content-Length")
        assert length is None or int(length) > 0
        reader.ask("GET", path)
    for script in re.findall(r'(?:src|href)="\.?(/assets/[^"]+)"', reader.ask("GET", "/").text.replace('"assets/', '"/assets/')):
        reader.ask("GET", script)
    reader.ask("GET", "/assets/none.js", status=404)
    reader.ask("GET", "/downloads/none.mp4", status=404)
    assert reader.connections() == 1  # Whatever was answered, the connection could be used again.
    # Refusals.
    stranger = Client(service, url, None)
    assert stranger.ask("GET", "/api/jobs", status=401).json()["code"] == "UNAUTHORIZED"
    assert reader.ask("POST", "/api/jobs", {"kind": "demo.greet"}, status=403).json()["code"] == "FORBIDDEN"
    reader.ask("GET", "/api/jobs?colour=red", status=400)
    reader.ask("GET", "/api/jobs/none", status=404)
    assert admin.ask("POST", "/api/jobs", {"kind": "demo.greet", "uniqueKey": "once"}, status=409).json()["code"] == "CONFLICT"
    admin.ask("POST", f"/api/jobs/{jobs['completed']}/cancel", status=409)
    admin.ask("DELETE", f"/api/jobs/{jobs['running']}", status=409)
    admin.ask("POST", "/api/queues/NO%20NAME/pause", status=404)
    # Changes, one with a key that makes its repetition harmless.
    key = {"Idempotency-Key": "only once"}
    first = admin.ask("POST", "/api/jobs", {"kind": "demo.greet"}, status=201, headers=key).json()["job"]["id"]
    again = admin.session.post(url + "/api/jobs", json={"kind": "demo.greet"}, headers=key, timeout=30)
    assert again.json()["job"]["id"] == first, again.text
    admin.ask("POST", "/api/jobs/bulk", {"action": "cancel", "ids": [first]})
    admin.ask("DELETE", f"/api/jobs/{first}")
    admin.ask("POST", f"/api/jobs/{jobs['failed']}/retry", {"fresh": True})
    admin.ask("POST", f"/api/jobs/{jobs['running']}/cancel", status=202)
    admin.ask("PATCH", "/api/capabilities", {"platforms": {"web": True}})
    admin.ask("POST", "/api/queues/media/pause")
    admin.ask("POST", "/api/queues/media/resume")
    # The log-in page's form, and then its cookie alone.
    page = stranger.session.post(url + "/login", data={"token": service.tokens["operate"]}, timeout=30)
    assert page.ok and page.history[0].status_code == 303 and "<div id=" in page.text, page.text
    assert stranger.ask("GET", "/api/session").json()["role"] == "operate"
    wrong = requests.post(url + "/login", json={"token": "jrt_wrong"}, timeout=30)
    assert wrong.status_code == 401 and "Set-Cookie" not in wrong.headers


def try_promtool(service, url):
    if not shutil.which("promtool"):
        print("skipped: promtool is not installed, so /metrics was not checked by it")
        return
    metrics = requests.get(url + "/metrics", headers=service.headers("read"), timeout=30).text
    for needed in ('jobrt_jobs{queue="default",state="completed"', "jobrt_oldest_due_seconds", "jobrt_workers",
                   'jobrt_jobs_enqueued_total{queue="default",kind=', 'jobrt_job_outcomes_total{queue="default",kind=',
                   "jobrt_job_wait_seconds_bucket{", 'le="+Inf"', "jobrt_job_run_seconds_sum{"):
        assert needed in metrics, metrics
    done = subprocess.run(["promtool", "check", "metrics"], input=metrics, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stdout and not done.stderr, done


def try_curl(service, url, jobs):
    header = service.folder / "header"
    header.write_text(f"Authorization: Bearer {service.tokens['admin']}\n")

    def curl(*words, status=0):
        done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--max-time", "30", "-H", f"@{header}", *words], capture_output=True, timeout=60)
        assert done.returncode == status, (words, done)
        return done.stdout.decode()

    said = "%{http_code} %{num_connects} "
    # Three requests on one connection; the body comes in pieces and as one, after an interim answer and without.
    body = service.folder / "body.json"
    body.write_text(json.dumps({"kind": "demo.greet", "queue": "media", "payload": {"text": "x" * 100000}}))
    for more in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"], ["--http1.0"], ["--http2"]):
        send = [*more, "-o", "/dev/null", "-w", said, "-H", "Content-Type: application/json", "--data-binary", f"@{body}", url + "/api/jobs"]
        assert curl(*send).startswith("201 "), more
    ask = ["-o", "/dev/null", "-w", said, url + "/api/jobs"]
    assert curl(*ask, "--next", "-H", f"@{header}", *ask, "--next", "-I", *ask) == "200 1 200 0 401 0 "
    tag = service.folder / "tag"
    one = f"{url}/api/jobs/{jobs['completed']}"
    assert json.loads(curl("--compressed", "--etag-save", str(tag), one))["job"]["status"] == "completed"
    assert curl("--etag-compare", str(tag), "-w", "%{http_code}", one) == "304"
    assert curl("--fail", "-H", "Authorization: Bearer jrt_wrong", one, status=22) == ""
    assert curl("-N", "--max-time", "1", url + "/api/telemetry/stream?limit=3", status=28).count("\nevent: telemetry\n") == 3


class Follower:
    """Reads the stream as sseclient-py has it, from the last id it knows, again after each end."""

    def __init__(self, service, url):
        self.service, self.url = service, url
        self.ids, self.ends, self.opened = [], [], 0
        self.problem = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.enough = threading.Event()
        self.thread.start()

    def run(self):
        try:
            while not self.enough.is_set():
                self.read()
        except Exception as problem:  # Told by the main thread.
            self.problem = problem

    def read(self):
        headers = {**self.service.headers("read"), "Accept": "text/event-stream"}
        if self.ids:
            headers["Last-Event-ID"] = str(self.ids[-1])
        try:
            answer = requests.get(self.url + "/api/telemetry/stream", params={"limit": 1}, headers=headers, stream=True, timeout=30)
            assert answer.status_code == 200, answer.text
            self.opened += 1
            # As docs/api.md has it: iterating over the answer itself would keep what comes until it is 128 bytes.
            for event in sseclient.SSEClient(answer.iter_content(1)).events():
                if event.event == "telemetry":
                    assert json.loads(event.data)["id"] == int(event.id)
                    self.ids.append(int(event.id))
                elif event.event != "heartbeat":
                    self.ends.append(event.event)
                if self.enough.is_set():
                    return
        except requests.RequestException:  # It is being restarted, or was killed.
            time.sleep(0.05)

    def wait_for(self, what):
        limit = time.monotonic() + 60
        while not what():
            assert self.problem is None, self.problem
            assert time.monotonic() < limit, (len(self.ids), self.ends, self.opened)
            time.sleep(0.02)


def try_stream(service, url):
    """While another API on the same store takes jobs all the time, the follower's own is stopped once and killed once."""
    other = service.start()
    writer = Client(service, other, "admin")
    follower = Follower(service, url)
    follower.wait_for(lambda: follower.opened > 0 and follower.ids)
    written = threading.Event()

    def write():
        while not written.is_set():
            writer.call("POST", "/api/jobs", {"kind": "demo.greet", "queue": "stream"})

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    port = int(url.rsplit(":", 1)[1])
    for number in signal.SIGTERM, signal.SIGKILL:
        before = len(follower.ids)
        follower.wait_for(lambda: len(follower.ids) > before + 20)
        opened = follower.opened
        status = service.end(url, number)
        assert status == (0 if number == signal.SIGTERM else -signal.SIGKILL), status
        assert service.start(port) == url
        follower.wait_for(lambda: follower.opened > opened)
    before = len(follower.ids)
    follower.wait_for(lambda: len(follower.ids) > before + 20)
    written.set()
    thread.join(60)
    assert not thread.is_alive()
    last = writer.call("GET", "/api/telemetry?limit=1")["events"][-1]["id"]
    follower.wait_for(lambda: follower.ids[-1] >= last)
    follower.enough.set()
    assert follower.ends == ["shutdown"], follower.ends
    kept, after = [], follower.ids[0]
    while page := writer.call("GET", f"/api/telemetry?limit=2000&after={after}")["events"]:
        kept += [event["id"] for event in page]
        after = kept[-1]
    assert follower.ids[1:] == kept, (len(follower.ids), len(kept), set(kept) ^ set(follower.ids[1:]))
    print(f"counts: {len(kept)} events by sseclient-py over a stop and a kill of the API, none missed, none twice")


def main():
    with Service() as service:
        url = service.start()
        # What /metrics counts begins with the first look at the events.
        assert requests.get(url + "/metrics", headers=service.headers("read"), timeout=30).ok
        jobs = Work(Client(service, url, "admin").call).in_every_state()
        try_promtool(service, url)
        try_requests(service, url, jobs)
        try_curl(service, url, jobs)
        try_stream(service, url)


main()
