import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { Stranger } from "./screens.mjs";
import { axe, call, eventually, join, picture, pictures, submit, waitFor } from "./world.mjs";

async function accessible(world) {
    const site = await world.site();
    const { url } = await world.start();
    const saved = await submit(url, { url: `${site}/page` });
    const failed = await submit(url, { kind: "demo.sleep", payload: { ms: 1, failTimes: 5 }, maxAttempts: 2, tags: ["night"] });
    await submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 });
    await submit(url, { kind: "demo.sleep", payload: { ms: 120_000, steps: 50 } });
    await waitFor(url, saved, ["completed"]);
    await waitFor(url, failed, ["failed"]);
    const screens = { home: "", jobs: "jobs?p.view=history", saved: `jobs/${saved}`, failed: `jobs/${failed}?p.job=${failed}&p.view=history`, workers: "workers", queues: "queues", settings: "settings" };
    // Wide, with what moves; the others are as whoever wants no motion sees them.
    const wide = [1920, "no-preference"];
    for (const [width, reducedMotion] of [[1280, "reduce"], [390, "reduce"], wide])
        for (const theme of width === 1920 ? ["dark"] : ["light", "dark"]) {
            const page = await world.browse({ viewport: { width, height: 900 }, colorScheme: theme, reducedMotion });
            for (const [name, where] of Object.entries(screens)) {
                await page.goto(`${url}/#/${where}`);
                await page.locator("main h1").waitFor();
                await page.getByText("Loading…").waitFor({ state: "detached" });
                await page.waitForTimeout(150);
                await axe(page, `${name}, ${theme}, ${width} px`);
                const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
                assert.ok(over <= 0, `${name} is ${over} px wider than ${width}`);
                if (width > 390) await fits(page, name);
                if (width === 1920) await usesRoom(page, name);
                await picture(page, `${name}-${theme}-${width}`);
            }
            await world.leave(page);
        }
    for (const name of Object.keys(screens))
        for (const one of ["light-1280", "dark-1280", "light-390", "dark-390", "dark-1920"]) assert.ok(existsSync(join(pictures, `${name}-${one}.png`)), `a picture of ${name}, ${one}`);
}

/** No table has to be scrolled sideways, and no word of a button or a badge is broken. */
async function fits(page, name) {
    const [tables, broken] = await page.evaluate(() => [
        [...document.querySelectorAll(".table-box")].filter((box) => box.scrollWidth > box.clientWidth).map((box) => `${box.ariaLabel}: ${box.scrollWidth} in ${box.clientWidth}`),
        [...document.querySelectorAll("main button, main .badge")].filter((one) => one.getClientRects().length > 1 || one.clientHeight > 40).map((one) => one.textContent),
    ]);
    assert.deepEqual([tables, broken], [[], []], name);
}

/** On a wide screen the panel stands beside the screen, which takes the rest; the tiles stand in one row. */
async function usesRoom(page, name) {
    const { main, panel, tiles } = await page.evaluate(() => ({
        main: document.querySelector("main").getBoundingClientRect().toJSON(),
        panel: document.querySelector("#activity").getBoundingClientRect().toJSON(),
        tiles: new Set([...document.querySelectorAll(".tile")].map((tile) => tile.offsetTop)).size,
    }));
    assert.ok(panel.left >= main.right - 1 && panel.right <= 1920 && panel.width <= 480 && main.width >= 1400, `${name}: ${JSON.stringify({ main, panel })}`);
    if (name === "home") assert.equal(tiles, 1);
}

