// What stands on the screens of workers, queues, settings and a job is what the API answers.
import assert from "node:assert/strict";
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { axe, call, eventually, join, submit, waitFor } from "./world.mjs";

const table = (page, name) => page.getByRole("region", { name, exact: true }).locator("table");
/** The texts of a table's cells, each as one line. */
const cells = (rows) => rows.evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.innerText.replace(/\s+/g, " ").trim())));
const get = async (url, path) => (await call(url, "GET", path)).json;

/** A worker in another language, as the API's protocol has it. It beats until it is told to stop. */
export class Stranger {
    constructor(url, facts) {
        this.url = url;
        this.facts = facts;
    }

    async ask(verb, body) {
        const { status, json } = await call(this.url, "POST", `/api/worker/${verb}`, body);
        assert.ok(status < 300, `${verb}: ${status} ${JSON.stringify(json)}`);
        return json;
    }

    async start() {
        const begun = await this.ask("beat", this.facts);
        this.session = begun.session;
        this.timer = setInterval(() => void this.ask("beat", { ...this.facts, session: this.session }).catch(() => undefined), begun.beatMs);
    }

    async stop() {
        clearInterval(this.timer);
        await this.ask("beat", { ...this.facts, session: this.session, stopped: true });
    }

    /** The next job of the kind, once it is due. */
    async claim() {
        const { jobs } = await this.ask("claim", { session: this.session, kinds: this.facts.kinds, wait: "20s" });
        assert.equal(jobs.length, 1);
        this.holds = { jobId: jobs[0].id, fence: jobs[0].fence };
    }

    note(more) {
        return this.ask("note", { ...this.holds, ...more });
    }

    settle(more) {
        return this.ask("settle", { ...this.holds, ...more });
    }
}

async function workers(world) {
    const { url } = await world.start({ ROLE: "api" });
    await world.start({ ROLE: "worker", JOBRT_CONCURRENCY: "3" });
    const stranger = new Stranger(url, { kinds: ["far.work", "far.play"], queues: ["elsewhere"], host: "a-far-box", pid: 4711, version: "9.9.9", running: 2 });
    const plain = new Stranger(url, { kinds: ["far.sweep"], host: "another-box", pid: 4712, version: "9.9.8" });
    await stranger.start();
    await plain.start();
    const runs = await submit(url, { kind: "demo.sleep", payload: { ms: 120_000, steps: 50 } });
    await waitFor(url, runs, ["running"]);
    const page = await world.browse();
    await page.goto(`${url}/#/workers`);
    const [shown, known] = await eventually("as many rows as workers, and the job runs at one of them", async () => {
        const { workers } = await get(url, "/api/workers");
        const rows = await cells(table(page, "Workers").locator("tbody tr"));
        return rows.length === 3 && rows.some((row) => row[3] === "1") && [rows, workers];
    });
    for (const worker of known) {
        const row = shown.find((cells) => cells[1].startsWith(`${worker.host} · pid ${worker.pid}`));
        assert.ok(row, `${worker.host} in ${JSON.stringify(shown)}`);
        assert.equal(row[0], "✓ lives");
        assert.ok(row[1].includes(`version ${worker.version}`) && row[1].includes(worker.id.slice(-8)), row[1]);
        for (const missing of worker.details.missing ?? []) assert.ok(row[1].includes("misses ") && row[1].includes(Object.values(missing)[0]), row[1]);
        assert.equal(row[2], worker.role);
        assert.equal(row[5], worker.kinds.join(", "));
        assert.match(row[6], /^[\d.]+ m?s ago$/);
        const places = worker.queues.map((queue) => `${queue} · ${worker.details.concurrency?.[queue] ?? "?"} at once`).join(" ");
        assert.equal(row[4], places);
    }
    const of = (host) => shown.find((cells) => cells[1].startsWith(host));
    assert.deepEqual([of("a-far-box")[3], of("a-far-box")[4], of("another-box")[4]], ["2", "elsewhere · ? at once", "default · ? at once"]);
    const own = known.find((worker) => worker.kinds.includes("demo.sleep"));
    assert.equal(of(own.host)[4].match(/default · (\d+) at once/)[1], String(own.details.concurrency.default));
    // Who ends leaves the list, and the tile of Home.
    await stranger.stop();
    await plain.stop();
    await page.getByText("a-far-box").waitFor({ state: "detached" });
    assert.equal(await table(page, "Workers").locator("tbody tr").count(), 1);
    await page.goto(`${url}/#/`);
    const tile = page.locator(".tile", { hasText: "workers" });
    await tile.getByText("1 job runs").waitFor();
    // A program of one's own need not say what it serves; that is everything.
    await page.route(/\/api\/workers$/, (route) => route.fulfill({ json: { ok: true, workers: [{ ...own, queues: [], kinds: [] }] } }));
    await page.goto(`${url}/#/workers`);
    await eventually("it serves everything", async () => {
        const [row] = await cells(table(page, "Workers").locator("tbody tr"));
        return row?.[4] === "every queue" && row[5] === "every kind";
    });
}

