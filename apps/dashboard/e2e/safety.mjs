import assert from "node:assert/strict";
import { Stranger } from "./screens.mjs";
import { call, eventually, join, submit, waitFor } from "./world.mjs";

const attack = '"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>{{7*7}}';

/** Every text of a value becomes the attack, but what the page needs to find its way. */
function poisoned(value, name = "") {
    if (typeof value === "string") return ["id", "status", "jobId", "ts", "event", "level"].includes(name) || /At$/.test(name) ? value : attack;
    if (Array.isArray(value)) return value.map((item) => poisoned(item));
    if (value === null) return /^(error|errorCode|waitingFor|stage|message|url|canonicalUrl|uniqueKey|outputPath|workerId)$/.test(name) ? attack : null;
    if (typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, key === "payload" || key === "result" ? { [attack]: attack } : poisoned(item, key)]));
}

async function unharmed(page) {
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.equal(await page.locator("img[src=x], #app script").count(), 0);
}

export async function scripts(world) {
    const { url } = await world.serve();
    const header = { "x-trace-id": attack.replaceAll(" ", "/").slice(0, 100) };
    const id = await submit(url, { kind: "demo.echo", payload: { [attack]: attack, big: 1 }, tags: [attack.slice(0, 60)], uniqueKey: attack }, header);
    await waitFor(url, id, ["completed"]);
    const page = await world.browse();
    await page.goto(`${url}/#/jobs`);
    await page.locator(".tag").getByText(attack.slice(0, 60)).waitFor();
    await page.goto(`${url}/#/jobs/${id}?p.view=history`);
    await page.locator("section[aria-label=Payload] pre").getByText("onerror").waitFor();
    await unharmed(page);

    // The same from a server whose every answer is hostile.
    await page.route(/\/api\/(jobs|queues|stats|workers|status|capabilities|worker|session|telemetry\?)/, async (route) => {
        const answer = await route.fetch();
        const body = await answer.json().catch(() => null);
        if (!body) return route.fulfill({ response: answer });
        const keep = /api\/session/.test(route.request().url()) ? { role: "admin" } : {};
        // Without its times a chart shows nothing at all.
        if (/api\/stats/.test(route.request().url())) {
            const { now, since, minutes } = body;
            Object.assign(keep, { now, since, minutes, starts: body.starts.map((start) => ({ ...poisoned(start), at: start.at })) });
        }
        return route.fulfill({ response: answer, json: { ...poisoned(body), ...keep } });
    });
    for (const where of [`jobs/${id}`, "jobs", "", "workers", "queues", "settings"]) {
        await page.goto(`${url}/#/${where}`);
        await page.reload();
        await page.getByText("onerror").locator("visible=true").first().waitFor();
        if (where === "queues") await page.locator("table th a", { hasText: "onerror" }).first().waitFor();
        if (where === "") await page.locator("details p", { hasText: "onerror" }).first().waitFor({ state: "attached" });
        await page.waitForTimeout(150);
        await unharmed(page);
    }
    assert.equal(await page.locator('a[href^="javascript:"]').count(), 0);
    page.said.policy.length = 0; // A poster that is no address is refused, as it should be.
}

/** The same in what a job's own worker says of it, as it comes by the real stream. */
async function liveScripts(world) {
    const { url } = await world.serve();
    const far = new Stranger(url, { kinds: ["far.work"], host: attack, pid: 4711, version: attack.slice(0, 30) });
    await far.start();
    const page = await world.browse();
    await page.goto(`${url}/#/workers`);
    await page.locator("table", { hasText: "onerror" }).waitFor();
    await unharmed(page);
    await page.goto(`${url}/#/`);
    await page.locator(".stream[data-state=live]").waitFor();
    const active = page.getByRole("region", { name: "Active jobs" });
    for (const outcome of ["completed", "failed"]) {
        const id = await submit(url, { kind: "far.work", payload: { text: attack }, maxAttempts: 2 });
        await far.claim();
        await far.note({ progress: { percent: 10, stage: attack.slice(0, 60), message: attack }, log: [attack] });
        await page.goto(`${url}/#/`);
        await active.locator(".words", { hasText: "onerror" }).first().waitFor();
        await page.goto(`${url}/#/jobs/${id}`);
        await page.locator("section[aria-label=Progress]", { hasText: "onerror" }).waitFor();
        await page.locator("section[aria-label=Log] pre", { hasText: "onerror" }).waitFor();
        await unharmed(page);
        if (outcome === "completed") await far.settle({ outcome, result: { title: attack, [attack]: attack } });
        else await far.settle({ outcome, code: attack.slice(0, 60), message: attack });
        await page.locator(".job-head .badge").getByText(outcome).waitFor();
        const part = outcome === "completed" ? "section[aria-label=Result]" : "[aria-label='Last error']";
        await page.locator(part, { hasText: "onerror" }).waitFor();
        await unharmed(page);
        for (const raw of ["", "&p.raw=1"]) {
            await page.goto(`${url}/#/?p.view=history&p.job=${id}${raw}`);
            await page.locator(".event-words", { hasText: "onerror" }).first().waitFor();
            await unharmed(page);
        }
    }
    await far.stop();
}

