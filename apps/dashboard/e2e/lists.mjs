import assert from "node:assert/strict";
import { axe, call, eventually, picture, submit } from "./world.mjs";

const rows = (page) => page.locator("table.jobs tbody tr");

async function fill(url, count, body) {
    const ids = [];
    for (let done = 0; done < count; done += 25)
        ids.push(...(await Promise.all(Array.from({ length: Math.min(25, count - done) }, (_, i) => submit(url, body(done + i))))));
    return ids;
}

async function filtersAndPages(world) {
    const { url } = await world.start();
    await fill(url, 60, (i) => ({ kind: "demo.echo", payload: { i }, tags: i % 2 ? ["odd"] : ["even"] }));
    await submit(url, { kind: "demo.sleep", payload: { ms: 1 } }, { "x-trace-id": "trace-of-one" });
    const page = await world.browse();
    await page.goto(`${url}/#/jobs`);
    await eventually("a page of 50", async () => (await rows(page).count()) === 50);
    await page.getByRole("button", { name: "Older" }).click();
    await eventually("the rest", async () => (await rows(page).count()) === 11);
    await page.goBack();
    await eventually("the first page again", async () => (await rows(page).count()) === 50);
    await page.getByLabel("Tag", { exact: true }).fill("odd");
    await page.keyboard.press("Enter");
    await eventually("the odd ones", async () => (await rows(page).count()) === 30);
    // "All matching" is offered on every page but the only one, also on the last.
    const all = page.getByText("all matching:");
    assert.equal(await all.count(), 0);
    await page.goto(`${url}/#/jobs?tag=odd&limit=20`);
    await eventually("a page of them", async () => (await rows(page).count()) === 20);
    await page.getByRole("button", { name: "Older" }).click();
    await eventually("the last page of them", async () => (await rows(page).count()) === 10);
    assert.equal(await all.count(), 1);
    await page.goto(`${url}/#/jobs?tag=odd`);
    await eventually("the odd ones again", async () => (await rows(page).count()) === 30);
    await page.getByLabel("Tag", { exact: true }).fill("");
    await page.getByLabel("Trace id", { exact: true }).fill("trace-of-one");
    await page.keyboard.press("Enter");
    await eventually("that of the trace", async () => (await rows(page).count()) === 1);
    assert.match(page.url(), /trace=trace-of-one/);
    await page.goBack();
    await eventually("the odd ones again", async () => (await rows(page).count()) === 30);
    await eventually("the tag is back in its field", async () => (await page.getByLabel("Tag", { exact: true }).inputValue()) === "odd");
    await page.getByRole("group", { name: "State" }).getByRole("button", { name: "failed" }).click();
    await page.getByText("No job matches these filters").waitFor();
    await page.goto(`${url}/#/jobs?kind=demo.sleep&limit=500`);
    await eventually("a sent address shows the same", async () => (await rows(page).count()) === 1);
}

