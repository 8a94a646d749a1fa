import assert from "node:assert/strict";
import { Stranger } from "./screens.mjs";
import { eventually, submit, waitFor } from "./world.mjs";

const shown = (page) => page.locator("#history-count").textContent();

/** What can be asked of the events: by level, as they came, one of them, and by the ids in them. */
async function asked(world) {
    const { url } = await world.start();
    const good = await submit(url, { kind: "demo.echo", payload: { text: "hello" } }, { "x-trace-id": "trace-of-the-good" });
    const bad = await submit(url, { kind: "demo.sleep", payload: { ms: 1, failTimes: 5 }, maxAttempts: 2 });
    await waitFor(url, good, ["completed"]);
    await waitFor(url, bad, ["failed"]);
    const page = await world.browse({ permissions: ["clipboard-read", "clipboard-write"] });
    const looked = page.waitForResponse(/telemetry\?after=0&limit=1$/);
    await page.goto(`${url}/#/?p.view=history`);
    const log = await eventually("the log has how both ended", async () => {
        const { events } = await (await fetch(`${url}/api/telemetry?limit=2000`)).json();
        return [good, bad].every((id) => events.some((event) => event.jobId === id && /\.(completed|failed)$/.test(event.event))) && events;
    });
    const said = (events) => eventually(`${events.length} events`, async () => (await shown(page)).startsWith(`${events.length} event`) && events);
    await said(log);
    // That is all of it.
    await (await looked).finished();
    await page.waitForTimeout(150);
    assert.equal(await page.getByRole("button", { name: "Further back" }).count(), 0);

    const level = page.getByLabel("Level");
    const errors = log.filter((event) => event.level === "error");
    const warnings = log.filter((event) => event.level === "error" || event.level === "warn");
    assert.ok(errors.length > 0 && warnings.length > errors.length && log.length > warnings.length, JSON.stringify(log.map((event) => event.level)));
    await level.selectOption("warn");
    await said(warnings);
    await level.selectOption("error");
    await said(errors);
    assert.equal(await page.locator(".event").count(), errors.length);
    assert.equal(await page.locator(".event.level-error .level", { hasText: "error" }).count(), errors.length);
    await page.goBack();
    await said(warnings);
    await page.reload();
    await said(warnings);
    await level.selectOption("");

    // As it came: each row is the text of its event, and the words are back when that is over.
    await page.getByLabel("raw").check();
    const raw = page.locator(".event", { has: page.locator(".event-words", { hasText: '"jobs.create.queued"' }) }).first();
    const text = await raw.locator(".event-words").textContent();
    assert.deepEqual(JSON.parse(text), log.find((event) => event.id === JSON.parse(text).id));
    await page.getByLabel("raw").uncheck();
    await page.locator(".event-words", { hasText: /^Submitted: demo\.echo/ }).click();
    const picked = page.locator("section[aria-label=Event]");
    await picked.locator("pre").getByText('"jobs.create.queued"').waitFor();
    await picked.getByRole("button", { name: "Copy the event" }).click();
    await picked.getByText("copied", { exact: true }).waitFor();
    const copied = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
    assert.deepEqual(copied, log.find((event) => event.event === "jobs.create.queued" && event.jobId === good));
    await picked.getByRole("button", { name: "Close" }).click();
    await picked.waitFor({ state: "detached" });

    // An id is the filter for what has it.
    await page.locator(`.event .id[title="job ${bad}"]`).first().click();
    await page.waitForURL((address) => address.hash.includes(`p.job=${bad}`));
    await said(log.filter((event) => event.jobId === bad));
    await page.getByRole("button", { name: "Clear" }).click();
    await said(log);
    await page.locator('.event .id[title="trace trace-of-the-good"]').first().click();
    await page.waitForURL(/p\.trace=trace-of-the-good/);
    await said(log.filter((event) => event.traceId === "trace-of-the-good"));
    await eventually("the id is in the field", async () => (await page.locator("#panel-filter").inputValue()) === "trace-of-the-good");
    // A trace's id may look like a job's, as it is the caller's to choose.
    const theirs = "5f0c8a52-3b1d-4c7e-9a44-0b6f2d1e8c39";
    await submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 }, { "x-trace-id": theirs });
    await page.locator("#panel-filter").fill(theirs);
    await page.keyboard.press("Enter");
    await page.waitForURL(new RegExp(`p\\.trace=${theirs}`));
    await page.locator(`.event .id[title="trace ${theirs}"]`).first().waitFor();
    await page.getByRole("button", { name: "Clear" }).click();
    await page.locator(`.event .id[title="trace ${theirs}"]`).first().click();
    await page.waitForURL(new RegExp(`p\\.trace=${theirs}`));
    // Even exactly like one: there is no such job, so it is a trace.
    await page.getByRole("button", { name: "Clear" }).click();
    const alike = "0190f3c2-7b1a-7c3e-9d55-0A1B2C3D4E5F";
    await submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 }, { "x-trace-id": alike });
    await page.locator("#panel-filter").fill(alike);
    await page.keyboard.press("Enter");
    await page.waitForURL(new RegExp(`p\\.trace=${alike}`));
    await page.locator(`.event .id[title="trace ${alike}"]`).first().waitFor();
    await page.locator("#panel-filter").fill(good.toUpperCase());
    await page.keyboard.press("Enter");
    await page.waitForURL(new RegExp(`p\\.job=${good}`));
    // So is that of an active job.
    const waits = await submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 });
    await page.goto(`${url}/#/`);
    await page.getByRole("region", { name: "Active jobs" }).locator(`.id[title="${waits}"]`).click();
    await page.waitForURL((address) => address.hash.includes(`p.job=${waits}`) && address.hash.includes("p.view=history"));
    await page.locator(".event-words", { hasText: /^Submitted/ }).waitFor();
}

