import assert from "node:assert/strict";
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
    await page.goto(`${url}/#/?p.view=history`);
    const log = await eventually("the log has how both ended", async () => {
        const { events } = await (await fetch(`${url}/api/telemetry?limit=2000`)).json();
        return [good, bad].every((id) => events.some((event) => event.jobId === id && /\.(completed|failed)$/.test(event.event))) && events;
    });
    const said = (events) => eventually(`${events.length} events`, async () => (await shown(page)).startsWith(`${events.length} event`) && events);
    await said(log);

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
    // So is that of an active job.
    const waits = await submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 });
    await page.goto(`${url}/#/`);
    await page.getByRole("region", { name: "Active jobs" }).locator(`.id[title="${waits}"]`).click();
    await page.waitForURL((address) => address.hash.includes(`p.job=${waits}`) && address.hash.includes("p.view=history"));
    await page.locator(".event-words", { hasText: /^Submitted/ }).waitFor();
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
    await page.locator(".stream[data-state=reconnecting]").waitFor();
    assert.equal(await page.locator(".banner").count(), 1);
    await page.unroute(/telemetry\/stream/);
    await page.locator(".stream[data-state=live]").waitFor();
    await page.locator(".banner").waitFor({ state: "detached" });
}

export const cases = [
    { name: "the panel: levels, as it came, copy, and a click on an id", run: asked },
    { name: "Back at once restores also what fields say", run: backAtOnce },
    { name: "a stream that is lost: a banner", run: lostStream },
    { name: "focus and dialogs come at once", run: atOnce },
    { name: "a job whose end was missed is not active for ever", run: missed },
];
