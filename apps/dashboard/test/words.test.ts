import assert from "node:assert/strict";
import { test } from "node:test";
import { Activity, heardOf, wordsOfJob } from "../src/lib/activity";
import { eventOf, type Job, type Status } from "../src/lib/api";
import { logByAttempt, pace, timeline } from "../src/lib/timeline";
import { fieldsOf, lowDisks, stateAfter, wordsOf } from "../src/lib/words";

let next = 1;
const at = (seconds: number): string => new Date(Date.UTC(2026, 2, 1, 12, 0, seconds)).toISOString();
const made = (name: string, seconds: number, more: object = {}) =>
    eventOf(JSON.stringify({ id: next++, ts: at(seconds), event: name, level: "info", jobId: "j", ...more }));

test("events are told in words, unknown ones by their name", () => {
    assert.equal(wordsOf(made("worker.job.download.progress", 0, { bytes: 500_000, totalBytes: 1_000_000, percent: 50 })), "Downloading: 50 %, 500 kB of 1.0 MB");
    assert.equal(wordsOf(made("worker.job.retry_scheduled", 0, { attempt: 2, code: "NETWORK", error: "no route" })), "Failed, tries again (attempt 2): NETWORK: no route");
    assert.equal(wordsOf(made("some.new.thing", 0, { message: "hello" })), "some.new.thing: hello");
    assert.equal(stateAfter(made("worker.job.claimed", 0, { status: "running" })), "running");
    assert.equal(stateAfter(made("api.change.done", 0, { status: 201 })), undefined);
    assert.equal(wordsOf(made("worker.job.log", 0, { message: { text: "hello", list: [1, null] } })), '{"text":"hello","list":[1,null]}');
    assert.equal(wordsOf(eventOf('{"id":1,"event":"worker.job.log","message":12345678901234567890}')), "12345678901234567890");
    assert.equal(String(fieldsOf(eventOf('{"id":1,"n":12345678901234567890}'))["n"]), "12345678901234567890");
});

test("log-ins and wrong tokens are told in words", () => {
    assert.equal(wordsOf(made("api.change.done", 0, { caller: "ada", method: "POST", path: "/login" })), "ada logged in");
    assert.equal(wordsOf(made("api.change.done", 0, { caller: "ada", method: "POST", path: "/api/jobs" })), "ada did POST /api/jobs");
    assert.equal(wordsOf(made("api.login.refused", 0, { from: "192.0.2.1", tries: 1 })), "A wrong token from 192.0.2.1");
    assert.equal(wordsOf(made("api.login.refused", 0, { from: "192.0.2.1", tries: 94 })), "A wrong token from 192.0.2.1 and others, 94 tries");
});

test("disks that run full are told once each, those of workers that live", () => {
    const disk = (of: string, freeBytes: number, low: boolean) => ({ of, freeBytes, floorBytes: 256_000_000, low });
    const worker = (host: string, live: boolean, freeBytes: number) => ({ host, live, details: { disks: [disk("downloads", freeBytes, freeBytes < 512_000_000)] } });
    const status = (sessions: object[], disks?: object[]) => ({ sessions, ...(disks ? { disks } : {}) }) as unknown as Status;
    assert.deepEqual(lowDisks(status([worker("a", true, 900_000_000), worker("b", false, 1)], [disk("store", 900_000_000, false)])), []);
    const said = lowDisks(status([worker("a", true, 101_000_000), worker("a", true, 100_000_000), worker("a", true, 102_000_000), worker("b", true, 400_000_000)], [disk("store", 5_000_000, true)]));
    assert.deepEqual(said, [
        "The store's disk has 5.0 MB free; once it is full, no new job is taken.",
        "The disk for downloads on a has 100 MB free; downloads fail until 256 MB are.",
        "The disk for downloads on b has 400 MB free; below 256 MB downloads fail.",
    ]);
    assert.deepEqual(lowDisks(status([])), []);
});

test("active jobs come and go with their events", () => {
    const activity = new Activity();
    const now = Date.parse(at(5));
    activity.take([made("jobs.create.queued", 0, { status: "queued", kind: "a" }), made("api.change.done", 0, { status: 201 })], now);
    assert.deepEqual(activity.shown(now).map((job) => [job.state, job.kind]), [["queued", "a"]]);
    activity.take([made("worker.job.claimed", 1, { status: "running" }), made("worker.job.progress", 2, { percent: 40 })], now);
    assert.deepEqual(activity.shown(now).map((job) => [job.state, job.percent]), [["running", 40]]);
    activity.take([made("worker.job.completed", 3, { status: "completed" })], now);
    assert.equal(activity.shown(now + 1000)[0]?.state, "completed");
    assert.equal(activity.shown(now + 60_000).length, 0);
    activity.take([made("worker.job.claimed", 1, { status: "running" }), made("worker.job.failed", 3, { status: "failed" })], now + 60_000);
    assert.equal(activity.shown(now + 60_000).length, 0);
});

