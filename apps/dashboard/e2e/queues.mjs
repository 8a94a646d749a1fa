import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { axe, call, eventually, join, picture, submit } from "./world.mjs";

async function pausing(world) {
    const api = await world.start();
    const { url } = api;
    await submit(url, { kind: "demo.echo", payload: {} });
    const page = await world.browse();
    await page.goto(`${await world.front(url)}/#/queues`);
    const row = page.locator("tr", { has: page.getByRole("rowheader", { name: "default" }) });
    await row.getByText("open").waitFor();
    await row.getByRole("button", { name: "Pause queue default" }).click();
    await row.getByText("paused").waitFor();
    await new Promise((done) => setTimeout(done, 1000)); // Durable, and seen by all within a second.
    const id = await submit(url, { kind: "demo.echo", payload: {} });
    await row.getByRole("link", { name: "1", exact: true }).first().waitFor();
    await picture(page, "queues");
    await page.goto(page.url().replace(/#.*/, `#/jobs/${id}`));
    await page.locator(".waits").getByText("paused").waitFor();
    await page.goBack();
    // Nor does it go on when all processes have been killed: neither on the page that is open, nor on a new one.
    await world.stop(api, "SIGKILL");
    await page.locator(".stream[data-state=reconnecting]").waitFor();
    await world.serveAgain(api);
    await page.locator(".stream[data-state=live]").waitFor();
    // A job of another queue shows that the new worker has looked.
    const other = await submit(url, { kind: "demo.echo", queue: "media", payload: {} });
    await eventually("another queue goes on", async () => (await call(url, "GET", `/api/jobs/${other}`)).json.job.status === "completed");
    assert.equal((await call(url, "GET", `/api/jobs/${id}`)).json.job.status, "queued");
    for (const again of [false, true]) {
        if (again) await page.reload();
        await row.getByRole("button", { name: "Resume queue default" }).waitFor();
        await row.getByText("paused").waitFor();
        await row.getByRole("link", { name: "1", exact: true }).first().waitFor();
    }
    await row.getByRole("button", { name: "Resume queue default" }).click();
    await eventually("it completes", async () => (await call(url, "GET", `/api/jobs/${id}`)).json.job.status === "completed");
    // Workers of other languages need not say how many they run at once.
    const { queues } = (await call(url, "GET", "/api/queues")).json;
    await page.route(/\/api\/queues$/, (route) => route.fulfill({ json: { ok: true, queues: queues.map((one) => ({ ...one, workers: 1, concurrency: 0 })) } }));
    await row.locator("td").last().getByText("–").waitFor();
}

const countOf = async (url, state) => (await call(url, "GET", `/api/jobs/counts?status=${state}`)).json.total;

/** So many failed jobs with a tag, and one without. Few at once: a slow store has each wait for those before it. */
async function makeFailed(url, most) {
    let left = most;
    const make = async () => {
        while (left-- > 0) await submit(url, { kind: "demo.sleep", payload: { ms: 0, failTimes: 1 }, maxAttempts: 1, tags: ["many"] });
    };
    await Promise.all(Array.from({ length: 8 }, make));
    await submit(url, { kind: "demo.sleep", payload: { ms: 0, failTimes: 1 }, maxAttempts: 1 });
    await eventually("all have failed", async () => (await countOf(url, "failed")) === most + 1, 60_000);
}

/** A slow store is still busy with what API and page read as they begin; a change that has to wait for that is given up. */
async function calm(url) {
    let quick = 0;
    await eventually("the store has caught up", async () => {
        const since = Date.now();
        const { status } = await call(url, "GET", "/api/jobs/counts?status=failed");
        quick = status === 200 && Date.now() - since < 500 ? quick + 1 : 0;
        return quick === 5;
    }, 120_000);
}

/** Retries those with the tag by one question; the page, as soon as the question is answered. */
async function askToRetry(world, url, most, prepare = async () => {}) {
    const page = await world.browse();
    await prepare(page);
    // More than a page of them: what is done to all is offered then.
    await page.goto(`${await world.front(url)}/#/jobs?tag=many&status=failed&limit=20`);
    const tab = page.getByRole("group", { name: "State" }).getByRole("button", { name: /^failed/ });
    const shown = most.toLocaleString("en");
    await tab.getByText(shown).waitFor();
    await page.getByRole("button", { name: "Retry all…" }).click();
    await page.getByRole("dialog").getByText(`Retry all ${shown} matching jobs?`).waitFor();
    await calm(url);
    await page.getByRole("dialog").getByRole("button", { name: `Retry ${shown}` }).click();
    return { page, done: page.getByText(new RegExp(`^${shown} queued again`)) };
}

export async function retryAll(world, most) {
    const { url } = await world.serve({ JOBRT_CONCURRENCY: "32" });
    await makeFailed(url, most);
    const { page, done } = await askToRetry(world, url, most);
    await done.waitFor({ timeout: 120_000 });
    const failed = () => countOf(url, "failed");
    await eventually("all complete but the one that did not match", async () => (await failed()) === 1, 60_000);
    console.log(`counts: ${most} failed jobs retried by one question`);
    return { url, page, failed };
}

/** So many where each change takes its time: they are made elsewhere, and the page says how far it is. */
export async function retryCopied(world, many) {
    const from = `sqlite:${join(world.folder, "made.db")}`;
    const maker = await world.start({ JOBRT_STORE: from, MONGODB_URI: "", JOBRT_CONCURRENCY: "32" });
    await makeFailed(maker.url, many);
    await world.stop(maker);
    world.run(["store", "copy", from, world.store.MONGODB_URI]);
    const { url } = await world.start({ ROLE: "api" });
    // A quick server does them all within one call; else there is more to do, and the page says so until that is answered.
    let more = 0, goOn;
    const looked = new Promise((go) => (goOn = go));
    const hold = (page) =>
        page.route(/\/api\/jobs\/bulk/, async (route) => {
            if (route.request().postDataJSON().cursor && ++more === 1) await looked;
            await route.continue();
        });
    const { page, done } = await askToRetry(world, url, many, hold);
    const since = Date.now();
    const progress = page.locator(".note", { hasText: new RegExp(`^Retry: \\d+ of ${many.toLocaleString("en")} jobs so far`) });
    const long = { timeout: 400_000 };
    const shownBeforeDone = () => Promise.race([progress.waitFor(long).then(() => true), done.waitFor(long).then(() => false)]);
    try {
        if (await shownBeforeDone()) {
            await progress.getByRole("button", { name: "Dismiss" }).click();
            await progress.waitFor({ state: "detached" });
            goOn();
            assert.equal(await shownBeforeDone(), false); // Who has had enough of it is not told again.
        } else {
            assert.equal(more, 0, "what goes on is told");
        }
    } finally {
        goOn();
    }
    console.log(`counts: ${many} failed jobs retried by one question in ${Date.now() - since} ms`);
    assert.deepEqual([await countOf(url, "queued"), await countOf(url, "failed")], [many, 1]);
    assert.equal(await page.getByText("so far").count(), 0);
    await world.start({ ROLE: "worker" });
    await eventually("they run", async () => (await countOf(url, "completed")) >= 5, 300_000);
}

async function allMatching(world) {
    const { url, page, failed } = await retryAll(world, 1000);
    // More than were counted are not touched.
    assert.equal((await call(url, "POST", "/api/jobs/bulk", { action: "delete", filter: { tag: "many" }, expectedCount: 3 })).status, 409);
    // Words are looked for in all that a job says.
    if (page.url().includes("#")) await page.goto(page.url().replace(/#.*/, "#/jobs?q=DEMO_FAILED&status=failed"));
    await eventually("found by its error", async () => (await page.locator("table.jobs tbody tr").count()) === 1);
    // And so are those that "all matching" means, with their number in the question.
    for (let done = 0; done < 60; done++) await submit(url, { kind: "demo.sleep", payload: { ms: 0, failTimes: 1, note: done < 55 ? "Needle" : "hay" }, maxAttempts: 1 });
    await eventually("these have failed, too", async () => (await failed()) === 61, 60_000);
    await page.goto(page.url().replace(/#.*/, "#/jobs?q=needle&status=failed"));
    await eventually("they are listed", async () => (await page.locator("table.jobs tbody tr").count()) === 50);
    assert.equal(await page.locator(".tab .count").count(), 0); // Beside a text nothing is counted until it matters.
    await page.getByRole("button", { name: "Delete all…" }).click();
    await page.getByRole("dialog").getByText("Delete all 55 matching jobs?").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Delete 55" }).click();
    await page.getByText("55 deleted").waitFor();
    assert.equal(await failed(), 6);
}

async function care(world) {
    // The worker may be on another machine: what the API shows of it comes through the store.
    mkdirSync(join(world.folder, "profile"), { recursive: true });
    writeFileSync(join(world.folder, "profile", "jobrt-cookies.txt"), "#HttpOnly_.x.com\tTRUE\t/\tTRUE\t4102444800\tauth_token\tcanary-value\n", { mode: 0o600 });
    const { url } = await world.start({ ROLE: "api" });
    const calm = await world.start({ ROLE: "worker" });
    const page = await world.browse();
    await page.goto(`${await world.front(url)}/#/settings`);
    const row = (name) => page.locator("tr", { has: page.getByRole("rowheader", { name, exact: true }) });
    await row("X").getByText("✓ logged in").waitFor();
    assert.equal(await row("X").getByText("jobrt auth bootstrap").count(), 0);
    await row("TikTok").getByText("⊘ not logged in").waitFor();
    await row("TikTok").getByText("jobrt auth bootstrap tiktok").waitFor();
    const shown = JSON.stringify((await call(url, "GET", "/api/capabilities")).json) + JSON.stringify((await call(url, "GET", "/api/workers")).json);
    assert.ok(!shown.includes("canary-value") && !shown.includes("profile"));
    assert.equal(await page.getByText("free;").count(), 0);
    await world.stop(calm);
    // More has to be free than any disk has.
    await world.start({ ROLE: "worker", JOBRT_MIN_FREE_MB: "100000000" });
    await page.goto(page.url().replace(/#.*/, "#/"));
    const banner = page.locator(".banner", { hasText: "The disk for downloads on" });
    await banner.getByText("downloads fail until 100 TB are").waitFor();
    await axe(page, "a banner");
    await picture(page, "disk-low");
    await banner.getByRole("link", { name: "jobs with their videos" }).click();
    await page.locator("main h1", { hasText: "Jobs" }).waitFor();
}

export const cases = [
    { name: "log-ins of platforms, and a disk that runs full", run: care },
    { name: "a queue is paused and goes on", run: pausing },
    { name: "all that match are retried at once, with their number in the question", run: allMatching },
];