/** All events of the log that have one of these levels, oldest first. */
async function wholeLog(url, levels = ["info", "warn", "error"]) {
    const all = [];
    for (let after = 0; ; ) {
        const { events, next } = await (await fetch(`${url}/api/telemetry?limit=2000&after=${after}`)).json();
        all.push(...events.filter((event) => levels.includes(event.level)));
        if (events.length < 2000) return all;
        after = next;
    }
}

/** What matches is found in the whole log, not only in what the page begins with: its last 2,000 events. */
async function furtherBack(world) {
    // Nothing but what is told here is to have warnings: no lease is lost on a busy machine.
    const { url } = await world.start({ JOBRT_CONCURRENCY: "32", JOBRT_LEASE_MS: "60000", JOBRT_STALE_MS: "60000" });
    const bad = await submit(url, { kind: "demo.sleep", payload: { ms: 0, failTimes: 5 }, maxAttempts: 1 });
    await waitFor(url, bad, ["failed"]);
    // It runs, and had a warning long ago.
    const far = new Stranger(url, { kinds: ["far.work"] });
    await far.start();
    const again = await submit(url, { kind: "far.work", payload: {}, maxAttempts: 9 });
    await far.claim();
    await far.settle({ outcome: "retry", code: "NOT_YET", message: "once more", afterMs: 100 });
    await far.claim();
    const fine = await submit(url, { kind: "demo.sleep", payload: { ms: 120_000, steps: 1 } });
    await waitFor(url, fine, ["running"]);
    let last = "";
    for (let made = 0; made < 750; made += 50) [last] = await Promise.all(Array.from({ length: 50 }, (_, i) => submit(url, { kind: "demo.echo", payload: { i } })));
    await waitFor(url, last, ["completed"]);
    await eventually("all have ended", async () => (await (await fetch(`${url}/api/jobs/counts?status=queued`)).json()).total === 0);

    const page = await world.browse();
    await page.goto(`${url}/#/?p.view=history`);
    await page.getByText(/^[23],\d{3} events/).waitFor();
    await page.getByRole("button", { name: "Further back" }).waitFor();
    const level = page.getByLabel("Level");
    for (const [name, levels] of [["error", ["error"]], ["warn", ["warn", "error"]]]) {
        await level.selectOption(name);
        await eventually(`${name}: what the log has`, async () => {
            const wanted = (await wholeLog(url, levels)).map((event) => event.id).reverse();
            assert.ok(wanted.length > 0 && wanted.length < 12, `${wanted.length}`);
            const seen = await page.locator(".event").evaluateAll((all) => all.map((one) => Number(one.dataset.id)));
            return (await shown(page)).startsWith(`${wanted.length} event`) && seen.join() === wanted.join();
        });
    }
    // Nothing is left to look for.
    assert.equal(await page.getByRole("button", { name: "Further back" }).count(), 0);
    // Active knows by the same question which jobs had one.
    await page.getByRole("button", { name: "Active" }).click();
    const card = (id) => page.locator(".active-job", { has: page.locator(`.id[title="${id}"]`) });
    await card(again).getByText("Failed, tries again: NOT_YET: once more").waitFor();
    await card(again).locator(".level").getByText("warn", { exact: true }).waitFor();
    // As it came, here too.
    await page.getByLabel("raw").check();
    await card(again).locator(".words").getByText('"worker.job.retry_scheduled"').waitFor();
    assert.equal(JSON.parse(await card(again).locator(".words").textContent()).jobId, again);
    await page.getByLabel("raw").uncheck();
    assert.equal(await card(fine).count(), 0);
    await level.selectOption("error");
    await page.getByText("No job that runs or waits now matches this filter.").waitFor();
    await level.selectOption("");
    await card(fine).waitFor();
    await card(again).locator(".words").getByText("Runs", { exact: true }).waitFor();
    // Without a filter one goes on as far as one likes, and nothing is missing or there twice.
    await page.getByRole("button", { name: "History" }).click();
    await page.getByRole("button", { name: "Further back" }).click();
    await page.getByRole("button", { name: "Further back" }).waitFor({ state: "detached" });
    await eventually("the whole log", async () => (await shown(page)).startsWith(`${(await wholeLog(url)).length.toLocaleString("en")} events`));
    await page.locator(".virtual").evaluate((box) => box.scrollTo(0, box.scrollHeight));
    const [oldest] = await wholeLog(url);
    await page.locator(`.event[data-id="${oldest.id}"]`).waitFor();
    await far.stop();
}

