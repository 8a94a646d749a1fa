import assert from "node:assert/strict";
import { axe, call, eventually, picture, submit, waitFor } from "./world.mjs";

/** The ids of the events in the history that are made there after a frame; none while some that are to be seen are not. */
const shownIds = (page) => page.locator(".virtual").evaluate((box) => new Promise((done) => requestAnimationFrame(() => {
    // Before a frame the list's place may have moved already and its rows not: they follow the event of scrolling.
    const top = box.getBoundingClientRect().top + box.clientTop;
    const rows = [...box.querySelectorAll("li")].map((row) => ({ id: Number(row.querySelector(".event")?.dataset.id), ...row.getBoundingClientRect().toJSON() }));
    const end = Math.min(top + box.clientHeight, box.querySelector("ol").getBoundingClientRect().bottom);
    const whole = rows.length > 0 && rows[0].top <= top + 1 && rows[rows.length - 1].bottom >= end - 1;
    done(whole ? rows.filter((row) => row.top >= top - 1).map((row) => row.id) : []);
})));

async function scrollHistory(page, to) {
    await page.locator(".virtual").evaluate((box, top) => box.scrollTo(0, top), to);
    return eventually("what is scrolled to is made", async () => {
        const ids = await shownIds(page);
        return ids.length > 0 && ids;
    });
}

/** All ids in the history, read while scrolling through it. */
async function historyIds(page) {
    const seen = new Set();
    for (let to = 0; ; ) {
        for (const id of await scrollHistory(page, to)) seen.add(id);
        const { top, step, whole } = await page.locator(".virtual").evaluate((box) => ({ top: box.scrollTop, step: box.clientHeight, whole: box.scrollHeight }));
        if (top + step >= whole) return [...seen].sort((a, b) => a - b);
        to = top + step - 60; // Never past a row that is seen in part.
    }
}

/** The API is killed under an open page, which goes on by itself: no event is missing, none is there twice. */
async function resumes(world) {
    let front = await world.serve();
    const { url } = front;
    const page = await world.browse();
    await page.goto(`${url}/#/?p.view=history`);
    await page.locator(".stream[data-state=live]").waitFor();
    for (let i = 0; i < 10; ++i) await submit(url, { kind: "demo.echo", payload: { i } });
    const through = await submit(url, { kind: "demo.sleep", payload: { ms: 3000, steps: 30 } });
    await page.getByText(/Progress: sleep/).first().waitFor();

    await world.stop(front, "SIGKILL");
    await page.locator(".stream[data-state=reconnecting]").waitFor();
    await page.locator(".banner", { hasText: "jobrt does not answer" }).waitFor();
    front = await world.serveAgain(front);
    await page.locator(".stream[data-state=live]").waitFor();
    await page.locator(".banner", { hasText: "jobrt does not answer" }).waitFor({ state: "detached" });
    // A worker that was killed with the API leaves the job to the next one.
    await waitFor(url, through, ["completed"]);
    await submit(url, { kind: "demo.echo", payload: {} }).then((id) => waitFor(url, id, ["completed"]));

    // A job is completed a moment before the last events about it are in the log.
    const all = await eventually("the page has as many events as the log", async () => {
        const log = await (await fetch(`${url}/api/telemetry?limit=2000`)).json();
        return (await page.getByText(new RegExp(`^${log.count} events`)).count()) > 0 && log;
    });
    const shown = (await page.locator("#history-count").textContent()).match(/^\d+/)[0];
    const seen = await historyIds(page);
    assert.deepEqual(seen, all.events.map((event) => event.id));
    assert.equal(Number(shown), seen.length);
    return { front, page };
}

export async function restarted(world) {
    const { front, page } = await resumes(world);
    const { url } = front;
    // Without a worker a banner says so, and what helps.
    await world.withoutWorker(front);
    await page.locator(".banner", { hasText: "No worker is running" }).waitFor();
    await page.locator(".banner code", { hasText: "ROLE=worker jobrt" }).waitFor();
    const waiting = await submit(url, { kind: "demo.echo", payload: {} });
    await page.goto(`${url}/#/jobs/${waiting}`);
    await page.locator(".waits").getByText("no worker is running").waitFor();
    await world.start({ ROLE: "worker" });
    await page.locator(".banner", { hasText: "No worker is running" }).waitFor({ state: "detached" });
    await page.locator(".job-head .badge").getByText("completed").waitFor();
}