test("a long queue does not hide what runs, nor do jobs that have ended", () => {
    const activity = new Activity();
    const now = Date.parse(at(1));
    const many = (name: string, status: string, prefix: string, n: number) => Array.from({ length: n }, (_, i) => made(name, 1, { status, jobId: `${prefix}${i}` }));
    const running = (): number => activity.shown(now + 60_000).filter((job) => job.state === "running").length;
    activity.take(many("worker.job.completed", "completed", "ended", 2_000), now);
    activity.take(many("jobs.create.queued", "queued", "waits", 2_500), now + 30_000);
    activity.take(many("worker.job.claimed", "running", "runs", 3), now + 30_000);
    assert.equal(running(), 3);
    assert.equal(activity.shown(now + 60_000).length, 2_000);
    activity.take(many("worker.job.claimed", "running", "more", 2_500), now + 30_000);
    assert.equal(running(), 2_000);
});

test("what changes its state goes to the end of its new group, the others stay where they are", () => {
    const activity = new Activity();
    const now = Date.parse(at(1));
    const say = (id: string, status: string) => activity.take([made("worker.job.told", 1, { status, jobId: id })], now);
    for (const id of ["a", "b", "c", "d"]) say(id, "running");
    say("b", "scheduled");
    say("a", "completed");
    say("c", "running");
    assert.deepEqual(activity.shown(now).map((job) => job.id), ["c", "d", "b", "a"]);
    const before = activity.shown(now);
    activity.take([made("worker.job.progress", 1, { percent: 3, jobId: "d" })], now);
    assert.equal(activity.shown(now), before); // Nothing was sorted for it.
    say("b", "running");
    assert.deepEqual(activity.shown(now + 60_000).map((job) => job.id), ["c", "d", "b"]);
    activity.clear();
    assert.equal(activity.shown(now).length, 0);
});

test("a job is told by its last event of a level, also when others came after it", () => {
    const activity = new Activity();
    const now = Date.parse(at(5));
    activity.take([made("worker.job.retry_scheduled", 1, { level: "warn", status: "scheduled", code: "NETWORK" }), made("worker.job.claimed", 2, { status: "running" })], now);
    const [job] = activity.shown(now);
    assert.ok(job);
    const told = (level: string) => wordsOfJob(job, heardOf(job, level));
    assert.deepEqual([told(""), told("warn"), heardOf(job, "error")], ["A worker took it", "Failed, tries again: NETWORK", null]);
    activity.take([made("worker.job.log", 3, { level: "error", line: "no" })], now);
    assert.deepEqual([told("warn"), told("error")], ["no", "no"]);
});

test("a log is told by attempt, also where a line does not say of which", () => {
    const events = [
        made("worker.job.claimed", 1, { attempt: 1 }),
        made("worker.job.log", 1, { attempt: 1, line: "a" }),
        made("worker.job.log", 1, { line: "b" }),
        made("worker.job.claimed", 2, { attempt: 2 }),
        made("worker.job.log", 2, { line: "c" }),
        made("worker.job.log", 2, { attempt: 1, line: "late" }),
    ];
    const attemptOf = (event: (typeof events)[number]) => Number(fieldsOf(event)["attempt"] ?? 0);
    const told = logByAttempt(events, attemptOf).map(({ attempt, lines }) => [attempt, ...lines.map(wordsOf)]);
    assert.deepEqual(told, [[1, "a", "b", "late"], [2, "c"]]);
    assert.deepEqual(logByAttempt(events.slice(2, 3), attemptOf).map((one) => one.attempt), [0]);
});

test("jobs that were active before are there; events know better", () => {
    const activity = new Activity();
    const now = Date.parse(at(5));
    const job = (id: string, status: string) =>
        ({ id, status, kind: "a", url: "http://x", traceId: null, createdAt: at(0), startedAt: at(1), progress: { percent: 40, stage: "reading", message: null } }) as unknown as Job;
    activity.take([made("worker.job.completed", 4, { status: "completed", jobId: "one" })], now);
    activity.seed([job("one", "running"), job("two", "running"), job("three", "queued")]);
    assert.deepEqual(
        activity.shown(now).map((one) => [one.id, one.state, one.kind, one.percent, wordsOfJob(one)]),
        [
            ["two", "running", "a", 40, "reading"],
            ["three", "queued", "a", null, "reading"],
            ["one", "completed", "a", null, "Completed"],
        ],
    );
});