/** While it is paused, the panel says how old that is what it shows, whatever comes meanwhile. */
async function pausedAge(world) {
    let front = await world.start();
    const { url, port } = front;
    const before = await submit(url, { kind: "demo.sleep", payload: { ms: 120_000, steps: 1 } });
    const page = await world.browse();
    await page.goto(`${url}/#/`);
    const card = (id) => page.locator(".active-job", { has: page.locator(`.id[title="${id}"]`) });
    await card(before).getByText("running").waitFor();
    const since = Date.now();
    await page.getByRole("button", { name: "Pause", exact: true }).click();
    const said = page.locator(".stream[data-state=paused]");
    const age = async () => Number((await said.textContent()).match(/Paused · (\d+) s old/)?.[1]);
    await eventually("it says so", async () => (await age()) <= 2);
    // Something is heard again and again: that does not make younger what is shown.
    await eventually("it grows old", async () => {
        await submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 });
        return (await age()) >= 3;
    });
    const [least, is] = [Math.floor((Date.now() - since) / 1000) - 2, await age()];
    assert.ok(is >= least && is <= least + 20, `${is} s are said, after ${least + 2} s`);
    assert.equal(await page.locator(".active-job").count(), 1); // As it was.
    // Nor is it hidden that nothing comes.
    await world.stop(front, "SIGKILL");
    await said.getByText("s old · reconnecting").waitFor();
    assert.ok((await age()) >= is);
    front = await world.start({ PORT: port });
    await said.getByText(/\d+ s old$/).waitFor();
    assert.ok((await age()) >= is);
    await page.getByRole("button", { name: "Resume", exact: true }).click();
    await page.locator(".stream[data-state=live]").getByText(/heard \d s ago/).waitFor();
    await eventually("what came meanwhile is there", async () => (await page.locator(".active-job").count()) > 1);
}

/** What somebody types stays in its field when another field's text, or something else, changes in the address. */
async function typing(world) {
    const { url } = await world.start();
    const id = await submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 });
    const page = await world.browse();
    await page.goto(`${url}/#/jobs?kind=demo.echo`);
    const field = (name) => page.locator(`form.filters input[name=${name}]`);
    await field("tag").fill("half a ta");
    await page.locator("#panel-filter").fill("half an id");
    await page.getByRole("group", { name: "State" }).getByRole("button", { name: /^scheduled/ }).click();
    await page.waitForURL(/status=scheduled/);
    await page.evaluate(() => (location.hash = location.hash.replace("kind=demo.echo", "kind=other&queue=q")));
    await page.getByText("No job matches these filters").waitFor();
    const says = async () => [await field("kind").inputValue(), await field("queue").inputValue(), await field("tag").inputValue(), await page.locator("#panel-filter").inputValue()];
    assert.deepEqual(await says(), ["other", "q", "half a ta", "half an id"]);
    await page.goBack();
    await page.locator("table.jobs tbody tr").waitFor();
    assert.deepEqual(await says(), ["demo.echo", "", "half a ta", "half an id"]);
    // A click on an id is a new text for the panel's field.
    await page.getByRole("region", { name: "Active jobs" }).locator(`.id[title="${id}"]`).click();
    await eventually("the id is in the field", async () => (await says()).join() === ["demo.echo", "", "half a ta", id].join());
    await page.locator("form.filters").getByText("Clear").click();
    await eventually("all is clear", async () => (await says()).join() === ["", "", "", id].join());
}