async function digits(world) {
    const { url } = await world.start();
    const payload = '{"big":12345678901234567890,"small":-9223372036854775807,"float":0.1}';
    const id = await submit(url, `{"kind":"demo.echo","payload":${payload}}`);
    await waitFor(url, id, ["completed"]);
    const page = await world.browse();
    await page.goto(`${url}/#/jobs/${id}`);
    for (const part of ["Payload", "Result"]) {
        const text = await page.locator(`section[aria-label=${part}] pre`).textContent();
        assert.match(text, /"big": 12345678901234567890,/, part);
        assert.match(text, /"small": -9223372036854775807,/, part);
    }
}

export async function roles(world) {
    const tokens = { JOBRT_TOKEN_FILE: join(world.folder, "tokens") };
    const token = (role) => world.run(["token", "create", role, "--role", role], tokens);
    const [reader, operator] = [token("read"), token("operate")];
    const { url } = await world.serve(tokens);
    const bearer = { authorization: `Bearer ${operator}` };
    const id = await submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 }, bearer);
    const logIn = async (text) => {
        const page = await world.browse();
        await page.goto(url);
        await page.waitForURL(/\/login$/);
        await page.getByLabel("Access token").fill(text);
        await page.getByRole("button", { name: "Log in" }).click();
        await page.waitForURL((address) => address.pathname === "/");
        await page.locator(".stream[data-state=live]").waitFor();
        return page;
    };
    const page = await logIn(reader);
    await page.getByText("Your role may look").waitFor();
    // How to begin names the token where one is asked for.
    await page.route(/\/api\/jobs\?/, (route) => route.fulfill({ json: { ok: true, jobs: [], nextCursor: null } }));
    await page.reload();
    await page.locator("#first-curl", { hasText: "authorization: Bearer YOUR_TOKEN" }).waitFor();
    await page.unroute(/\/api\/jobs\?/);
    for (const where of ["", "jobs", `jobs/${id}`, "queues", "settings"]) {
        await page.goto(`${url}/#/${where}`);
        await page.waitForTimeout(300);
        for (const name of ["Save", /^Retry/, /^Cancel/, /^Delete/, /^Run now/, /^Switch/, /^Pause queue/, /^Resume queue/])
            assert.equal(await page.getByRole("button", { name }).count(), 0, `${where}: ${name}`);
        assert.equal(await page.getByRole("checkbox", { name: /Select/ }).count(), 0);
    }
    // Nor do keys.
    await page.goto(`${url}/#/jobs`);
    await page.keyboard.press("j");
    await page.keyboard.press("c");
    assert.equal(await page.getByRole("dialog").count(), 0);
    assert.equal((await call(url, "GET", `/api/jobs/${id}`, undefined, bearer)).json.job.status, "scheduled");

    const other = await logIn(operator);
    await other.goto(`${url}/#/jobs/${id}`);
    await other.getByRole("button", { name: "Cancel" }).click();
    await other.locator(".job-head .badge").getByText("canceled").waitFor();
    await other.goto(`${url}/#/settings`);
    await other.getByText("operate", { exact: false }).first().waitFor();
    assert.equal(await other.getByRole("button", { name: /^Switch/ }).count(), 0);
    await other.getByRole("button", { name: "Log out" }).click();
    await other.waitForURL(/\/login$/);
    world.run(["token", "revoke", reader.substr(4, 8)], tokens);
    await page.getByText("You are logged out").waitFor();
    await eventually("the log-in is offered", async () => (await page.getByRole("link", { name: "Log in" }).count()) > 0);
}

export const cases = [
    { name: "what jobs bring along is text, in every field", run: scripts },
    { name: "what a worker says of its job is text, as it comes", run: liveScripts },
    { name: "large numbers keep their digits", run: digits },
    { name: "a role that may only read has no working buttons", run: roles },
];