async function queues(world) {
    const { url } = await world.start();
    for (let i = 0; i < 3; ++i) await submit(url, { kind: "demo.echo", queue: "elsewhere", payload: { i } });
    await submit(url, { kind: "demo.echo", queue: "elsewhere", payload: {}, delayMs: 3_600_000 });
    const done = await submit(url, { kind: "demo.echo", payload: {} });
    const fails = await submit(url, { kind: "demo.sleep", payload: { ms: 0, failTimes: 1 }, maxAttempts: 1 });
    await waitFor(url, done, ["completed"]);
    await waitFor(url, fails, ["failed"]);
    const page = await world.browse();
    await page.goto(`${url}/#/queues`);
    const states = ["queued", "running", "scheduled", "failed", "completed", "canceled"];
    const all = (await get(url, "/api/queues")).queues;
    await eventually("each queue's row is what the API says", async () => {
        const rows = await cells(table(page, "Queues").locator("tbody tr"));
        const wanted = all.map((one) => [one.queue, ...states.map((state) => String(one.counts[state])), `${one.workers} ${one.workers > 0 && one.concurrency === 0 ? "–" : `${one.concurrency} at once`}`]);
        const seen = rows.map((row) => [row[0], ...row.slice(2, 8), row[9]]);
        return JSON.stringify(seen) === JSON.stringify(wanted);
    });
    const row = (name) => table(page, "Queues").locator("tr", { has: page.getByRole("rowheader", { name, exact: true }) });
    const [far] = await cells(row("elsewhere"));
    assert.deepEqual([far[1].slice(0, 6), far[2], far[4], far[9]], ["✓ open", "3", "1", "0 0 at once"]);
    assert.match(far[8], /^[\d.]+ (ms|s)$/);
    assert.ok((await cells(row("default")))[0][8] === "–");
    // A number leads to its jobs.
    await row("elsewhere").getByRole("link", { name: "3", exact: true }).click();
    await page.waitForURL(/queue=elsewhere.*status=queued|status=queued.*queue=elsewhere/);
    await eventually("the three of them", async () => (await page.locator("table.jobs tbody tr").count()) === 3);
    // Home has the same in its tiles, and says by more than a colour which is bad.
    await page.goto(`${url}/#/`);
    const { counts } = await get(url, "/api/jobs/counts");
    const tile = (name) => page.locator(".tile", { has: page.locator(".tile-name", { hasText: new RegExp(`^${name}`) }) });
    await eventually("the tiles say what the API counts", async () => {
        const seen = await Promise.all(states.map(async (state) => [state, await tile(state).locator(".tile-value").textContent({ timeout: 1000 }).catch(() => "")]));
        return JSON.stringify(seen) === JSON.stringify(states.map((state) => [state, String(counts[state])]));
    });
    assert.deepEqual([counts.queued, counts.scheduled, counts.failed, counts.completed, counts.canceled], [3, 1, 1, 1, 0]);
    await tile("failed").getByRole("img", { name: "bad" }).waitFor();
    assert.equal(await tile("completed").getByRole("img").count(), 0);
    await tile("failure rate").getByText("50 %").waitFor();
    assert.match(await tile("oldest waits").locator(".tile-value").textContent(), /^[\d.]+ (ms|s)$/);
    await tile("canceled").click();
    await page.waitForURL(/status=canceled/);
}