/** Whoever wants no motion sees none: what breathes stands still, and so does the bar of a job that does not say how far it is. */
async function motion(world) {
    const { url } = await world.start();
    const far = new Stranger(url, { kinds: ["far.work"] });
    await far.start();
    const id = await submit(url, { kind: "far.work", payload: {} });
    await far.claim();
    for (const reducedMotion of ["no-preference", "reduce"]) {
        const page = await world.browse({ reducedMotion });
        await page.goto(`${url}/#/jobs/${id}`);
        const bar = page.locator("section[aria-label=Progress] progress:not([value])");
        await bar.waitFor();
        await page.locator(".phase.is-open").first().waitFor();
        // Headless Chromium paints what itself animates for a screenshot only: several show whether it has moved.
        const seen = new Set();
        for (let i = 0; i < 6; ++i) {
            seen.add((await bar.screenshot()).toString("base64"));
            await page.waitForTimeout(120);
        }
        const moving = await page.evaluate(() => document.getAnimations().map((one) => one.animationName));
        if (reducedMotion === "reduce") assert.deepEqual([moving, seen.size], [[], 1]);
        else assert.ok(moving.includes("breathe") && seen.size > 1, `${moving}, ${seen.size} pictures of the bar`);
        if (reducedMotion === "reduce") await axe(page, "a bar that stands still");
        if (reducedMotion === "reduce") await picture(page, "still");
    }
    await far.stop();
}

async function dialogs(world) {
    const { url } = await world.start();
    const id = await submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 });
    for (const theme of ["light", "dark"]) {
        const page = await world.browse({ colorScheme: theme });
        await page.goto(`${url}/#/jobs/${id}`);
        await page.getByRole("button", { name: "Delete" }).click();
        await page.getByRole("dialog").waitFor();
        await axe(page, `a question, ${theme}`);
        await page.keyboard.press("Escape");
        await page.keyboard.press("?");
        await page.getByRole("dialog").getByRole("heading", { name: "Keys" }).waitFor();
        await axe(page, `keys, ${theme}`);
        await page.keyboard.press("Escape");
        // All matching jobs, while they are counted and afterwards. As with very many of them, the count comes in slices.
        const begun = [];
        let slice;
        const next = () => new Promise((done) => (slice = done));
        let held = next();
        const sliced = { scheduled: 4_200 };
        await page.route(/counts\?.*status=/, async (route) => {
            const address = new URL(route.request().url());
            begun.push(address.searchParams.get("cursor") ?? "");
            await held;
            held = next();
            address.searchParams.delete("cursor");
            const body = await (await route.fetch({ url: String(address) })).json();
            const more = begun.length <= 2 ? { total: sliced.scheduled, counts: { ...body.counts, ...sliced }, nextCursor: `behind ${begun.length}` } : {};
            await route.fulfill({ json: { ...body, ...more } }).catch(() => undefined);
        });
        await page.goto(`${url}/#/jobs?status=scheduled`);
        await page.getByLabel("Select all on this page").check();
        await page.getByRole("button", { name: "Cancel all…" }).click();
        const question = page.getByRole("dialog");
        await question.getByText("Counting them…").waitFor();
        const agree = question.getByRole("button", { name: "Cancel all" });
        assert.ok(await agree.isDisabled());
        await axe(page, `a count, ${theme}`);
        slice();
        await question.getByText("At least 4,200 jobs so far").waitFor();
        await eventually("the next slice is asked for", () => begun.length === 2);
        assert.ok(await agree.isDisabled());
        await axe(page, `a count that goes on, ${theme}`);
        slice();
        await question.getByText("At least 8,400 jobs so far").waitFor();
        await eventually("the last slice is asked for", () => begun.length === 3);
        slice();
        await question.getByText("Cancel all 8,401 matching jobs?").waitFor();
        assert.equal(await question.getByText("so far").count(), 0);
        assert.ok(await question.getByRole("button", { name: "Cancel 8,401" }).isEnabled());
        assert.deepEqual(begun, ["", "behind 1", "behind 2"]);
        await axe(page, `a count that is known, ${theme}`);
        await question.getByRole("button", { name: "Go back" }).click();
        await question.waitFor({ state: "detached" });
        // Who goes back while it counts has it stop: nothing more is asked.
        begun.length = 0;
        await page.getByRole("button", { name: "Cancel all…" }).click();
        await eventually("it counts again", () => begun.length === 1);
        slice();
        await question.getByText("At least 4,200 jobs so far").waitFor();
        await eventually("the next slice is asked for", () => begun.length === 2);
        await question.getByRole("button", { name: "Go back" }).click();
        await question.waitFor({ state: "detached" });
        slice();
        await page.waitForTimeout(200);
        assert.equal(begun.length, 2);
        await page.unroute(/counts\?.*status=/);
        // Nor has who goes Back in the browser agreed; there is no question about what is not behind it any more.
        await page.getByRole("button", { name: "Cancel all…" }).click();
        await question.getByText("Cancel all 1 matching job?").waitFor();
        await page.goBack();
        await page.locator(".job-head h1").waitFor();
        await question.waitFor({ state: "detached" });
        assert.equal((await call(url, "GET", `/api/jobs/${id}`)).json.job.status, "scheduled");
    }
}

