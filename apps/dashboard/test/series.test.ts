import assert from "node:assert/strict";
import { test } from "node:test";
import { fitting } from "../src/lib/actions";
import { count, duration } from "../src/lib/format";
import type { StatMinute, Stats } from "../src/lib/api";
import { alone, countSteps, durationSteps, lately, seriesOf, shownRange, startsOf } from "../src/lib/series";

const at = (minute: number): string => `2026-03-01T12:${String(minute).padStart(2, "0")}:00.000Z`;
const counts = { queued: 4, scheduled: 0, running: 1, completed: 0, failed: 0, canceled: 0 };
const one = (minute: number, more: Partial<StatMinute>): StatMinute => ({ at: at(minute), completed: 0, failed: 0, waitMs: null, runMs: null, counts: null, partial: false, ...more });
const stats: Stats = {
    now: "2026-03-01T12:07:30.000Z",
    since: "2026-03-01T12:03:10.000Z",
    minutes: [one(3, { completed: 10, waitMs: { p50: 1, p95: 2, p99: 3 }, counts }), one(6, { completed: 3, failed: 1, partial: true })],
    starts: [
        { at: at(5), role: "api", version: "2" },
        { at: at(1), role: "worker", version: "1" },
        { at: at(6), role: "worker", version: "2" },
    ],
};

test("minutes in which nothing happened are shown, those of which nothing is known are not", () => {
    const series = seriesOf(stats, 60);
    assert.deepEqual(series.times.map((time) => new Date(time * 1000).getUTCMinutes()), [3, 4, 5, 6, 7]);
    assert.deepEqual(series.completed, [10, 0, 0, 3, 0]);
    assert.deepEqual(series.wait.p95, [2, null, null, null, null]);
    assert.deepEqual(series.depth.queued, [4, null, null, null, null]);
    assert.equal(seriesOf(stats, 2).times.length, 2);
    assert.deepEqual(series.partial, [false, false, false, true, false]);
    // A minute and a half of the last two have passed; of five, what is known of.
    assert.deepEqual(lately(stats, 2), { perMinute: 4 / 1.5, failedShare: 0.25 });
    assert.equal(lately(stats, 5).perMinute, 14 / (4 + 20 / 60));
    assert.equal(lately({ ...stats, since: at(7) }, 5).perMinute, 0);
    assert.equal(lately({ ...stats, minutes: [] }, 5).failedShare, null);
});

test("starts are marked in order, and a new version is a deploy", () => {
    assert.deepEqual(startsOf(stats, Date.parse(at(2)) / 1000).map((mark) => mark.text), ["api 2", "worker deployed, version 2"]);
    // With two versions side by side the old one may start again: that is no deploy, and the new one is one only once.
    const starts = ["1", "2", "1", "2", "3"].map((version, minute) => ({ at: at(minute), role: "worker", version }));
    assert.deepEqual(startsOf({ ...stats, starts }, 0).map((mark) => mark.text), ["worker 1", "worker deployed, version 2", "worker 1", "worker 2", "worker deployed, version 3"]);
});

test("a chart of little data has ten minutes, no value twice at its side, and a point for a value that stands alone", () => {
    assert.deepEqual(shownRange([6000], 9), [5400, 6000]);
    assert.deepEqual(shownRange([1000, 3000, 6000], 9), [1000, 6000]);
    assert.deepEqual(shownRange([], 9000), [8400, 9000]);
    assert.deepEqual(alone([1]), [0]);
    assert.deepEqual(alone([0, null, 5, 6, null, null, 7, undefined]), [0, 6]);
    assert.deepEqual(alone([]), []);
    for (const [steps, format] of [[countSteps, count], [durationSteps, duration]] as const)
        for (const step of steps) {
            const texts = Array.from({ length: 5 }, (_, i) => format(i * step));
            assert.equal(new Set(texts).size, 5, texts.join());
        }
});

test("an action goes to the states that it fits, of those that are wanted", () => {
    assert.equal(fitting("retry", {})?.status, "scheduled,completed,failed,canceled");
    assert.deepEqual(fitting("cancel", { status: "running,failed", tag: "a" }), { status: "running", tag: "a" });
    assert.equal(fitting("delete", { status: "running" }), null);
});
