import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogEvent } from "../src/lib/api";
import { askFor, Older } from "../src/lib/older";

interface Stored {
    id: number;
    level?: string;
    traceId?: string;
    jobId?: string;
    size?: number;
}

/** An API with these events; `asked` is what it was asked for. */
function serve(stored: readonly Stored[], { prunedThrough = 0, jobsLookedAt = Infinity } = {}): { asked: URLSearchParams[] } {
    const asked: URLSearchParams[] = [];
    const kept = stored.filter((event) => event.id > prunedThrough);
    (globalThis as unknown as { fetch: (address: string) => Promise<Response> }).fetch = (address) => {
        const query = new URLSearchParams(address.split("?")[1]);
        asked.push(query);
        const limit = Number(query.get("limit"));
        const after = query.has("after") ? Number(query.get("after")) : null;
        let found = kept.filter((event) => ["level", "traceId", "jobId"].every((name) => !query.has(name) || event[name as "level"] === query.get(name)));
        if (after === null && query.has("traceId")) {
            const jobs = new Set([...new Set(found.map((event) => event.jobId))].slice(-jobsLookedAt));
            found = found.filter((event) => jobs.has(event.jobId));
        }
        const newest = stored[stored.length - 1]?.id ?? 0;
        const mine = after === null ? found.slice(-limit) : found.filter((event) => event.id > after).slice(0, limit);
        // As the API, a page ends after 4 MiB.
        const page: Stored[] = [];
        for (let bytes = 0; page.length < mine.length && bytes < 4 << 20; bytes += page[page.length - 1]?.size ?? 100) page.push((after === null ? mine[mine.length - 1 - page.length] : mine[page.length]) as Stored);
        const events = (after === null ? page.reverse() : page).map(({ size, ...event }) => ({ level: "info", event: "a", ...event, ...(size ? { text: "x".repeat(size) } : {}) }));
        const last = events[events.length - 1]?.id ?? 0;
        const next = after !== null && (events.length === limit || page.length < mine.length) ? last : newest;
        const truncated = after !== null && after < prunedThrough ? { truncated: true, oldestId: kept[0]?.id ?? 0 } : {};
        return Promise.resolve(new Response(JSON.stringify({ ok: true, count: events.length, events, next, ...truncated })));
    };
    return { asked };
}

const all = { job: "", trace: "", level: "" };
const ids = (events: readonly LogEvent[]): number[] => events.map((event) => event.id);
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test("what few events have is found in one question, however far back", async () => {
    const { asked } = serve(range(1, 50_000).map((id) => ({ id, level: id === 7 ? "error" : "info" })));
    const older = new Older(askFor({ ...all, level: "error" }));
    await older.more(500);
    assert.deepEqual([ids(older.events), older.done, older.through, asked.length], [[7], true, 50_000, 1]);
});

test("warnings are those and errors, in their order, and none is left out between them", async () => {
    const stored = range(1, 20_000).map((id) => ({ id, level: id % 2 ? "warn" : id % 10 ? "info" : "error" }));
    serve(stored);
    const older = new Older(askFor({ ...all, level: "warn" }));
    const wanted = stored.filter((event) => event.level !== "info").map((event) => event.id);
    await older.more(500);
    assert.deepEqual(ids(older.events), wanted.slice(-older.events.length));
    while (!older.done) await older.more(3_000);
    assert.deepEqual(ids(older.events), wanted);
});

test("it goes on to the beginning, with gaps of any width between ids, and asks for little in vain", async () => {
    const epoch = 2 ** 32;
    const stored = [...range(epoch + 1, epoch + 8_000), ...range(2 * epoch, 2 * epoch + 50), ...range(5 * epoch, 5 * epoch + 5_000)].map((id) => ({ id, jobId: "j" }));
    const { asked } = serve(stored);
    const older = new Older(askFor({ ...all, job: "j" }));
    for (let n = 2_000; !older.done; n += 2_000) {
        const before = older.events.length;
        await older.more(2_000);
        assert.deepEqual(ids(older.events), stored.map((event) => event.id).slice(-older.events.length));
        assert.ok(older.done || older.events.length >= before + 2_000);
    }
    assert.equal(older.events.length, stored.length);
    assert.ok(asked.length < 100, `${asked.length} questions`);
});

test("without a filter it goes on before what the page has, to the oldest that is kept", async () => {
    serve(range(1, 9_000).map((id) => ({ id })), { prunedThrough: 1_200 });
    const older = new Older(askFor(all), 7_000);
    await older.more(1_000);
    assert.deepEqual(ids(older.events), range(5_000, 6_999));
    await older.more(100_000);
    assert.deepEqual([ids(older.events), older.done], [range(1_201, 6_999), true]);
});

test("an answer that was cut as it grew too large is not taken for the beginning", async () => {
    const stored = range(1, 300).map((id) => ({ id, jobId: "j", size: 60_000 }));
    serve(stored);
    const older = new Older(askFor({ ...all, job: "j" }));
    await older.more(1);
    assert.ok(older.events.length < 100 && !older.done);
    await older.more(1_000);
    assert.deepEqual([ids(older.events), older.done], [range(1, 300), true]);
});

test("of a large trace the jobs that were not looked at come in between", async () => {
    // The oldest job has the newest but one event.
    const stored = range(1, 4_000).map((id) => ({ id, traceId: "t", jobId: id === 3_999 ? "1" : String(id), level: id % 100 ? "info" : "error" }));
    const { asked } = serve(stored, { jobsLookedAt: 2_000 });
    const older = new Older(askFor({ ...all, trace: "t" }));
    await older.more(1);
    assert.ok(!ids(older.events).includes(3_999));
    await older.more(10_000);
    assert.deepEqual([ids(older.events), older.done], [range(1, 4_000), true]);
    asked.length = 0;
    const errors = new Older(askFor({ ...all, trace: "t", level: "error" }));
    await errors.more(500);
    assert.deepEqual([errors.events.length, errors.done, asked.length], [40, true, 2]);
});

test("a question that fails is asked again, and nothing is lost", async () => {
    serve([{ id: 1 }, { id: 2 }]);
    const good = askFor(all);
    let fails = true;
    const older = new Older((after) => (fails ? Promise.reject(new Error("away")) : good(after)));
    assert.ok((await older.more(1).catch((error: unknown) => error)) instanceof Error);
    assert.deepEqual([older.through, older.done], [0, false]);
    fails = false;
    await older.more(1);
    assert.deepEqual([ids(older.events), older.done], [[1, 2], true]);
});