/** The log-in page, also after a wrong token; a server that has no job yet; and a list of which some are selected. */
async function besides(world) {
    const tokens = { JOBRT_TOKEN_FILE: join(world.folder, "tokens") };
    const token = world.run(["token", "create", "ada", "--role", "operate"], tokens);
    const { url } = await world.start(tokens);
    const pages = [];
    for (const width of [1280, 390])
        for (const theme of ["light", "dark"]) {
            const page = await world.browse({ viewport: { width, height: 900 }, colorScheme: theme });
            const check = async (what) => {
                const name = `${what}-${theme}-${width}`;
                await axe(page, name);
                const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
                assert.ok(over <= 0, `${name} is ${over} px wider`);
                await picture(page, name);
            };
            await page.goto(url);
            await page.waitForURL(/\/login$/);
            await check("log-in");
            await page.getByLabel("Access token").fill("jrt_wrong");
            await page.getByRole("button", { name: "Log in" }).click();
            await page.getByRole("alert").waitFor();
            await check("log-in-refused");
            await page.getByLabel("Access token").fill(token);
            await page.getByRole("button", { name: "Log in" }).click();
            await page.waitForURL((address) => address.pathname === "/");
            for (const where of ["", "jobs"]) {
                await page.goto(`${url}/#/${where}`);
                await page.locator("#first-curl").waitFor();
                await page.locator(".stream[data-state=live]").waitFor();
                await check(`empty-${where || "home"}`);
            }
            pages.push({ page, check });
        }
    for (let i = 0; i < 3; ++i) await submit(url, { kind: "demo.echo", payload: { i }, delayMs: 3_600_000 }, { authorization: `Bearer ${token}` });
    for (const { page, check } of pages) {
        await page.locator("table.jobs tbody tr").nth(2).waitFor();
        for (const key of ["j", "x", "j", "x"]) await page.keyboard.press(key);
        await page.getByText("2 selected").waitFor();
        await check("selection");
    }
}

/** Before jobrt, under a path of its own. */
async function prefixed(world) {
    const tokens = { JOBRT_TOKEN_FILE: join(world.folder, "tokens") };
    const token = world.run(["token", "create", "ada", "--role", "operate"], tokens);
    const { url, port } = await world.start(tokens);
    const proxy = createServer((request, response) => {
        if (!request.url.startsWith("/ours/")) {
            response.writeHead(404).end();
            return;
        }
        const onward = httpRequest({ port, host: "127.0.0.1", method: request.method, path: request.url.slice(5), headers: request.headers }, (answer) => {
            response.writeHead(answer.statusCode, answer.headers);
            answer.pipe(response);
        });
        onward.on("error", () => response.destroy());
        response.on("close", () => onward.destroy());
        request.pipe(onward);
    });
    await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
    world.servers.push(proxy);
    const page = await world.browse();
    await page.goto(`http://127.0.0.1:${proxy.address().port}/ours/`);
    await page.getByLabel("Access token").fill(token);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("link", { name: "Jobs", exact: true }).click();
    const id = await submit(url, { kind: "demo.sleep", payload: { ms: 60_000 } }, { authorization: `Bearer ${token}` });
    await page.locator(`a.job-link[href*="${id}"]`).click();
    await page.locator(".job-head .badge").getByText("running").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.locator(".job-head .badge").getByText("canceled").waitFor();
    await page.locator(".stream[data-state=live]").waitFor();
    assert.equal(new URL(page.url()).pathname, "/ours/");
}

