import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { tellOutcome } from "../src/lib/actions";
import { api, renewSession, type Session } from "../src/lib/api";
import { ApiError, loggedOut } from "../src/lib/ask";
import { Cell } from "../src/lib/cell";
import { bulkIds, bulkMatching, countAll } from "../src/lib/many";
import { eventsOfJob } from "../src/lib/older";

type Fetch = (address: string, asked: RequestInit) => Promise<Response>;
const page = globalThis as unknown as { fetch: Fetch };
const answer = (body: object, status = 200): Promise<Response> => Promise.resolve(new Response(JSON.stringify(body), { status }));

/** A server that takes the request and says nothing more; or says the head of the answer, and nothing more. */
const silent: Fetch = (_, { signal }) => new Promise((_done, fail) => signal?.addEventListener("abort", () => fail(new DOMException("aborted", "AbortError"))));
const halfway: Fetch = (_, { signal }) =>
    Promise.resolve({
        ok: true,
        status: 200,
        text: () => new Promise((_done, fail) => signal?.addEventListener("abort", () => fail(new DOMException("aborted", "AbortError")))),
    } as unknown as Response);

/** What a question came to; undefined while it is open. */
async function after(ms: number, asked: Promise<unknown>): Promise<unknown> {
    let end: unknown;
    asked.then(
        (value) => (end = value),
        (error) => (end = error),
    );
    for (let turns = 0; turns < 10; ++turns) await Promise.resolve();
    mock.timers.tick(ms);
    for (let turns = 0; turns < 10; ++turns) await Promise.resolve();
    return end;
}

test("a question that is not answered in time has no answer, whichever part of it does not come", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    for (const server of [silent, halfway]) {
        page.fetch = server;
        assert.equal(await after(19_000, api.status()), undefined);
        const late = await after(21_000, api.status());
        assert.deepEqual([late instanceof ApiError && late.code, late instanceof ApiError && late.status], ["NO_ANSWER", 0]);
        // A change of many jobs may take longer.
        assert.equal(await after(60_000, bulkIds("delete", ["a"])), undefined);
        assert.ok((await after(121_000, bulkIds("delete", ["a"]))) instanceof ApiError);
    }
    mock.timers.reset();
});

test("whoever takes a question back hears that, not that nothing answers", async () => {
    page.fetch = silent;
    const abort = new AbortController();
    const asked = api.jobs({}, 1, "", abort.signal).catch((error: unknown) => error);
    abort.abort();
    assert.equal((await asked) instanceof ApiError, false);
    page.fetch = () => answer({ jobs: [], nextCursor: null });
    assert.equal((await api.jobs({}, 1, "")).jobs.length, 0);
});

test("of a job with many events the first ones are asked for, too, and none comes twice", async () => {
    const asked: string[] = [];
    let all = 5_000;
    page.fetch = (address) => {
        asked.push(address);
        const query = new URLSearchParams(address.replace(/.*\?/, ""));
        const limit = Number(query.get("limit"));
        const ids = Array.from({ length: all }, (_, i) => i + 1);
        const events = query.has("after") ? ids.slice(0, limit) : ids.slice(-limit);
        return answer({ events: events.map((id) => ({ id, ts: "", event: "a", level: "info" })) });
    };
    const ids = async (): Promise<number[]> => (await eventsOfJob("j")).events.map((event) => event.id);
    const whole = async (): Promise<boolean> => (await eventsOfJob("j")).whole;
    const many = await ids();
    assert.deepEqual([many.length, many[0], many[199], many[200], many[2199]], [2_200, 1, 200, 3_001, 5_000]);
    assert.ok(asked[1]?.includes("after=0"));
    assert.equal(await whole(), false);
    all = 2_100;
    assert.equal(await whole(), true);
    assert.deepEqual(await ids(), Array.from({ length: 2_100 }, (_, i) => i + 1));
    all = 1_999;
    asked.length = 0;
    assert.equal((await ids()).length, 1_999);
    assert.equal(asked.length, 1);
});

test("jobs are counted slice by slice, and it says how many it is at least, until they are taken back", async () => {
    const asked: string[] = [];
    const slices = [3_000, 0, 17];
    page.fetch = (address, { signal }) => {
        asked.push(address);
        if (signal?.aborted) return Promise.reject(new DOMException("aborted", "AbortError"));
        const at = Number(new URLSearchParams(address.replace(/.*\?/, "")).get("cursor") ?? 0);
        return answer({ total: slices[at], counts: { failed: slices[at] }, nextCursor: at + 1 < slices.length ? String(at + 1) : null });
    };
    const heard: number[] = [];
    assert.equal(await countAll({ status: "failed", tag: "a" }, (so) => heard.push(so)), 3_017);
    assert.deepEqual(heard, [3_000, 3_000]);
    assert.deepEqual(asked, ["api/jobs/counts?status=failed&tag=a", "api/jobs/counts?status=failed&tag=a&cursor=1", "api/jobs/counts?status=failed&tag=a&cursor=2"]);
    // What a list shows is the first of them.
    assert.equal((await api.counts({ tag: "a" })).nextCursor, "1");
    asked.length = 0;
    const abort = new AbortController();
    const ended = await countAll({}, () => abort.abort(), abort.signal).catch((error: unknown) => error);
    assert.equal((ended as Error).name, "AbortError");
    assert.equal(asked.length, 2);
});

