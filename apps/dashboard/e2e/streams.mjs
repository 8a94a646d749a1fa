// The event stream as any page has it that knows no more of it than the browser's own EventSource.
import assert from "node:assert/strict";
import { call, eventually, submit } from "./world.mjs";

/** All events of the store after that one, as the list has them. */
async function idsAfter(url, after) {
    const ids = [];
    for (;;) {
        const { events } = (await call(url, "GET", `/api/telemetry?limit=2000&after=${after}`)).json;
        if (events.length === 0) return ids;
        ids.push(...events.map((event) => event.id));
        after = ids[ids.length - 1];
    }
}

/**
 * Another API on the same store takes jobs all the while. That of the page is stopped once, which says goodbye, and killed once,
 * which cuts the stream wherever it is; the page does nothing about it.
 */
async function plain(world) {
    const other = await world.start({ ROLE: "api" });
    let api = await world.start({ ROLE: "api" });
    const page = await world.browse();
    // The dashboard's own stream says in its address where it goes on.
    const resumed = [];
    const network = await page.context().newCDPSession(page);
    await network.send("Network.enable");
    network.on("Network.requestWillBeSentExtraInfo", ({ headers }) => {
        if (headers["Last-Event-ID"] !== undefined) resumed.push(Number(headers["Last-Event-ID"]));
    });
    await page.goto(api.url);
    await page.evaluate(() => {
        const seen = { ids: [], words: [], opened: 0 };
        const source = new EventSource("/api/telemetry/stream");
        source.onopen = () => ++seen.opened;
        source.addEventListener("telemetry", (event) => seen.ids.push(Number(event.lastEventId)));
        for (const word of ["shutdown", "truncated", "dropped"]) source.addEventListener(word, () => seen.words.push(word));
        Object.assign(window, { seen, source });
    });
    const seen = () => page.evaluate(() => ({ ...window.seen, state: window.source.readyState }));
    const opened = (times) => eventually(`the stream is opened ${times} times`, async () => (await seen()).opened === times, 30_000);
    let writes = true;
    let written = 0;
    const writing = (async () => {
        while (writes) {
            await submit(other.url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 });
            ++written;
            await new Promise((done) => setTimeout(done, 5));
        }
    })();
    try {
        await opened(1);
        for (const [times, signal] of [[2, "SIGTERM"], [3, "SIGKILL"]]) {
            const before = (await seen()).ids.length;
            await eventually("more has come", async () => (await seen()).ids.length > before + 20);
            await world.stop(api, signal);
            const missed = written;
            await eventually("more has happened meanwhile", () => written > missed + 20);
            api = await world.start({ ROLE: "api", PORT: api.port });
            await opened(times);
        }
    } finally {
        writes = false;
        await writing;
    }
    const { ids: [first] } = await seen();
    const wanted = [first, ...(await idsAfter(other.url, first))];
    await eventually("all has come", async () => (await seen()).ids.includes(wanted[wanted.length - 1]));
    const { ids, words, state } = await seen();
    assert.deepEqual(ids, wanted, "nothing is missed and nothing comes twice");
    assert.deepEqual(words, ["shutdown"]);
    assert.equal(state, 1, "it is open");
    assert.ok(resumed.length >= 2 && resumed.every((id) => ids.includes(id)), `it was resumed from ${resumed}`);
    console.log(`counts: ${ids.length} events by a browser's own EventSource over a stop and a kill of the API, none missed, none twice`);
}

export const cases = [{ name: "a plain EventSource comes back by itself after the API was stopped or killed, and misses and repeats nothing", run: plain }];