async function settings(world) {
    const site = await world.site();
    const { url } = await world.start({ ENABLE_TIKTOK: "false" });
    const page = await world.browse();
    await page.goto(`${url}/#/settings`);
    const names = { x: "X", tiktok: "TikTok", web: "Any other page" };
    const row = (name) => page.locator("tr", { has: page.getByRole("rowheader", { name: names[name], exact: true }) });
    const text = async (name) => (await cells(row(name)))[0];
    await row("web").waitFor();
    const { platforms } = await get(url, "/api/capabilities");
    assert.deepEqual(Object.keys(platforms).sort(), Object.keys(names).sort());
    for (const [name, platform] of Object.entries(platforms)) assert.equal((await text(name))[1], platform.enabled ? "✓ on" : "⊘ off", name);
    assert.match((await text("tiktok"))[2], /switched off by the environment of this process/);
    assert.ok(await row("tiktok").getByRole("button", { name: "Switch TikTok on" }).isDisabled());
    // No worker has a log-in here, and each names the machine it is on.
    const logins = await eventually("the worker says it", async () => ((all) => all.length > 0 && all)((await get(url, "/api/capabilities")).platforms.x.logins ?? []));
    assert.equal(logins[0].loggedIn, false);
    await row("x").getByText(`on ${logins[0].host}`).waitFor();
    await row("x").getByText("jobrt auth bootstrap x").waitFor();
    assert.equal((await text("web"))[4], "–");

    await row("web").getByRole("button", { name: "Switch Any other page off" }).click();
    await row("web").getByText("⊘ off").waitFor();
    await row("web").getByText("as set here, for all processes").waitFor();
    assert.equal((await get(url, "/api/capabilities")).platforms.web.enabled, false);
    const refused = await call(url, "POST", "/api/jobs", { url: `${site}/page` });
    assert.equal(refused.json.code, "PLATFORM_DISABLED", JSON.stringify(refused));
    await row("web").getByRole("button", { name: "Switch Any other page on" }).click();
    await row("web").getByText("✓ on").waitFor();

    const facts = () => page.locator("section[aria-label=About] dl > div").evaluateAll((all) => Object.fromEntries(all.map((one) => [one.children[0].textContent, one.children[1].textContent])));
    const status = await get(url, "/api/status");
    const about = await facts();
    assert.deepEqual(
        [about["Version"], about["Role of this process"], about["Store"], about["Downloads"], about["Processes on this store"], about["You"]],
        [status.version, "combined", status.store, status.downloadDir, "1", "everybody who reaches this address may do everything"],
    );
    assert.match(await page.locator("section[aria-label=About] time").getAttribute("title"), new RegExp(`^${status.startedAt.slice(0, 10)} .* UTC$`));
    const other = new Stranger(url, { kinds: ["far.work"], host: "a-far-box", version: "9.9.9" });
    await other.start();
    await eventually("another version is said", async () => (await facts())["Processes on this store"] === `2, of different versions: ${[...new Set((await get(url, "/api/status")).sessions.map((one) => one.version))].join(", ")}`);
    await other.stop();
    const licenses = await page.request.get(`${url}/assets/third-party.txt`);
    assert.ok(licenses.ok() && /preact/i.test(await licenses.text()));
}

/** On a telephone the platforms' rows are cards: all of it is read without scrolling sideways, and a table it is to whoever listens. */
async function narrowSettings(world) {
    const { url } = await world.start();
    for (const [width, stacked] of [[390, true], [320, true], [1280, false]]) {
        const page = await world.browse({ viewport: { width, height: 900 } });
        await page.goto(`${url}/#/settings`);
        const box = page.getByRole("region", { name: "Platform settings" });
        await box.getByText("jobrt auth bootstrap x").first().waitFor();
        const over = await box.evaluate((box) => {
            const { left, right } = box.getBoundingClientRect();
            const outside = [...box.querySelectorAll("tbody *")].filter((one) => [...one.getClientRects()].some((at) => at.left < left - 1 || at.right > right + 1));
            return [box.scrollWidth - box.clientWidth, outside.map((one) => one.textContent)];
        });
        assert.deepEqual(over, [0, []], `${width} px`);
        const row = box.locator("tbody tr").first();
        const [name, state] = [await row.locator("th").boundingBox(), await row.locator("td").first().boundingBox()];
        assert.equal(state.y >= name.y + name.height - 1, stacked, `${width} px`);
        assert.equal(await box.locator("td").last().evaluate((cell) => getComputedStyle(cell, "::before").content.startsWith('"Log-in"')), stacked);
        // As the browser tells it to whoever listens.
        const asked = await page.context().newCDPSession(page);
        const { nodes } = await asked.send("Accessibility.getFullAXTree");
        const table = nodes.find((node) => node.role?.value === "table" && node.childIds?.length);
        const below = (node) => node.childIds.map((id) => nodes.find((one) => one.nodeId === id)).flatMap((one) => [one, ...below(one)]);
        const said = below(table).filter((node) => !node.ignored);
        const of = (role) => said.filter((node) => node.role?.value === role).map((node) => node.name?.value);
        assert.deepEqual(of("columnheader"), ["Platform", "State", "Why", "Change", "Log-in"], `${width} px`);
        assert.deepEqual(of("rowheader").sort(), ["Any other page", "TikTok", "X"]);
        assert.deepEqual([of("row").length, of("cell").length], [4, 12]);
        assert.ok(!of("cell").some((name) => name.startsWith("State")), String(of("cell")));
        await axe(page, `settings, ${width} px`);
        await world.leave(page);
    }
}

