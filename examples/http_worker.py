#!/usr/bin/env python3
"""A worker for jobrt with nothing but Python's standard library (docs/worker-protocol.md): http_worker.py http://127.0.0.1:4000"""
import json, os, sys, threading, time, urllib.error, urllib.request
API, TOKEN = sys.argv[1], os.environ.get("JOBRT_TOKEN", "")
me = {"kinds": ["demo.greet"], "host": os.uname().nodename, "pid": os.getpid()}
running = {}  # Id and fence of a job: the event that asks its handler to stop.

def call(verb, body):
    headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + TOKEN} if TOKEN else {})}
    request = urllib.request.Request(f"{API}/api/worker/{verb}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)

def greet(job, stop):
    wish = job["payload"]
    if job["attempt"] <= wish.get("failTimes", 0):
        return {"outcome": "retry", "code": "NOT_YET", "message": "this attempt was asked to fail", "afterMs": 100}
    call("note", {**holder(job), "progress": {"percent": 50, "stage": "greet"}, "log": ["thinking"]})
    if stop.wait(wish.get("ms", 0) / 1000):
        return {"outcome": "canceled"}
    return {"outcome": "completed", "result": {"text": "Hello, " + wish.get("name", "you"), "pid": os.getpid()}}

def holder(job):
    return {"jobId": job["id"], "fence": job["fence"]}

def beat_for_ever(lease, every, last):
    while time.monotonic() - last < lease * 2 / 3:  # Then others may run our jobs: this process has to end.
        time.sleep(every)
        try:
            sent = time.monotonic()
            for asked in call("beat", {**me, "running": len(running)})["cancels"]:
                running.get((asked["jobId"], asked["fence"]), threading.Event()).set()
            last = sent
        except OSError as error:  # urllib's errors are such, too.
            print("no beat:", error, file=sys.stderr)
    os._exit(1)

def run(job):
    stop = running[job["id"], job["fence"]] = threading.Event()
    try:
        end = greet(job, stop)
    except Exception as error:
        end = {"outcome": "retry", "code": "EXCEPTION", "message": str(error)}
    while True:
        try:
            return print(job["id"], call("settle", {**holder(job), **end})["status"], flush=True)
        except urllib.error.HTTPError as error:
            if error.code < 500: return print(job["id"], json.load(error)["code"], flush=True)
        except OSError: time.sleep(1)
        finally: running.pop((job["id"], job["fence"]), None)

begun, first = time.monotonic(), call("beat", me)
me["session"] = first["session"]
threading.Thread(target=beat_for_ever, args=(first["leaseMs"] / 1000, first["beatMs"] / 1000, begun), daemon=True).start()
alone = False
while True:
    found = call("claim", {"session": me["session"], "kinds": me["kinds"], "alone": alone})
    for job in found["jobs"]: run(job)
    alone = found["aloneWaiting"] and not alone
    if not found["jobs"] and not alone: time.sleep(found["askAgainMs"] / 1000)