/** What works on the dashboard sees: its sources, and the API behind them. */
async function developed(world) {
    const site = await world.site();
    const { url } = await world.start();
    const front = await world.develop(url);
    const page = await world.browse();
    await page.goto(front);
    await page.getByLabel("Save a video").fill(`${site}/page`);
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.locator(".job-head .badge").getByText("completed").waitFor({ timeout: 40_000 });
    await eventually("the video is there", () => page.locator("video").evaluate((video) => video.readyState >= 1));
    await page.locator(".stream[data-state=live]").waitFor();
    // Other files of the machine are not its business, nor are its own that of a page of another origin.
    for (const path of [join(world.folder, "clip.mp4"), join(process.cwd(), "package.json")]) assert.equal((await fetch(`${front}/@fs${path}?raw`)).status, 403, path);
    const own = await fetch(`${front}/src/main.tsx`, { headers: { origin: "http://elsewhere.example" } });
    assert.deepEqual([own.status, own.headers.get("access-control-allow-origin")], [200, null]);
}

/** A page of another origin changes nothing through it either; the dashboard's own may. */
async function guardedWhileDeveloped(world) {
    const site = await world.site();
    const { url } = await world.start({ ROLE: "api" });
    const front = await world.develop(url);
    const own = { origin: front, "sec-fetch-site": "same-origin" };
    const job = () => submit(url, { kind: "demo.echo", payload: {}, delayMs: 3_600_000 });
    const count = async () => (await call(url, "GET", "/api/jobs/counts")).json.total;
    const id = await job();
    const changes = [
        ["POST", "/api/jobs", { kind: "demo.echo", payload: {}, delayMs: 3_600_000 }, 201],
        ["POST", "/api/jobs/bulk", { action: "cancel", ids: [await job()] }, 200],
        ["POST", `/api/jobs/${id}/cancel`, undefined, 200],
        ["DELETE", `/api/jobs/${id}`, undefined, 200],
        ["POST", "/api/queues/default/pause", undefined, 200],
        ["PATCH", "/api/capabilities", { platforms: { x: false } }, 200],
        ["POST", "/logout", undefined, 200],
    ];
    const foreign = [
        { origin: "http://elsewhere.example" },
        { origin: "null" },
        { origin: site },
        { origin: front.replace("127.0.0.1", "localhost") },
        { origin: "http://elsewhere.example", "sec-fetch-site": "cross-site" },
        { origin: site, "sec-fetch-site": "same-site" },
    ];
    for (const [method, path, body, status] of changes) {
        const there = await count();
        for (const headers of foreign) {
            const refused = await call(front, method, path, body, headers);
            assert.deepEqual([refused.status, refused.json.code], [403, "FORBIDDEN"], `${method} ${path} ${JSON.stringify(headers)}`);
        }
        assert.equal(await count(), there);
        assert.equal((await call(front, method, path, body, own)).status, status, `${method} ${path}`);
    }
    // As a browser does it: what needs no leave of ours to be sent, and what does.
    const before = await count();
    const page = await world.browse();
    await page.goto(`${site}/page`);
    const send = (options) => page.evaluate(([to, more]) => fetch(to, { method: "POST", body: '{"kind":"demo.echo"}', ...more }).then(({ type }) => type, () => "refused"), [`${front}/api/jobs`, options]);
    assert.equal(await send({ mode: "no-cors" }), "refused"); // It was sent; the answer is not for that page.
    assert.equal(await send({ headers: { "content-type": "application/json" } }), "refused");
    assert.equal(await count(), before);
    await page.goto(front);
    assert.equal(await send({ headers: { "content-type": "application/json" } }), "basic");
    assert.equal(await count(), before + 1);
}