/** A lease that is over sooner would tell of the worker before its beat is old. */
const patient = { JOBRT_STALE_MS: "2000", JOBRT_LEASE_MS: "60000" };
const staleMs = Number(patient.JOBRT_STALE_MS);
const noWorker = (page) => page.locator(".banner", { hasText: "No worker is running" });

/** After the signal there is no banner at first, and one when the time has passed after which a beat is old. */
async function silent(page, worker, signal) {
    const since = Date.now();
    worker.child.kill(signal);
    await noWorker(page).filter({ hasText: "Heartbeat is too old" }).waitFor();
    const took = Date.now() - since;
    // The last beat was at most 300 ms before, and the page asks every 3 s; the rest is for a machine that is busy.
    assert.ok(took > staleMs - 1000 && took < staleMs + 9000, `after ${signal} the banner came within ${took} ms`);
    console.log(`counts: ${took} ms from ${signal} of the only worker to the banner`);
}

/** Through the store alone nobody can tell a killed worker from a slow one. */
export async function killed(world) {
    const worker = await world.start({ ROLE: "worker", ...patient });
    const { url } = await world.start({ ROLE: "api", ...patient });
    const page = await world.browse();
    await page.goto(url);
    await page.locator(".tile", { hasText: "workers" }).getByText("1", { exact: true }).waitFor();
    assert.equal(await noWorker(page).count(), 0);
    await silent(page, worker, "SIGKILL");
    await world.start({ ROLE: "worker", ...patient });
    await noWorker(page).waitFor({ state: "detached" });
}

/** On one machine a killed worker is known by its lock, at once; one that hangs only by its silence. */
async function lost(world) {
    const hangs = await world.start({ ROLE: "worker", ...patient });
    const { url } = await world.start({ ROLE: "api", ...patient });
    const page = await world.browse();
    await page.goto(url);
    await page.locator(".tile", { hasText: "workers" }).getByText("1", { exact: true }).waitFor();
    assert.equal(await noWorker(page).count(), 0);
    await silent(page, hangs, "SIGSTOP");
    hangs.child.kill("SIGCONT");
    await noWorker(page).waitFor({ state: "detached" });
    await world.stop(hangs, "SIGKILL");
    await noWorker(page).filter({ hasText: "Worker died" }).waitFor();
}

/** The store is away for a while under an open page: the banner says what helps, what was shown stays, and all goes on. */
export async function away(world) {
    const { url } = await world.serve();
    const before = await submit(url, { kind: "demo.echo", payload: {}, tags: ["before"] });
    await waitFor(url, before, ["completed"]);
    const page = await world.browse();
    await page.goto(`${url}/#/jobs`);
    const row = (id) => page.locator("tr", { has: page.locator(`a[href$="${id}"]`) });
    await row(before).getByText("completed").waitFor();
    const comeBack = await world.takeAway();
    const banner = page.locator(".banner", { hasText: "The store does not answer" });
    await banner.waitFor();
    for (const code of ["jobrt doctor", "JOBRT_STORE", "MONGODB_URI"]) await banner.locator("code", { hasText: code }).waitFor();
    // Without its store it can say nothing of workers.
    assert.equal(await noWorker(page).count(), 0);
    await page.locator("main > .trouble", { hasText: "STORE_UNAVAILABLE" }).waitFor();
    await row(before).getByText("completed").waitFor();
    assert.equal((await call(url, "POST", "/api/jobs", { kind: "demo.echo", payload: {} })).status, 503);
    await page.locator("nav").getByRole("link", { name: "Home" }).click();
    await page.getByLabel("Save a video").fill("https://example.org/page");
    await page.keyboard.press("Enter");
    await page.locator("#submit-said").getByText("STORE_UNAVAILABLE").waitFor();
    await page.goBack();
    await page.locator("main > .trouble", { hasText: "STORE_UNAVAILABLE" }).waitFor();
    await comeBack();
    await banner.waitFor({ state: "detached", timeout: 30_000 });
    await page.locator("main > .trouble").waitFor({ state: "detached" });
    await row(before).getByText("completed").waitFor();
    const after = await eventually("jobs are taken again", async () => (await call(url, "POST", "/api/jobs", { kind: "demo.echo", payload: {} })).json.job?.id, 30_000);
    await row(after).getByText("completed").waitFor({ timeout: 30_000 });
    await page.locator(".stream[data-state=live]").waitFor();
    assert.equal(await page.locator(".banner").count(), 0);
}