/** Back, before the page has seen the address in between: no field says what was typed. */
async function backAtOnce(world) {
    const { url } = await world.start();
    await submit(url, { kind: "demo.echo", payload: {} });
    const page = await world.browse();
    await page.goto(`${url}/#/jobs?tag=kept&p.trace=kept-trace&p.view=history`);
    for (const [field, kept] of [["#panel-filter", "kept-trace"], ["form.filters input[name=tag]", "kept"]]) {
        await page.locator(field).waitFor();
        await page.evaluate((name) => {
            const field = document.querySelector(name);
            const before = location.hash;
            window.seen = new Promise((done) => addEventListener("hashchange", done, { once: true }));
            field.value = "typed";
            field.form.requestSubmit();
            history.replaceState(null, "", before);
        }, field);
        await page.evaluate(() => window.seen);
        await eventually(`${field} says what the address does`, async () => (await page.locator(field).inputValue()) === kept);
    }
    // Whoever goes on typing after Enter is still in the field.
    const tag = page.locator("form.filters input[name=tag]");
    await tag.fill("other");
    await page.keyboard.press("Enter");
    await page.waitForURL(/tag=other/);
    await page.getByText("No job matches these filters").waitFor();
    assert.ok(await tag.evaluate((field) => field === document.activeElement && field.value === "other"));
}

/** What comes between a key and the next picture finds what the key has done: nothing is given its focus, or opened, late. */
async function atOnce(world) {
    const { url } = await world.start();
    await submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 });
    const page = await world.browse();
    await page.goto(`${url}/#/jobs`);
    await page.locator("table.jobs tbody tr").waitFor();
    const focused = await page.evaluate(() => new Promise((done) => {
        addEventListener("hashchange", () => done(document.activeElement?.id), { once: true });
        location.hash = "#/workers";
    }));
    assert.equal(focused, "main");
    const opens = (key) => page.evaluate(async (key) => {
        document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
        for (let i = 0; i < 10; ++i) await Promise.resolve();
        return document.querySelector("dialog")?.open ?? null;
    }, key);
    assert.equal(await opens("?"), true);
    // Whoever closes it is where he was.
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
    await eventually("the focus is back", () => page.evaluate(() => document.activeElement?.id === "main"));
    await page.goto(`${url}/#/jobs`);
    await page.locator("table.jobs tbody tr").waitFor();
    await page.keyboard.press("j");
    await page.locator("tr.is-here").waitFor();
    assert.equal(await opens("c"), true);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.ok(await page.evaluate(() => document.activeElement?.matches("a.job-link")));
}

/** A job whose end was told while events were missed does not stay among the active ones. */
async function missed(world) {
    const { url } = await world.start();
    const page = await world.browse();
    const line = (event, data) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    const told = (id, event, status) => line("telemetry", { id, ts: new Date().toISOString(), event, level: "info", jobId: "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f", traceId: "t", status, kind: "lost.kind" });
    let goOn;
    const wait = new Promise((done) => (goOn = done));
    let asked = 0;
    await page.route(/telemetry\/stream/, async (route) => {
        ++asked;
        if (asked === 1) return route.fulfill({ contentType: "text/event-stream", body: told(1, "worker.job.claimed", "running") });
        if (asked > 2) return route.continue();
        await wait;
        return route.fulfill({ contentType: "text/event-stream", body: line("truncated", { oldestId: 9 }) + line("heartbeat", {}) });
    });
    await page.goto(url);
    const active = page.locator(".active-job", { hasText: "lost.kind" });
    await active.waitFor();
    goOn();
    await active.waitFor({ state: "detached" });
    await page.locator(".stream[data-state=live]").waitFor();
}