async function byKeyboard(world) {
    const { url } = await world.start();
    const ids = await fill(url, 4, (i) => ({ kind: "demo.echo", payload: { i }, delayMs: 3_600_000 + i }));
    const page = await world.browse();
    await page.goto(`${url}/#/jobs`);
    await eventually("the list", async () => (await rows(page).count()) === 4);
    const shown = await rows(page).locator("a.job-link").evaluateAll((links) => links.map((link) => link.href.slice(-36)));
    assert.deepEqual([...shown].sort(), [...ids].sort());
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    // Who comes in on top meanwhile does not get under the keys.
    const here = () => page.locator("tr.is-here a.job-link").evaluateAll((links) => links.map((link) => link.href.slice(-36)).join());
    await eventually("the first is under the keys", async () => (await here()) === shown[0]);
    const late = await submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 });
    await rows(page).first().locator(`a[href$="${late}"]`).waitFor();
    assert.equal(await here(), shown[0]);
    await call(url, "DELETE", `/api/jobs/${late}`);
    await eventually("the first four", async () => (await rows(page).count()) === 4);
    await page.keyboard.press("x");
    await page.getByText("1 selected").waitFor();
    assert.equal(await here(), shown[0]);
    // Shift takes all between.
    await rows(page).nth(2).getByRole("checkbox").click({ modifiers: ["Shift"] });
    await page.getByText("3 selected").waitFor();
    // So does a key.
    await page.keyboard.press("Escape");
    await page.getByText("None selected").waitFor();
    for (const key of ["x", "j", "j", "Shift+X"]) await page.keyboard.press(key);
    await page.getByText("3 selected").waitFor();
    await page.keyboard.press("c");
    await page.getByRole("dialog").getByText("Cancel 3 jobs?").waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("c");
    await page.getByRole("dialog").getByRole("button", { name: "Cancel 3" }).click();
    await page.getByText("3 canceled").waitFor();
    await eventually("three are canceled", async () => (await call(url, "GET", "/api/jobs?status=canceled")).json.jobs.length === 3);
    await page.keyboard.press("/");
    await eventually("the text can be typed", () => page.evaluate(() => document.activeElement?.tagName === "INPUT"));
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.getByRole("dialog").getByRole("heading", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("t");
    await eventually("it is light", () => page.evaluate(() => document.documentElement.dataset.theme === "light"));
    await page.keyboard.press("p");
    await page.locator(".stream[data-state=paused]").waitFor();
    await page.keyboard.press("p");
    await page.locator(".stream[data-state=live]").waitFor();
    await page.keyboard.press("k");
    await page.keyboard.press("Enter");
    await page.waitForURL(/#\/jobs\/[0-9a-f-]{36}/);
}

/** r in the list, and r and c where one job is shown; and a selection, or all that match, told by the mouse. */
async function changes(world) {
    const { url } = await world.start();
    const page = await world.browse();
    const state = async (id) => (await call(url, "GET", `/api/jobs/${id}`)).json.job?.status;
    const comes = (id, wanted) => eventually(`${id} is ${wanted}`, async () => (await state(id)) === wanted);
    const waits = (i) => ({ kind: "demo.echo", payload: { i }, tags: ["kept"], delayMs: 3_600_000 });
    const [failed] = await fill(url, 1, () => ({ kind: "demo.sleep", payload: { ms: 0, failTimes: 1 }, maxAttempts: 1 }));
    await comes(failed, "failed");
    await page.goto(`${url}/#/jobs`);
    await rows(page).first().waitFor();
    await page.keyboard.press("j");
    await page.locator("tr.is-here").waitFor();
    await page.keyboard.press("r");
    await page.getByText("1 queued again").waitFor();
    await comes(failed, "completed");
    // One after the other: where a job has left the list, the keys go on with what is there now.
    const many = await fill(url, 4, () => ({ kind: "demo.sleep", payload: { ms: 0, failTimes: 1 }, maxAttempts: 1, tags: ["each"] }));
    for (const id of many) await comes(id, "failed");
    await page.goto(`${url}/#/jobs?status=failed&tag=each`);
    await eventually("the failed ones", async () => (await rows(page).count()) === 4);
    const listed = await rows(page).locator("a.job-link").evaluateAll((links) => links.map((link) => link.href.slice(-36)));
    for (let i = 0; i < 2; ++i) await page.keyboard.press("j");
    const isHere = (id) => eventually(`the keys are at ${id}`, async () => (await page.locator("tr.is-here a.job-link").evaluateAll((links) => links.map((link) => link.href.slice(-36)).join())) === id);
    await isHere(listed[1]);
    await page.keyboard.press("r");
    await eventually("it has left the list", async () => (await rows(page).count()) === 3);
    await page.keyboard.press("j");
    await isHere(listed[2]);
    await page.keyboard.press("k");
    await isHere(listed[0]);

    const [one, ...others] = await fill(url, 6, waits);
    await page.goto(`${url}/#/jobs/${one}`);
    const badge = page.locator(".job-head .badge");
    await badge.getByText("scheduled").waitFor();
    await page.getByRole("button", { name: "Cancel" }).waitFor();
    await page.keyboard.press("c");
    await badge.getByText("canceled").waitFor();
    assert.equal(await state(one), "canceled");
    await page.keyboard.press("r");
    await badge.getByText("completed").waitFor();

    await page.goto(`${url}/#/jobs?tag=kept&status=scheduled`);
    await eventually("the five that wait", async () => (await rows(page).count()) === 5);
    const gone = await rows(page).locator("a.job-link").evaluateAll((links) => links.slice(0, 2).map((link) => link.href.slice(-36)));
    for (const id of gone) await page.getByRole("checkbox", { name: `Select job ${id}` }).check();
    await page.getByRole("button", { name: "Delete 2" }).click();
    await page.getByRole("dialog").getByText("Delete 2 jobs?").waitFor();
    await page.keyboard.press("Escape");
    assert.equal(await state(gone[0]), "scheduled");
    await page.getByRole("button", { name: "Delete 2" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete 2" }).click();
    await page.getByText("2 deleted").waitFor();
    await eventually("three are left", async () => (await rows(page).count()) === 3);
    for (const id of gone) assert.equal((await call(url, "GET", `/api/jobs/${id}`)).status, 404);

    await page.getByLabel("Select all on this page").check();
    await page.getByRole("button", { name: "Cancel all…" }).click();
    await page.getByRole("dialog").getByText("Cancel all 3 matching jobs?").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel 3" }).click();
    await page.getByText("3 canceled").waitFor();
    for (const id of others.filter((id) => !gone.includes(id))) assert.equal(await state(id), "canceled");
    assert.equal(await state(one), "completed"); // It has the tag, and another state.
}

async function bulkRetry(world) {
    const { url } = await world.start();
    const ids = await fill(url, 60, () => ({ kind: "demo.sleep", payload: { ms: 0, failTimes: 1 }, maxAttempts: 1 }));
    await eventually("all have failed", async () => (await call(url, "GET", "/api/jobs?status=failed&limit=500")).json.jobs.length === ids.length, 30_000);
    const page = await world.browse();
    await page.goto(`${url}/#/jobs?status=failed&limit=500`);
    await eventually("the failed ones", async () => (await rows(page).count()) === ids.length);
    await page.getByLabel("Select all on this page").check();
    await picture(page, "jobs-selected");
    await page.getByRole("button", { name: "Retry 60" }).click();
    await page.getByRole("dialog").getByText("Retry 60 jobs?").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Retry 60" }).click();
    await page.getByText("60 queued again").waitFor({ timeout: 30_000 });
    await eventually("all complete", async () => (await call(url, "GET", "/api/jobs?status=completed&limit=500")).json.jobs.length === ids.length, 30_000);
    await page.getByText("No job matches these filters").waitFor();
}

/** As when there are thousands, each call does a part of them. One that has begun is not given up, and none comes after it. */
async function stopping(world) {
    const { url } = await world.start();
    const ids = await fill(url, 60, (i) => ({ kind: "demo.echo", payload: { i }, delayMs: 3_600_000 }));
    const page = await world.browse();
    let calls = 0, goOn;
    const stopped = new Promise((done) => (goOn = done));
    await page.route(/\/api\/jobs\/bulk/, async (route) => {
        const { action } = route.request().postDataJSON();
        const part = ids.slice(calls * 20, ++calls * 20);
        if (calls === 2) await stopped;
        const { json } = await call(url, "POST", "/api/jobs/bulk", { action, ids: part });
        await route.fulfill({ json: { ...json, results: undefined, nextCursor: calls < 3 ? `behind ${calls}` : null } });
    });
    await page.goto(`${url}/#/jobs?status=scheduled&limit=50`);
    await page.getByRole("button", { name: "Cancel all…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel 60" }).click();
    const progress = page.locator(".note", { hasText: "Cancel: 20 of 60 jobs so far" });
    await progress.getByRole("button", { name: "Stop" }).focus();
    await picture(page, "stopping");
    await page.keyboard.press("Enter");
    await progress.getByRole("button", { name: "Stopping…" }).and(page.locator(":focus")).waitFor();
    await axe(page, "a change that is to stop");
    goOn();
    await page.getByText("40 of 60 canceled, then you stopped it").waitFor();
    await progress.waitFor({ state: "detached" });
    const { counts } = (await call(url, "GET", "/api/jobs/counts")).json;
    assert.deepEqual([calls, counts.canceled, counts.scheduled], [2, 40, 20]);
    await eventually("the list shows what is left", async () => (await rows(page).count()) === 20);
}

export const cases = [
    { name: "filters and pages stand in the address, and Back restores them", run: filtersAndPages },
    { name: "the keyboard does it all", run: byKeyboard },
    { name: "retry and cancel by keys, delete a selection, cancel all that match", run: changes },
    { name: "many failed jobs are retried at once", run: bulkRetry },
    { name: "a change of all that match is stopped, and what is done stays done", run: stopping },
];
