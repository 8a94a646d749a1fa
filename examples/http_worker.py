#!/usr/bin/env python3
"""A worker for jobrt with nothing but Python's standard library (docs/worker-protocol.md): http_worker.py http://127.0.0.1:4000"""
import http.client, json, os, sys, threading, time, urllib.error, urllib.request
API, TOKEN = sys.argv[1], os.environ.get("JOBRT_TOKEN", "")
LOST = (OSError, http.client.HTTPException, ValueError)  # No answer, half of one, or a refusal: urllib's errors are OSErrors.
me = {"kinds": ["demo.greet"], "host": os.uname().nodename, "pid": os.getpid()}
running, beating = {}, threading.Lock()  # Id and fence of a job: the event that asks its handler to stop.

def call(verb, body, until_answered=False):
    headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + TOKEN} if TOKEN else {})}
    request = urllib.request.Request(f"{API}/api/worker/{verb}", json.dumps(body).encode(), headers)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30 if "wait" in body else 5) as answer: return json.load(answer)
        except LOST as error:
            if not until_answered or getattr(error, "code", 500) in (400, 409, 413): raise
        time.sleep(1)
def holder(job): return {"jobId": job["id"], "fence": job["fence"]}
def greet(job, stop):
    wish = job["payload"]
    if job["attempt"] <= wish.get("failTimes", 0):
        return {"outcome": "retry", "code": "NOT_YET", "message": "this attempt was asked to fail", "afterMs": 100}
    call("note", {**holder(job), "progress": {"percent": 50, "stage": "greet"}, "log": ["thinking"]})
    if stop.wait(wish.get("ms", 0) / 1000): return {"outcome": "canceled"}
    return {"outcome": "completed", "result": {"text": "Hello, " + wish.get("name", "you"), "pid": os.getpid()}}

def beat_for_ever(lease, every, last):
    while time.monotonic() - last < lease * 2 / 3:  # Then others may run our jobs: this process has to end.
        time.sleep(every)
        try:
            with beating: sent, answer = time.monotonic(), call("beat", {**me, "running": len(running)})
            for asked in answer["cancels"]: running.get((asked["jobId"], asked["fence"]), threading.Event()).set()
            last = sent
        except LOST as error: print("no beat:", error, file=sys.stderr)
    os._exit(1)

def run(job):
    stop = running[job["id"], job["fence"]] = threading.Event()
    try: json.dumps(end := greet(job, stop))
    except Exception as error: end = {"outcome": "retry", "code": "EXCEPTION", "message": str(error)}
    for said in end, {"outcome": "failed", "code": "SETTLE_REFUSED", "message": "the API did not take how this attempt ended"}:
        try: return print(job["id"], call("settle", {**holder(job), **said}, True)["status"], flush=True)
        except urllib.error.HTTPError as error:
            if error.code not in (400, 413): return print(job["id"], error, flush=True)  # 409: the job is no longer ours.
        finally: running.pop((job["id"], job["fence"]), None)
def begin_anew():  # Jobs of a claim whose answer was lost go back to their queue with this session, without a crash.
    with beating:
        try: call("beat", {**me, "stopped": True}, True)
        except urllib.error.HTTPError: pass  # 409: others have taken what this session had.
        os.execv(sys.executable, [sys.executable, *sys.argv])

begun, first, alone = time.monotonic(), call("beat", me), False
me["session"] = first["session"]
threading.Thread(target=beat_for_ever, args=(first["leaseMs"] / 1000, first["beatMs"] / 1000, begun), daemon=True).start()
while True:
    try: found = call("claim", {"session": me["session"], "kinds": me["kinds"], "alone": alone, "wait": "20s"})
    except LOST as error: print("no claim:", error, file=sys.stderr), time.sleep(1), begin_anew()
    for job in found["jobs"]: run(job)
    alone = found["aloneWaiting"] and not alone
    if not found["jobs"] and not alone: time.sleep(found["askAgainMs"] / 1000)