/** Progress, log, errors, and why it waits, of a job that another language's worker runs. */
async function lifeOfAJob(world) {
    const { url } = await world.start();
    const far = new Stranger(url, { kinds: ["far.work"], queues: ["default"], host: "a-far-box", pid: 4711 });
    const payload = { platform: "x", text: "hello" };
    const id = await submit(url, { kind: "far.work", payload, maxAttempts: 3 });
    const page = await world.browse();
    await page.goto(`${url}/#/jobs/${id}`);
    const badge = page.locator(".job-head .badge").first();
    const waits = page.locator(".waits");
    await waits.getByText("Waits: no live worker has a handler for far.work").waitFor();
    await far.start();
    await waits.getByText("Waits: next in line").waitFor({ timeout: 20_000 });

    await far.claim();
    await badge.getByText("running").waitFor();
    await waits.waitFor({ state: "detached" });
    await far.note({ progress: { percent: 42.4, stage: "greet", message: "half of them" }, log: ["the first line", "the second line"] });
    const progress = page.locator("section[aria-label=Progress]");
    await progress.getByText(/^greet · 42 % · half of them · runs for [\d.]+ m?s/).waitFor();
    assert.equal(await progress.locator("progress").getAttribute("value"), "42.4");
    const log = page.locator("section[aria-label=Log] pre");
    await log.getByText("the second line").waitFor();
    assert.deepEqual((await log.innerText()).trim().split("\n").map((line) => line.replace(/^.*?(info .*)$/, "$1")), ["info the first line", "info the second line"]);
    await page.locator("section[aria-label=Facts]").getByRole("link", { name: `…${far.session.slice(-8)}` }).waitFor();
    // In the panel and in the list, too.
    await page.getByRole("region", { name: "Active jobs" }).getByText(/greet, 42 %, half of them|the second line/).waitFor();
    assert.equal(await page.getByRole("button", { name: "Delete" }).count(), 0);

    await far.settle({ outcome: "snooze", afterMs: 1500, message: "the other side sleeps" });
    await badge.getByText("scheduled").waitFor();
    await waits.getByText(/^Waits: waits until .*: the other side sleeps$/).waitFor();
    await progress.waitFor({ state: "detached" });
    await far.claim();
    await far.settle({ outcome: "retry", code: "NOT_YET", message: "the first error", afterMs: 100 });
    await page.locator("[aria-label='Last error']").getByText("NOT_YET the first error").waitFor();
    await far.claim();
    await far.note({ log: ["a later line"] });
    await far.settle({ outcome: "failed", code: "AUTH_REQUIRED", message: "the last error" });
    await badge.getByText("failed").waitFor();
    const failure = page.locator("[aria-label='Last error']");
    await failure.getByText("AUTH_REQUIRED the last error").waitFor();
    await failure.locator("code", { hasText: "jobrt auth bootstrap x" }).waitFor();
    const { job } = await get(url, `/api/jobs/${id}`);
    assert.deepEqual(job.errors.map((error) => error.code), ["NOT_YET", "AUTH_REQUIRED"]);
    await page.getByRole("heading", { name: "2 errors" }).waitFor();
    const errors = table(page, "Errors by attempt").locator("tbody tr");
    const utc = (time) => `${time.replace("T", " ").replace("Z", "")} UTC`;
    assert.deepEqual((await cells(errors)).map(([attempt, , code, message]) => [attempt, code, message]), [...job.errors].reverse().map((error) => [String(error.attempt), error.code, error.message]));
    assert.deepEqual(await errors.locator("time").evaluateAll((all) => all.map((one) => one.title)), [...job.errors].reverse().map((error) => utc(error.at)));
    await log.getByText("a later line").waitFor();
    const logs = await page.locator("section[aria-label=Log]").evaluate((one) => [...one.querySelectorAll("h3, pre")].map((part) => part.textContent.replace(/^.*?info /gm, "").trim()));
    assert.deepEqual(logs, ["Attempt 1", "the first line\nthe second line", `Attempt ${job.errors[1].attempt}`, "a later line"]);
    await eventually("each attempt has its end in the timeline", async () => {
        const ends = (await cells(page.locator(".phases tbody tr"))).map((row) => row.at(-1));
        return ends.join(" ") === "snoozed tries again failed";
    });
    const facts = await page.locator("section[aria-label=Facts] dl > div").evaluateAll((all) => Object.fromEntries(all.map((one) => [one.children[0].textContent, one.children[1].innerText.trim()])));
    assert.deepEqual([facts["Queue"], facts["Priority"], facts["Attempt"]], [job.queue, String(job.priority), `${job.attempt} of ${job.maxAttempts}`]);
    assert.deepEqual(JSON.parse(await page.locator("section[aria-label=Payload] pre").textContent()), payload);
    await far.stop();
}

