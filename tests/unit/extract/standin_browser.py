#!/usr/bin/env python3
# Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
"""Stands in for Chromium where a browser must misbehave: speaks its protocol on the pipes 3 and 4.

It knows its way past the address guard, opens targets, and shows pages with one video. What the page's address has in
it says what stays without an answer: "deaf" the navigation, "hung" each look, "stuck" each look but the first one;
"wall" answers with 401. --mute=METHOD leaves METHOD without an answer wherever the target is not one of the browser's
own start.
"""
import base64
import json
import os
import socket
import sys

proxy = next(a for a in sys.argv if a.startswith("--proxy-server=")).split("=", 1)[1]
mute = [a.split("=", 1)[1] for a in sys.argv if a.startswith("--mute=")]
out = os.fdopen(4, "wb", buffering=0)
pages = {}  # By session: the address, and how often it was looked at.
visit = {}  # The guard's check: its navigation, and where it goes.
made = 0
started = False


def tell(message):
    out.write(json.dumps(message).encode() + b"\0")


def event(session, method, **params):
    tell({"method": method, "sessionId": session, "params": params})


def pass_guard(user, password):
    host, port = proxy.removeprefix("http://").rsplit(":", 1)
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    with socket.create_connection((host, int(port))) as guard:
        guard.sendall(f"GET {visit['url']} HTTP/1.1\r\nHost: {visit['url'].split('/')[2]}\r\n"
                      f"Proxy-Authorization: Basic {word}\r\n\r\n".encode())
        guard.recv(1024)


def show(session, url):
    frame = session.removeprefix("S-")
    pages[session] = [url, 0]

    def fetch(name, address, kind, status, mime):
        event(session, "Network.requestWillBeSent", requestId=name, loaderId="L", type=kind, frameId=frame,
              request={"url": address, "headers": {}})
        event(session, "Network.responseReceived", requestId=name, type=kind, frameId=frame,
              response={"url": address, "status": status, "mimeType": mime, "headers": {}})

    fetch("L", url, "Document", 401 if "wall" in url else 200, "text/html")
    event(session, "Page.frameNavigated", frame={"id": frame, "url": url})
    fetch("V", url + "/clip.mp4", "Media", 200, "video/mp4")
    event(session, "Page.domContentEventFired")
    event(session, "Page.loadEventFired")


def answer(request):
    """What the request is answered with; None for nothing, now or ever."""
    global made, started
    method, params, session = request["method"], request.get("params", {}), request.get("sessionId", "")
    if method in mute and started:
        return None
    if method == "Browser.getVersion":
        return {"userAgent": "stand-in"}
    if method == "Target.createTarget":
        made += 1
        return {"targetId": f"T{made}"}
    if method == "Target.attachToTarget":
        return {"sessionId": "S-" + params["targetId"]}
    if method == "Target.closeTarget":
        event("", "Target.detachedFromTarget", sessionId="S-" + params["targetId"])
    if method == "Fetch.continueWithAuth":
        words = params["authChallengeResponse"]
        pass_guard(words["username"], words["password"])
        started = True
        tell({"id": visit["id"], "sessionId": session, "result": {}})
    if method == "Page.navigate":
        if not started:
            visit.update(id=request["id"], url=params["url"])
            event(session, "Fetch.authRequired", requestId="check", authChallenge={"origin": proxy})
            return None
        if "deaf" in params["url"]:
            return None
        show(session, params["url"])
    if method == "Page.createIsolatedWorld":
        page = pages[session]
        page[1] += 1
        if "hung" in page[0] or ("stuck" in page[0] and page[1] > 1):
            return None
        return {"executionContextId": 1}
    if method == "Runtime.evaluate":
        return {"result": {"value": json.dumps({"url": pages[session][0], "title": "a page", "text": "words"})}}
    return {}


rest = b""
while chunk := os.read(3, 65536):
    *frames, rest = (rest + chunk).split(b"\0")
    for frame in frames:
        request = json.loads(frame)
        result = answer(request)
        if result is not None:
            tell({"id": request["id"], "sessionId": request.get("sessionId", ""), "result": result})
        if request["method"] == "Browser.close":
            sys.exit(0)