test("a change of many jobs that ends halfway says how far it came", async () => {
    const bodies: Record<string, unknown>[] = [];
    let good = 2;
    page.fetch = (_, asked) => {
        bodies.push(JSON.parse(String(asked.body)) as Record<string, unknown>);
        if (good-- <= 0) return answer({ code: "STORE_UNAVAILABLE", error: "the store is locked" }, 503);
        return answer({ done: 1_000, requested: 0, refused: 0, nextCursor: `c${good}` });
    };
    const outcome = await bulkMatching("delete", { status: "failed" }, 5_000);
    assert.equal(tellOutcome("delete", outcome, 5_000), "2,000 of 5,000 deleted, then STORE_UNAVAILABLE: the store is locked");
    assert.deepEqual(bodies.map((body) => [body["expectedCount"], body["cursor"]]), [[5_000, undefined], [undefined, "c1"], [undefined, "c0"]]);
    good = 0;
    assert.ok((await bulkMatching("delete", {}, 1).catch((error: unknown) => error)) instanceof ApiError);
    good = 1;
    const ids = Array.from({ length: 700 }, (_, i) => String(i));
    assert.equal(tellOutcome("cancel", await bulkIds("cancel", ids), 1_700), "1,000 of 1,700 canceled, then STORE_UNAVAILABLE: the store is locked");
    assert.deepEqual(bodies.slice(-2).map((body) => (body["ids"] as string[]).length), [500, 200]);
    assert.equal(tellOutcome("retry", { done: 3, refused: 1, firstRefusal: "INVALID_STATE" }, 4), "3 queued again, 1 refused (INVALID_STATE)");
});

test("a slow store is asked again for what it did not get to, and each answer says how far it is", async () => {
    const sizes: number[] = [];
    let goesAway = false;
    page.fetch = (_, asked) => {
        const { ids } = JSON.parse(String(asked.body)) as { ids: string[] };
        sizes.push(ids.length);
        const rest = goesAway && sizes.length > 1 ? "unknown" : "not_tried";
        const results = ids.map((id, i) => ({ id, result: i < 80 ? "done" : i < 100 ? "invalid_state" : i < 150 ? rest : "not_tried" }));
        const of = (result: string): number => results.filter((one) => one.result === result).length;
        return answer({ done: of("done"), requested: 0, refused: of("invalid_state"), results, nextCursor: null });
    };
    const ids = Array.from({ length: 550 }, (_, i) => String(i));
    const heard: number[] = [];
    const outcome = await bulkIds("retry", ids, { told: (so) => heard.push(so.done + so.refused) });
    assert.equal(tellOutcome("retry", outcome, 550), "450 queued again, 100 refused (invalid_state)");
    assert.deepEqual(sizes, [500, 450, 350, 250, 150, 50]);
    assert.deepEqual(heard, [100, 200, 300, 400, 500]);
    sizes.length = 0;
    goesAway = true;
    assert.equal(
        tellOutcome("retry", await bulkIds("retry", ids), 550),
        "160 of 550 queued again, 40 refused (invalid_state), then the store went away: what became of 50 more is not known",
    );
    assert.equal(sizes.length, 2);
});

test("a change of many jobs that is stopped ends with the step that has begun, and says how far it came", async () => {
    const stop = new AbortController();
    let asked = 0;
    page.fetch = (_, { signal }) => {
        if (++asked === 2) stop.abort();
        assert.equal(signal?.aborted, false);
        return answer({ done: 1_990, requested: 0, refused: 10, nextCursor: asked < 4 ? `c${asked}` : null });
    };
    const outcome = await bulkMatching("delete", { status: "failed" }, 8_000, { stop: stop.signal });
    assert.equal(tellOutcome("delete", outcome, 8_000), "3,980 of 8,000 deleted, 20 refused, then you stopped it");
    assert.equal(outcome.byWish, true);
    assert.equal(asked, 2);
    // A step that fails after that is not what anybody wished for.
    page.fetch = () => Promise.reject(new TypeError("no network"));
    const failed = await bulkIds("retry", ["a"], { stop: stop.signal }).catch((error: unknown) => error);
    assert.ok(failed instanceof ApiError);
    asked = 0;
    page.fetch = () => (++asked === 1 ? answer({ done: 1_990, requested: 0, refused: 10, nextCursor: "c" }) : Promise.reject(new TypeError("no network")));
    const late = new AbortController();
    const broken = await bulkMatching("delete", {}, 8_000, { stop: late.signal, told: () => queueMicrotask(() => late.abort()) });
    assert.ok(broken.stopped?.startsWith("NO_ANSWER: "));
    assert.equal(broken.byWish, undefined);
    page.fetch = () => answer({ done: 1_990, requested: 0, refused: 10, nextCursor: null });
    // What is over is not stopped any more.
    asked = 3;
    assert.equal((await bulkMatching("delete", {}, 2_000, { stop: stop.signal })).stopped, undefined);
});

test("a page that was logged out learns that it is not any more", async () => {
    const session = new Cell<Session | null>({ name: "before", role: "operate", guarded: true });
    let asked = 0;
    const serve = (status: number): void => {
        page.fetch = () => (++asked, answer({ name: "now", role: "read", guarded: true }, status));
    };
    serve(401);
    await api.status().catch(() => undefined);
    await renewSession(session);
    assert.deepEqual([loggedOut.value, session.value?.name], [true, "before"]);
    serve(200);
    await renewSession(session);
    assert.deepEqual([loggedOut.value, session.value?.name, asked], [false, "now", 3]);
    await renewSession(session);
    assert.equal(asked, 3);
});