/** In the list and on its own page a job says why it waits in the API's words. */
async function whyItWaits(world) {
    const { url } = await world.start({ JOBRT_CONCURRENCY: "2" });
    await call(url, "POST", "/api/queues/held/pause");
    const runs = [];
    for (let i = 0; i < 2; ++i) runs.push(await submit(url, { kind: "demo.sleep", payload: { ms: 120_000, steps: 50 } }));
    for (const id of runs) await waitFor(url, id, ["running"]);
    const all = {
        "no live worker serves queue nowhere": { kind: "demo.echo", queue: "nowhere" },
        "no live worker has a handler for not.known": { kind: "not.known" },
        "all 2 places of queue default are busy": { kind: "demo.echo" },
        "queue held is paused": { kind: "demo.echo", queue: "held" },
    };
    const page = await world.browse();
    await page.goto(`${url}/#/jobs`);
    for (const [words, body] of Object.entries(all)) {
        const id = await submit(url, { payload: {}, ...body });
        await eventually(`the API says: ${words}`, async () => (await get(url, `/api/jobs/${id}`)).job.waitingFor === words);
        await page.goto(`${url}/#/jobs`);
        await page.locator("tr", { has: page.locator(`a[href$="${id}"]`) }).getByText(words).waitFor();
        await page.goto(`${url}/#/jobs/${id}`);
        await page.locator(".waits").getByText(`Waits: ${words}`, { exact: true }).waitFor();
    }
}

/** A download that takes its time says how fast it is, and how long it will take. */
async function speed(world) {
    await world.site(); // Makes the clip.
    const clip = join(world.folder, "clip.mp4");
    const { size } = statSync(clip);
    const slow = createServer((request, response) => {
        if (!request.url.startsWith("/clip.mp4")) {
            response.writeHead(200, { "content-type": "text/html" });
            response.end('<title>Slow</title><video src="/clip.mp4" controls></video>');
            return;
        }
        const [, from = "0"] = request.headers.range?.match(/bytes=(\d+)-/) ?? [];
        const start = Number(from);
        response.writeHead(request.headers.range ? 206 : 200, { "content-type": "video/mp4", "content-length": size - start, ...(request.headers.range ? { "content-range": `bytes ${start}-${size - 1}/${size}` } : {}) });
        const file = createReadStream(clip, { start, highWaterMark: Math.ceil(size / 20) });
        file.on("data", (part) => {
            file.pause();
            response.write(part);
            setTimeout(() => file.resume(), 300);
        });
        file.on("end", () => response.end());
        response.on("close", () => file.destroy());
    });
    await new Promise((done) => slow.listen(0, "127.0.0.1", done));
    world.servers.push(slow);
    const { url } = await world.start();
    const id = await submit(url, { url: `http://127.0.0.1:${slow.address().port}/page` });
    const page = await world.browse();
    await page.goto(`${url}/#/jobs/${id}`);
    const words = page.locator("section[aria-label=Progress] p");
    await words.getByText(/ · [\d.]+ (B|kB)\/s · [\d.]+ m?s left · runs for /).waitFor();
    const said = await words.textContent();
    assert.match(said, /^download\S* · \d+ % · /, said);
    await page.locator(".job-head .badge").getByText("completed").waitFor({ timeout: 30_000 });
}

export const cases = [
    { name: "workers: each one, what it runs and may run", run: workers },
    { name: "queues: what the API counts, and the way to the jobs", run: queues },
    { name: "settings: platforms, log-ins, versions", run: settings },
    { name: "settings on a telephone: a table without scrolling sideways", run: narrowSettings },
    { name: "a job: why it waits, progress, log, errors and what helps", run: lifeOfAJob },
    { name: "why a job waits, in the API's words", run: whyItWaits },
    { name: "a download says how fast it is and how long it takes", run: speed },
];
