import assert from "node:assert/strict";
import { test } from "node:test";
import { fitting } from "../src/lib/actions";
import type { Stats, WorkerInfo } from "../src/lib/api";
import { lately, seriesOf, startsOf } from "../src/lib/series";

const none = { p50: null, p95: null, p99: null };
const stats: Stats = {
    stepMs: 30_000,
    points: [
        { at: "2026-03-01T12:00:00.000Z", completed: 10, failed: 0, waitMs: { p50: 1, p95: 2, p99: 3 }, runMs: none, depth: { queued: 4 } },
        { at: "2026-03-01T12:00:30.000Z", completed: 3, failed: 1, waitMs: none, runMs: none, depth: {} },
    ],
};

test("rates are a minute, whatever the step", () => {
    const series = seriesOf(stats);
    assert.deepEqual(series.completed, [20, 6]);
    assert.deepEqual(series.failed, [0, 2]);
    assert.deepEqual(series.wait.p95, [2, null]);
    assert.deepEqual(series.depth.queued, [4, null]);
    assert.deepEqual(lately(stats, 1), { perMinute: 14, failedShare: 1 / 14 });
    assert.deepEqual(lately({ stepMs: 1000, points: [] }, 5), { perMinute: 0, failedShare: null });
});

test("starts within the chart are marked, in order", () => {
    const started = (startedAt: string, pid: number) => ({ startedAt, pid, role: "worker", version: "1" }) as WorkerInfo;
    const marks = startsOf([started("2026-03-01T12:00:20.000Z", 2), started("2026-03-01T12:00:10.000Z", 1), started("2026-03-01T11:00:00.000Z", 0)], seriesOf(stats).times[0] ?? 0);
    assert.deepEqual(marks.map((mark) => mark.text), ["worker 1 (pid 1)", "worker 1 (pid 2)"]);
});

test("an action goes to the states that it fits, of those that are wanted", () => {
    assert.equal(fitting("retry", {})?.status, "scheduled,completed,failed,canceled");
    assert.deepEqual(fitting("cancel", { status: "running,failed", tag: "a" }), { status: "running", tag: "a" });
    assert.equal(fitting("delete", { status: "running" }), null);
});