/** In a zone that is no hour and nobody else's: +05:45. */
async function localTimes(world) {
    const { url } = await world.start();
    const at = new Date(Date.now() + 86_400_000);
    const id = await submit(url, { kind: "demo.echo", payload: {}, runAt: at.toISOString() });
    const page = await world.browse({ timezoneId: "Asia/Kathmandu", locale: "en-GB" });
    const local = (time) => new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Kathmandu", hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(time);
    const utc = (time) => `${time.toISOString().replace("T", " ").replace("Z", "")} UTC`;
    const shown = async (place, time) => {
        const found = place.locator(`time[title="${utc(time)}"]`).first();
        await found.waitFor();
        assert.ok((await found.textContent()).endsWith(local(time)), await found.textContent());
    };
    // What a handler logs is said by the log of a job, here by a server that made it up.
    const logged = new Date("2026-03-01T22:00:01.250Z");
    await page.route(/\/api\/telemetry\?.*jobId/, async (route) => {
        const answer = await route.fetch();
        const { events, ...more } = await answer.json();
        const line = { id: 1, ts: logged.toISOString(), event: "worker.job.log", level: "info", jobId: id, message: "a line of the log" };
        return route.fulfill({ response: answer, json: { ...more, events: [line, ...events] } });
    });
    await page.goto(`${url}/#/jobs/${id}`);
    await page.locator(".waits").getByText("Waits: waits until").waitFor();
    await shown(page.locator(".waits"), at);
    const log = page.locator("section[aria-label=Log]");
    await log.getByText("info a line of the log").waitFor();
    await shown(log, logged);
    assert.match(await log.locator("time").textContent(), /2 Mar 2026/);
    await page.goto(`${url}/#/jobs?p.view=history`);
    await shown(page.locator("table.jobs .job-name"), at);
    const [made] = (await (await fetch(`${url}/api/telemetry?jobId=${id}`)).json()).events;
    await shown(page.locator(".event"), new Date(made.ts));
    // No time of the API's own stands on the page as it came.
    assert.doesNotMatch(await page.locator("body").innerText(), /\dT\d\d:/);
}

async function caching(world) {
    const { url } = await world.start();
    const page = await world.browse();
    const parts = [];
    page.on("response", (response) => response.url().includes("/assets/") && parts.push(response));
    await page.goto(url);
    await eventually("script, style and icon", () => parts.length >= 2);
    for (const part of parts) {
        const headers = await part.allHeaders();
        assert.equal(headers["content-encoding"], "gzip", part.url());
        assert.match(headers["cache-control"], /immutable/);
        assert.match(headers["content-security-policy"], /default-src 'none'/);
    }
    const first = await fetch(`${url}/`);
    const tag = first.headers.get("etag");
    assert.match(first.headers.get("content-type"), /text\/html; charset=utf-8/);
    assert.doesNotMatch(await first.text(), /<script>|style=|onclick/);
    assert.equal((await fetch(`${url}/`, { headers: { "if-none-match": tag } })).status, 304);
    assert.equal((await fetch(`${url}/assets/none.js`)).status, 404);
}

export const cases = [
    { name: "axe finds nothing, in both themes and at each width", run: accessible },
    { name: "nothing moves for whoever wants no motion", run: motion },
    { name: "axe finds nothing in dialogs", run: dialogs },
    { name: "axe finds nothing at the log-in, at the start, and in a selection", run: besides },
    { name: "it works under a path of a proxy", run: prefixed },
    { name: "the development server passes requests and the stream on", run: developed },
    { name: "through the development server no page of another origin changes anything", run: guardedWhileDeveloped },
    { name: "times are local, with UTC in the title", run: localTimes },
    { name: "what it is made of is compressed and kept", run: caching },
];
