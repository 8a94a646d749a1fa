#!/usr/bin/env python3
# Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
"""What examples/http_worker.py does with the answers that it seldom gets, said by an API that this program plays."""
import http.server, json, queue, subprocess, sys, threading

told = queue.Queue()  # Verb and body of each call but the plain beats.
answers = {}  # Of a verb, in order: a status with a body, or None for an answer that breaks off.
usual = {"beat": (200, {"session": "s", "leaseMs": 60000, "beatMs": 50, "cancels": []}),
         "claim": (200, {"jobs": [], "aloneWaiting": False, "askAgainMs": 50}),
         "note": (200, {"ok": True}), "settle": (200, {"status": "completed"})}
job = {"id": "j1", "fence": "7", "attempt": 1, "payload": {}}


class Api(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        verb = self.path.rsplit("/", 1)[1]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        plain_beat = verb == "beat" and "session" in body and "stopped" not in body
        if not plain_beat: told.put((verb, body))
        script = answers.get("plain beat" if plain_beat else verb)
        answer = script.pop(0) if script else usual[verb]
        text = json.dumps(answer[1]).encode() if answer and answer[1] else b"<html>"
        self.send_response(answer[0] if answer else 200)
        self.send_header("Content-Length", str(len(text) + (0 if answer else 100)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_): pass


def expect(verb, wanted=lambda body: True):
    """The next call of that verb, which has to be as wanted; other verbs are passed over."""
    while True:
        said, body = told.get(timeout=60)
        if said != verb: continue
        assert wanted(body), (verb, body)
        return body


def claimed(settles):
    """Gives the job out and answers its settlement so."""
    answers["settle"] = list(settles)
    answers["claim"] = [(200, {**usual["claim"][1], "jobs": [job]})]


def ended(outcome): return lambda body: body["outcome"] == outcome and body["jobId"] == "j1"


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
worker = subprocess.Popen([sys.executable, sys.argv[1], f"http://127.0.0.1:{server.server_port}"], stderr=subprocess.PIPE)
try:
    expect("beat", lambda body: "session" not in body)
    # Beats whose answers are broken, no JSON, or refused do not end what beats.
    answers["plain beat"] = [None, (200, None), (503, {"code": "X"})]
    # What may pass is tried again, as it was.
    claimed([(503, {"code": "X"}), (429, {"code": "X"}), (401, {"code": "X"}), None])
    for _ in range(5): expect("settle", ended("completed"))
    # No longer ours: said once.
    claimed([(409, {"code": "FENCE_LOST"})])
    expect("settle", ended("completed"))
    # Refused for what it is: the attempt ends all the same, and says why.
    for status in 400, 413:
        claimed([(status, {"code": "X"})])
        expect("settle", ended("completed"))
        assert expect("settle", ended("failed"))["code"] == "SETTLE_REFUSED"
    # The answer to a claim is lost: the session stops, also when that has to be said twice, and a new one begins.
    while not told.empty(): told.get()
    answers["claim"], answers["beat"] = [None], [(503, {"code": "X"})]
    for _ in range(2): expect("beat", lambda body: body.get("stopped") is True and body["session"] == "s")
    expect("beat", lambda body: "session" not in body)
    expect("claim")
    assert worker.poll() is None
    assert "plain beat" not in answers or not answers["plain beat"]
finally:
    worker.kill()
    print(worker.communicate()[1].decode(), file=sys.stderr)