/** The server answers, and its stream does not come through: the banner says that, and only as long. */
async function lostStream(world) {
    const { url } = await world.start();
    const page = await world.browse();
    await page.route(/telemetry\/stream/, (route) => route.abort());
    await page.goto(url);
    await page.locator(".banner", { hasText: /The event stream has been lost for \d+\.0 s; it is tried again/ }).waitFor();
    // What helps, and a command that shows where it ends.
    const banner = page.locator(".banner");
    for (const code of ["api/telemetry/stream", "proxy_buffering off", "JOBRT_MAX_STREAMS", `curl -sN ${url}/api/telemetry/stream`]) await banner.locator("code").getByText(code, { exact: true }).waitFor();
    await page.locator(".stream[data-state=reconnecting]").waitFor();
    assert.equal(await page.locator(".banner").count(), 1);
    await page.unroute(/telemetry\/stream/);
    await page.locator(".stream[data-state=live]").waitFor();
    await page.locator(".banner").waitFor({ state: "detached" });
}

/** All that waits is asked for, in steps, as far as there is room; that there is more is said. */
async function manyActive(world) {
    const { url } = await world.start();
    const page = await world.browse();
    const waits = (from, to, status) => Array.from({ length: to - from }, (_, i) => ({ id: `00000000-0000-7000-8000-${String(from + i).padStart(12, "0")}`, status, kind: "far.work", traceId: "t", url: null, progress: {}, createdAt: new Date().toISOString(), startedAt: null }));
    let most = 700;
    await page.route(/\/api\/jobs\?status=(running|queued|scheduled)&limit=500/, (route) => {
        const query = new URL(route.request().url()).searchParams;
        if (query.get("status") !== "queued") return route.fulfill({ json: { ok: true, jobs: query.get("status") === "scheduled" ? waits(9_000, 9_003, "scheduled") : [], nextCursor: null } });
        const from = Number(query.get("cursor") ?? 0);
        const to = Math.min(most, from + 500);
        return route.fulfill({ json: { ok: true, jobs: waits(from, to, "queued"), nextCursor: to < most ? String(to) : null } });
    });
    await page.goto(url);
    await page.locator("#active-count").getByText("703 jobs", { exact: true }).waitFor();
    most = 2_600;
    await page.reload();
    await page.locator("#active-count").getByText("2,000 jobs or more", { exact: true }).waitFor();
}

/** A key asks before it runs again what is done, or stops what runs. */
async function keysAsk(world) {
    const { url } = await world.start();
    const done = await submit(url, { kind: "demo.echo", payload: {} });
    const runs = await submit(url, { kind: "demo.sleep", payload: { ms: 120_000, steps: 50 } });
    await waitFor(url, done, ["completed"]);
    await waitFor(url, runs, ["running"]);
    const page = await world.browse();
    const badge = (state) => page.locator(".job-head .badge").getByText(state);
    for (const [id, state, key, yes, then] of [[done, "completed", "r", "Run again", "queued again"], [runs, "running", "c", "Cancel the job", "Asked to stop"]]) {
        await page.goto(`${url}/#/jobs/${id}`);
        await badge(state).waitFor();
        const before = (await (await fetch(`${url}/api/jobs/${id}`)).json()).job;
        await page.keyboard.press(key);
        await page.getByRole("dialog").getByRole("button", { name: "Go back" }).click();
        await page.getByRole("dialog").waitFor({ state: "detached" });
        const after = (await (await fetch(`${url}/api/jobs/${id}`)).json()).job;
        assert.deepEqual([after.status, after.attempt, after.cancelRequestedAt], [state, before.attempt, null]);
        await page.keyboard.press(key);
        await page.getByRole("dialog").getByRole("button", { name: yes }).click();
        await page.locator(".note").getByText(then).waitFor();
    }
    await badge("canceled").waitFor();
    // Nor does one in the list.
    await waitFor(url, done, ["completed"]);
    await page.goto(`${url}/#/jobs?status=completed`);
    await page.locator("table.jobs tbody tr").waitFor();
    await page.keyboard.press("j");
    await page.locator("tr.is-here").waitFor();
    await page.keyboard.press("r");
    await page.getByRole("dialog").getByText("Retry 1 job?").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Go back" }).click();
}

export const cases = [
    { name: "the panel: levels, as it came, copy, and a click on an id", run: asked },
    { name: "levels and ids are looked for in the whole log", run: furtherBack },
    { name: "a panel that is paused says how old it is", run: pausedAge },
    { name: "what is typed stays when something else changes", run: typing },
    { name: "Back at once restores also what fields say", run: backAtOnce },
    { name: "a stream that is lost: a banner", run: lostStream },
    { name: "of many active jobs as many as there is room for", run: manyActive },
    { name: "a key asks before it runs or stops a job", run: keysAsk },
    { name: "focus and dialogs come at once", run: atOnce },
    { name: "a job whose end was missed is not active for ever", run: missed },
];
