import assert from "node:assert/strict";
import { test } from "node:test";
import { spansOf } from "../src/lib/timeline";

const at = (second: number): string => new Date(second * 1000).toISOString();

test("a job that waits again waits since it was due again, and does not run", () => {
    const job = { createdAt: at(100), runAt: at(100), startedAt: at(103), finishedAt: at(110) };
    assert.deepEqual(spansOf({ ...job, status: "failed" }, 500_000), { waited: 3_000, ran: 7_000 });
    assert.deepEqual(spansOf({ ...job, status: "running", finishedAt: null }, 104_000), { waited: 3_000, ran: 1_000 });
    assert.deepEqual(spansOf({ ...job, status: "queued", runAt: at(400), finishedAt: null }, 500_000), { waited: 100_000, ran: null });
    assert.deepEqual(spansOf({ ...job, status: "scheduled", runAt: at(900), finishedAt: null }, 500_000), { waited: null, ran: null });
    assert.deepEqual(spansOf({ ...job, status: "canceled", startedAt: null }, 500_000), { waited: null, ran: null });
});
