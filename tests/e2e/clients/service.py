# Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
"""An API of jobrt in a folder of its own, with a token of each role, and jobs in every state."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile


class Service:
    """Processes of `ROLE=api` on one store; all end and the folder goes with the `with` block."""

    def __init__(self):
        self.holder = tempfile.TemporaryDirectory(prefix="jobrt-clients.")
        self.folder = pathlib.Path(self.holder.name)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "ROLE": "api", "JOBRT_LEASE_MS": "60000",
                            "JOBRT_STORE": f"sqlite:{self.folder}/jobs.db", "JOBRT_DOWNLOAD_DIR": f"{self.folder}/downloads",
                            "JOBRT_TOKEN_FILE": f"{self.folder}/tokens", "PORT": "0"}
        self.processes = {}
        self.tokens = {role: self.make_token(role) for role in ("read", "operate", "admin")}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.holder.cleanup()

    def make_token(self, role):
        done = subprocess.run([os.environ["JOBRT_PROGRAM"], "token", "create", role, "--role", role], env=self.environment,
                              cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True, timeout=60)
        return done.stdout.strip()

    def start(self, port=0):
        """One more API; its address. `port` 0 is a free one."""
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen([os.environ["JOBRT_PROGRAM"]], env={**self.environment, "PORT": str(port)}, cwd=self.folder,
                                       stdout=subprocess.PIPE, stderr=log)
        line = process.stdout.readline()
        assert line, (self.folder / "log").read_text()
        url = next(url for url in json.loads(line)["http"] if "127.0.0.1" in url)
        self.processes[url] = process
        return url

    def end(self, url, number=signal.SIGTERM):
        """Ends that API; its exit status."""
        process = self.processes.pop(url)
        process.send_signal(number)
        return process.wait(60)

    def headers(self, role="admin"):
        return {"Authorization": f"Bearer {self.tokens[role]}"}


class Work:
    """What a worker by HTTP does; `call(method, path, body)` is the caller's client, whose answer is JSON."""

    def __init__(self, call):
        self.call = call
        self.session = call("POST", "/api/worker/beat", {"kinds": ["demo.greet"], "host": "box", "pid": 7})["session"]

    def submit(self, **more):
        return self.call("POST", "/api/jobs", {"kind": "demo.greet", "payload": {"name": "Åsa ☃"}, **more})["job"]["id"]

    def claim(self):
        claimed = self.call("POST", "/api/worker/claim", {"session": self.session, "kinds": ["demo.greet"]})["jobs"][0]
        return {"jobId": claimed["id"], "fence": claimed["fence"]}

    def settle(self, holder, outcome, **more):
        return self.call("POST", "/api/worker/settle", {**holder, "outcome": outcome, **more})

    def in_every_state(self):
        """Makes jobs, and says which is in which state."""
        jobs = {}
        for state, outcome, more in (("completed", "completed", {"result": {"text": "Hello, Åsa ☃", "list": [1, 2.5, None, True]}}),
                                     ("failed", "failed", {"code": "NO_SUCH_NAME", "message": "nobody is called so"}),
                                     ("retried", "retry", {"code": "NOT_YET", "message": "later", "afterMs": 3600000})):
            jobs[state] = self.submit(tags=["one", state])
            self.settle(self.claim(), outcome, **more)
        jobs["running"] = self.submit()
        holder = self.claim()
        self.call("POST", "/api/worker/note", {**holder, "progress": {"percent": 12.5, "stage": "greeting", "message": "half"},
                                               "log": ["begun"], "step": {"name": "begin", "value": {"at": 1}}})
        jobs["canceled"] = self.submit()
        self.call("POST", f"/api/jobs/{jobs['canceled']}/cancel", None)
        jobs["scheduled"] = self.submit(delayMs=3600000, priority=-3, uniqueKey="once", maxAttempts=2)
        jobs["queued"] = self.submit(queue="media")
        return jobs
