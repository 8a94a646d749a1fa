// What the dashboard is for, on each store, in one process and in several. The other cases run on SQLite only, most of them
// combined.
import assert from "node:assert/strict";
import { killed, resumes } from "./live.mjs";
import { hasMongo, mongoStore } from "./mongo.mjs";
import { roles, scripts } from "./safety.mjs";
import { cancelRunning, fromAddressToVideo, refusals } from "./saving.mjs";
import { call, eventually, submit, waitFor } from "./world.mjs";

/** Pausing a queue is seen by another API and by the worker within a second, and so is that it goes on. */
async function pausedForAll(world) {
    await world.start({ ROLE: "worker" });
    const [here, there] = [await world.start({ ROLE: "api" }), await world.start({ ROLE: "api" })];
    await waitFor(here.url, await submit(here.url, { kind: "demo.echo", payload: {} }), ["completed"]);
    const page = await world.browse();
    await page.goto(`${here.url}/#/queues`);
    const row = page.locator("tr", { has: page.getByRole("rowheader", { name: "default" }) });
    await row.getByRole("button", { name: "Pause queue default" }).click();
    await row.getByText("paused").waitFor();
    const since = Date.now();
    const says = (paused) => eventually(`the other API says paused: ${paused}`, async () => {
        const { queues } = (await call(there.url, "GET", "/api/queues")).json;
        return queues?.some((queue) => queue.queue === "default" && queue.paused === paused);
    }, 5000);
    await says(true);
    // Within a second, but for a machine that holds up whoever looks; and the worker has that second, too.
    assert.ok(Date.now() - since < 3000, `the other API saw it after ${Date.now() - since} ms`);
    await new Promise((done) => setTimeout(done, Math.max(0, since + 1000 - Date.now())));
    const waits = await submit(there.url, { kind: "demo.echo", payload: {} });
    // A later job of another queue shows that the worker has looked since.
    await waitFor(there.url, await submit(there.url, { kind: "demo.echo", queue: "media", payload: {} }), ["completed"]);
    assert.equal((await call(there.url, "GET", `/api/jobs/${waits}`)).json.job.status, "queued");
    await row.getByRole("link", { name: "1", exact: true }).first().waitFor();
    await row.getByRole("button", { name: "Resume queue default" }).click();
    await row.getByText("open").waitFor();
    await says(false);
    await waitFor(there.url, waits, ["completed"]);
}

const split = (store) => async () => ({ store: await store(), split: true });
const sqlite = async () => ({});
const toVideo = "from an address to a video that plays";
const pause = "a queue is paused for all processes within a second";

export const cases = [
    { name: `split on SQLite: ${toVideo}`, run: fromAddressToVideo, on: split(sqlite) },
    { name: `split on SQLite: ${pause}`, run: pausedForAll, on: split(sqlite) },
];
if (hasMongo)
    cases.push(
        { name: `combined on MongoDB: ${toVideo}`, run: fromAddressToVideo, on: async () => ({ store: await mongoStore() }) },
        { name: `split on MongoDB: ${toVideo}`, run: fromAddressToVideo, on: split(mongoStore) },
        { name: "split on MongoDB: the API is restarted under an open page: no gap, no repeat", run: resumes, on: split(mongoStore) },
        { name: "split on MongoDB: the worker is killed: no banner at first, then one", run: killed, on: split(mongoStore) },
        { name: "split on MongoDB: a duplicate, a platform that is off and a bad address are told apart", run: refusals, on: split(mongoStore) },
        { name: "split on MongoDB: a running job is canceled, then deleted after a question", run: cancelRunning, on: split(mongoStore) },
        { name: "split on MongoDB: what jobs bring along is text, in every field", run: scripts, on: split(mongoStore) },
        { name: "split on MongoDB: a role that may only read has no working buttons", run: roles, on: split(mongoStore) },
        { name: `split on MongoDB: ${pause}`, run: pausedForAll, on: split(mongoStore) },
    );
else console.log("skipped: the dashboard on MongoDB: JOBRT_STANDIN is not set (tools/standin)");
