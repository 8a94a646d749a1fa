// What the dashboard is for, on each store, in one process and in several. The other cases run on SQLite only, most of them
// in one.
import assert from "node:assert/strict";
import { away, killed, restarted } from "./live.mjs";
import { hasMongo, hasOwnMongo, isReal, mongoStore, ownMongo } from "./mongo.mjs";
import { retryAll, retryCopied } from "./queues.mjs";
import { roles, scripts } from "./safety.mjs";
import { cancelRunning, fromAddressToVideo, refusals } from "./saving.mjs";
import { call, eventually, submit, waitFor } from "./world.mjs";

/** Pausing a queue is seen by another API and by the worker within a second, and so is that it goes on. */
async function pausedForAll(world) {
    await world.start({ ROLE: "worker" });
    let here = await world.start({ ROLE: "api" });
    const there = await world.start({ ROLE: "api" });
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
    // An API that is started anew knows it, too.
    await world.stop(here, "SIGKILL");
    here = await world.start({ ROLE: "api", PORT: here.port });
    await page.reload();
    await row.getByText("paused").waitFor();
    await row.getByRole("button", { name: "Resume queue default" }).click();
    await row.getByText("open").waitFor();
    await says(false);
    await waitFor(there.url, waits, ["completed"]);
}

/** A thousand on SQLite (in one process by another case); the stand-in for MongoDB needs a while to run each. */
const retrySome = (world) => retryAll(world, world.store.MONGODB_URI && !isReal ? 50 : 1000);

/** One question about many, where a change takes its time. */
const retryMany = (world) => retryCopied(world, isReal ? 1000 : 300);

/** What depends on where jobs are, or on which process does what; `not` there, as another file has it. How the page looks does not. */
const stories = [
    { name: "from an address to a video that plays", run: fromAddressToVideo },
    { name: "a duplicate, a platform that is off and a bad address are told apart", run: refusals },
    { name: "a running job is canceled, then deleted after a question", run: cancelRunning },
    { name: "the API is killed under an open page: no gap, no repeat; no worker: a banner", run: restarted },
    { name: "failed jobs are retried at once", run: retrySome, not: "combined on SQLite" },
    { name: "many failed jobs are retried at once, and the page says how far it is", run: retryMany, where: "split on MongoDB" },
    { name: "a store that is away for a while", run: away, own: true, not: "split on SQLite" },
    { name: "a queue is paused for all processes within a second", run: pausedForAll, where: "split" },
    { name: "the worker is killed: no banner at first, then one", run: killed, where: "split on MongoDB" },
    { name: "what jobs bring along is text, in every field", run: scripts, not: "combined on SQLite" },
    { name: "a role that may only read has no working buttons", run: roles, not: "combined on SQLite" },
];

const sqlite = { place: "SQLite", shared: async () => ({}), own: async () => ({}) };
const mongo = { place: "MongoDB", shared: mongoStore, own: ownMongo };
if (!hasMongo) console.log("skipped: the dashboard on MongoDB: neither JOBRT_TEST_MONGODB_URI nor JOBRT_STANDIN (tools/standin) is set");
else if (!hasOwnMongo) console.log("skipped: a MongoDB that is away for a while: JOBRT_STANDIN is not set (tools/standin)");

export const cases = [];
for (const { place, shared, own } of hasMongo ? [sqlite, mongo] : [sqlite])
    for (const split of [false, true])
        for (const story of stories) {
            const setUp = `${split ? "split" : "combined"} on ${place}`;
            if ((story.where && !setUp.startsWith(story.where)) || story.not === setUp) continue;
            if (story.own && place === mongo.place && !hasOwnMongo) continue;
            cases.push({ name: `${setUp}: ${story.name}`, run: story.run, on: async () => ({ ...(await (story.own ? own : shared)()), split }) });
        }