test("a timeline has a line for each claim, and what waits waits", () => {
    const events = [
        made("jobs.create.queued", 0),
        made("worker.job.claimed", 2, { attempt: 1 }),
        made("worker.job.extraction.started", 2),
        made("worker.job.extraction.completed", 5),
        made("worker.job.download.started", 5),
        made("worker.job.retry_scheduled", 9),
    ];
    const job = { createdAt: at(0), status: "scheduled", attempt: 1 } as unknown as Job;
    const lines = timeline(job, events, Date.parse(at(20)), (event) => Number(fieldsOf(event)["attempt"]));
    const told = lines.map((line) => [line.attempt, line.ending, ...line.phases.map((phase) => `${phase.name} ${(phase.to - phase.from) / 1000}${phase.open ? "…" : ""}`)]);
    assert.deepEqual(told, [
        [1, "tries again", "waited 2", "ran 7", "extraction 3", "download 4"],
        [2, "waits", "waited 11…"],
    ]);
});

test("a job made for later waits from when it is due, or from when it is told to run now", () => {
    const waits = (job: object, events: ReturnType<typeof made>[]) =>
        timeline({ createdAt: at(0), startedAt: null, finishedAt: null, attempt: 0, runAt: at(30), status: "queued", ...job } as unknown as Job, events, Date.parse(at(40)), () => 1)
            .flatMap((line) => line.phases.filter((phase) => phase.name === "waited"))
            .map((phase) => (phase.to - phase.from) / 1000);
    const later = made("jobs.create.queued", 0, { runAt: at(30) });
    const ran = { startedAt: at(36), status: "running", attempt: 1 };
    assert.deepEqual(waits(ran, [later, made("jobs.promoted", 31), made("worker.job.claimed", 36)]), [6]);
    assert.deepEqual(waits({ ...ran, runAt: at(5) }, [later, made("jobs.retried", 5), made("worker.job.claimed", 9)]), [4]);
    // Between two attempts, too.
    const again = made("worker.job.retry_scheduled", 12, { runAt: at(20) });
    assert.deepEqual(waits(ran, [made("jobs.create.queued", 0), made("worker.job.claimed", 10), again, made("jobs.promoted", 21), made("worker.job.claimed", 25)]), [10, 5]);
    // Asked for once more meanwhile, it waits no less for it, and what runs does not wait.
    const twice = made("jobs.create.duplicate", 33);
    assert.deepEqual(waits(ran, [later, made("jobs.promoted", 31), twice, made("worker.job.claimed", 36), twice]), [6]);
    assert.deepEqual(waits({}, [later]), [10]);
    assert.deepEqual(waits({}, []), [10]);
    assert.deepEqual(waits({ runAt: at(50), status: "scheduled" }, [made("jobs.create.queued", 0, { runAt: at(50) })]), []);
});

test("a job whose first events are not kept has a line all the same", () => {
    const told = (job: object, events: ReturnType<typeof made>[]) =>
        timeline({ createdAt: at(0), startedAt: at(10), finishedAt: null, attempt: 2, ...job } as unknown as Job, events, Date.parse(at(60)), () => 1).map((line) => [
            line.attempt,
            line.ending,
            ...line.phases.map((phase) => `${phase.name} ${(phase.to - phase.from) / 1000}${phase.open ? "…" : ""}`),
        ]);
    const later = [made("worker.job.download.started", 20), made("worker.job.download.progress", 30)];
    assert.deepEqual(told({ status: "running" }, later), [[2, "", "ran 50…", "download 40…"]]);
    assert.deepEqual(told({ status: "completed", finishedAt: at(40) }, []), [[2, "completed", "ran 30"]]);
    assert.deepEqual(told({ status: "completed", finishedAt: at(40) }, [...later, made("worker.job.completed", 40)]), [[2, "completed", "ran 30", "download 20"]]);
    assert.deepEqual(told({ status: "queued", startedAt: null }, []), [[3, "waits", "waited 60…"]]);
});

test("speed and time left are those of the last ten seconds", () => {
    const points = [
        { at: 0, bytes: 0, total: 10_000 },
        { at: 20_000, bytes: 1_000, total: 10_000 },
        { at: 25_000, bytes: 6_000, total: 10_000 },
    ];
    assert.deepEqual(pace(points), { perSecond: 1000, leftMs: 4000 });
    assert.equal(pace(points.slice(2)), null);
});