/** On a narrow screen the panel is below it all: the bar on top, which stays, says how the stream is. */
async function narrow(world) {
    let front = await world.start();
    const { url, port } = front;
    for (let i = 0; i < 12; ++i) await submit(url, { kind: "demo.echo", payload: { i }, delayMs: 3_600_000 });
    const page = await world.browse({ viewport: { width: 390, height: 700 } });
    await page.goto(`${url}/#/jobs`);
    const said = page.locator(".to-activity");
    const isSeen = () => said.evaluate((button) => {
        const { left, right, top, bottom } = button.getBoundingClientRect();
        return left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight && button.contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2));
    });
    for (const where of ["jobs", ""]) {
        await page.goto(`${url}/#/${where}`);
        await page.locator("main h1").waitFor();
        for (const to of [0, 0.5, 1]) {
            await page.evaluate((share) => scrollTo(0, share * document.documentElement.scrollHeight), to);
            await said.getByText(/^\S+ Live · \d+ s ago$/).waitFor();
            await eventually(`it is seen on ${where || "home"}, scrolled by ${to}`, isSeen);
        }
        assert.ok(await page.evaluate(() => scrollY > 200), "there is something to scroll");
    }
    await picture(page, "narrow-live");
    // The button goes to the panel, whose head is not below the bar.
    await page.evaluate(() => scrollTo(0, 0));
    await said.click();
    const below = await page.locator("#activity h2").evaluate((head) => head.getBoundingClientRect().top - document.querySelector(".top").getBoundingClientRect().bottom);
    assert.ok(below >= 0, `the head of the panel is ${below} px below the bar`);
    await page.keyboard.press("p");
    await said.getByText("Paused").waitFor();
    await page.keyboard.press("p");
    await said.getByText("Live").waitFor();
    await world.stop(front, "SIGKILL");
    await said.getByText(/Reconnecting · ([3-9]|1\d) s ago/).waitFor();
    assert.ok(await isSeen());
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `the page is ${wide} px wide`);
    await axe(page, "a lost stream, 390 px");
    await picture(page, "narrow-reconnecting");
    front = await world.start({ PORT: port });
    await said.getByText("Live").waitFor();
    // With room for the panel beside it the bar does not say it twice.
    await page.setViewportSize({ width: 1280, height: 700 });
    await said.waitFor({ state: "hidden" });
}

/** A server that has much to say, in place of the real stream: a past, then 500 events a second, each of the next of so many jobs. */
async function flood(page, { past, jobs }) {
    await page.addInitScript(({ past, jobs }) => {
        window.EventSource = class extends EventTarget {
            constructor() {
                super();
                let id = 0;
                const send = (n) => {
                    for (let i = 0; i < n; ++i) {
                        const job = `00000000-0000-7000-8000-${String(id % jobs).padStart(12, "0")}`;
                        // Each job begins and fails now and then, so that all places of the list change.
                        const round = Math.floor(id / jobs) + (id % 7);
                        const of = { 3: { event: "worker.job.retry_scheduled", level: "warn", status: "scheduled" }, 4: { event: "worker.job.claimed", status: "running" } }[round % 9];
                        const data = JSON.stringify({ id: ++id, ts: new Date().toISOString(), event: "worker.job.progress", level: "info", jobId: job, traceId: "t", stage: `step ${id}`, percent: id % 100, ...of });
                        this.dispatchEvent(new MessageEvent("telemetry", { data }));
                    }
                };
                setTimeout(() => this.onopen?.());
                setTimeout(() => send(past), 50);
                this.timer = setInterval(() => send(25), 50);
            }
            close() {
                clearInterval(this.timer);
            }
        };
    }, { past, jobs });
}

/** The time within which 95 of 100 frames come, and the longest of all. */
const frames = (page) =>
    page.evaluate(
        () =>
            new Promise((done) => {
                const gaps = [];
                let last = performance.now();
                const frame = (now) => {
                    gaps.push(now - last);
                    last = now;
                    if (gaps.length < 120) requestAnimationFrame(frame);
                    else done({ most: gaps.sort((a, b) => a - b)[Math.floor(gaps.length * 0.95)], longest: gaps[gaps.length - 1] });
                };
                requestAnimationFrame(frame);
            }),
    );

/** Nobody sees it falter, and it never stands still for long. */
function smooth({ most, longest }, what) {
    assert.ok(most < 100 && longest < 500, `${what}: 95 of 100 frames within ${most} ms, the longest ${longest} ms`);
}

/** The share of a second and a half in which the page's main thread was busy, in percent. */
async function busy(page) {
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable");
    const taken = async () => (await session.send("Performance.getMetrics")).metrics.find((one) => one.name === "TaskDuration").value;
    const [before, since] = [await taken(), Date.now()];
    await page.waitForTimeout(1500);
    return Math.round(((await taken()) - before) / ((Date.now() - since) / 1e5));
}

async function floods(world) {
    const { url } = await world.start();
    const page = await world.browse();
    await flood(page, { past: 100_000, jobs: 500 });
    await page.goto(`${url}/#/?p.view=history`);
    await page.getByText(/10\d,\d{3} events/).waitFor();
    const before = await frames(page);
    const top = page.locator(".event").first();
    const first = await top.getAttribute("data-id");
    await eventually("it goes on", async () => (await top.getAttribute("data-id")) !== first);
    assert.ok((await page.locator(".event").count()) < 60, "only what is seen is made");
    // Whoever reads further down keeps his place.
    const [reading] = await scrollHistory(page, 54 * 1000);
    const newest = () => page.locator("#history-count").textContent();
    const then = await newest();
    await eventually("more has come", async () => (await newest()) !== then);
    const [reads] = await eventually("the rows are there", async () => ((ids) => ids.length > 0 && ids)(await shownIds(page)));
    assert.ok(Math.abs(reads - reading) <= 1, `the place is kept: ${reading}, then ${reads}`);
    await page.locator("#panel-filter").fill("00000000-0000-7000-8000-000000000007");
    await page.keyboard.press("Enter");
    await page.getByText(/^2\d\d events/).waitFor();
    console.log(`counts: 95 of 100 frames within ${before.most.toFixed(0)} ms, the longest ${before.longest.toFixed(0)} ms, at 500 events a second and a history of 100,000`);
    smooth(before, "the history");
}

/** As many jobs as Active has room for, with an event of each every four seconds. */
async function floodsActive(world) {
    const { url } = await world.start();
    const page = await world.browse();
    await flood(page, { past: 4_000, jobs: 2_000 });
    await page.goto(`${url}/#/`);
    await page.locator("#active-count", { hasText: "2,000 jobs" }).waitFor();
    const list = page.getByRole("region", { name: "Active jobs" });
    const cards = list.locator(".active-job");
    const texts = () => cards.evaluateAll((all) => all.map((one) => one.querySelector(".words").textContent));
    const took = await frames(page);
    const share = await busy(page);
    const before = await texts();
    await eventually("what is seen goes on", async () => (await texts()).join() !== before.join());
    const made = await cards.count();
    assert.ok(made < 30, `only what is seen is made, not ${made}`);
    // The last of them can be reached, and each card has its own room.
    await list.evaluate((box) => box.scrollTo(0, box.scrollHeight));
    await list.locator("li[aria-posinset='2000']").waitFor();
    const over = await cards.evaluateAll((all) => all.filter((one) => [...one.children].some((part) => part.getBoundingClientRect().bottom > one.getBoundingClientRect().bottom)).length);
    assert.equal(over, 0, "cards whose text does not fit");
    // A filter by level goes through all of them each time.
    await page.getByLabel("Level").selectOption("warn");
    await page.locator(".active-job.level-warn").first().waitFor();
    assert.equal(await page.locator(".active-job:not(.level-warn)").count(), 0);
    const filtered = await frames(page);
    console.log(`counts: 95 of 100 frames within ${took.most.toFixed(0)} ms at 500 events a second of 2,000 active jobs, ${filtered.most.toFixed(0)} ms with a level, the longest ${Math.max(took.longest, filtered.longest).toFixed(0)} ms; the main thread busy for ${share} %`);
    smooth(took, "active jobs");
    smooth(filtered, "active jobs of a level");
}

export const cases = [
    { name: "a worker that hangs or is killed: a banner", run: lost },
    { name: "on a narrow screen the bar on top says how the stream is", run: narrow },
    { name: "500 events a second and a history of 100,000 keep the page smooth", run: floods },
    { name: "500 events a second of 2,000 active jobs keep the page smooth", run: floodsActive },
];
