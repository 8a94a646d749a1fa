// What the tests of the dashboard run against: real jobrt processes in a folder of their own, a site with a video on
// loopback, and the system's Chromium. Everything ends and goes with close().
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { chromium } from "playwright-core";

export const isRoot = process.getuid?.() === 0;
const browserPaths = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
export const browserPath = browserPaths.find((path) => existsSync(path));
// The sources are links in the folder in which this runs.
const toolsDev = join(realpathSync("e2e"), "../../../tools/dev");

export async function eventually(what, check, ms = 60_000) {
    const end = Date.now() + ms;
    for (;;) {
        const value = await check();
        if (value) return value;
        if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
        await new Promise((done) => setTimeout(done, 50));
    }
}

/** Whether nobody listens on that port of loopback. */
function isFree(port) {
    const probe = createServer();
    return new Promise((done) => {
        probe.on("error", () => done(false));
        probe.listen(port, "127.0.0.1", () => probe.close(() => done(true)));
    });
}

/** Below those that the system hands out: nobody gets it before it is used, nor while its server begins anew. */
export async function freePort() {
    for (;;) {
        const port = 32_000 + Math.floor(Math.random() * 768);
        if (await isFree(port)) return port;
    }
}

/** Started by us; whatever becomes of this program, they end with it. */
const running = new Set();
process.on("exit", () => {
    for (const child of running) child.kill("SIGKILL");
});

export class World {
    /**
     * `store` has the variables that name another store than a SQLite file, and `takeAway` takes that away until what it answers
     * is called; `split`: API and worker are two processes; `done` is called when all has ended.
     */
    constructor({ store = {}, takeAway, split = false, done } = {}) {
        this.store = store;
        this.done = done;
        this.takeAway = takeAway ?? (() => this.lockFile());
        this.split = split;
        this.folder = mkdtempSync(join(tmpdir(), "jobrt-dashboard."));
        this.programs = new Set();
        this.servers = [];
        this.pages = [];
    }

    environment(more = {}) {
        const folder = this.folder;
        return {
            PATH: process.env.PATH,
            HOME: folder,
            PORT: "0",
            JOBRT_STORE: `sqlite:${join(folder, "jobs.db")}`,
            JOBRT_DOWNLOAD_DIR: join(folder, "downloads"),
            PLAYWRIGHT_USER_DATA_DIR: join(folder, "profile"),
            PLAYWRIGHT_SETTLE_MS: "300",
            JOBRT_ALLOW_NETS: "127.0.0.0/8",
            JOBRT_HEARTBEAT_MS: "300",
            JOBRT_LEASE_MS: "1000",
            JOBRT_STALE_MS: "3000",
            JOBRT_GRACE_MS: "500",
            ...(isRoot ? { JOBRT_BROWSER_NO_SANDBOX: "1" } : {}),
            ...this.store,
            ...more,
        };
    }

    /** A program whose output is collected, and which ends with the world. */
    collect(child) {
        const program = { child, out: "", err: "", ended: new Promise((done) => child.on("exit", done)) };
        this.programs.add(program);
        running.add(child);
        child.on("exit", () => running.delete(child));
        child.stdout.on("data", (text) => (program.out += text));
        child.stderr.on("data", (text) => (program.err += text));
        return program;
    }

    async until(program, what, check) {
        const said = () => `${program.out}${program.err}`;
        await eventually(what, () => check() || program.child.exitCode !== null, 20_000).catch((error) => {
            throw new Error(`${error.message}; it said: ${said()}`);
        });
        if (!check()) throw new Error(`not ${what}: it ended with ${program.child.exitCode}: ${said()}`);
    }

    /** A jobrt that is ready; `url` is where it serves. */
    async start(more = {}) {
        const program = this.collect(spawn(process.env.JOBRT_PROGRAM, [], { cwd: this.folder, env: this.environment(more), stdio: ["ignore", "pipe", "pipe"] }));
        await this.until(program, "jobrt is ready", () => program.out.includes("\n"));
        const ready = JSON.parse(program.out.split("\n")[0]);
        program.url = ready.http?.[0];
        program.port = program.url ? new URL(program.url).port : undefined;
        return program;
    }

    /** The whole runtime, in one process or two; its API. */
    async serve(more = {}) {
        if (this.split) this.worker = await this.start({ ROLE: "worker", ...more });
        return this.start({ ...(this.split ? { ROLE: "api" } : {}), ...more });
    }

    /** That API again, at its address, once its process has ended. */
    serveAgain(api, more = {}) {
        return this.start({ ...(this.split ? { ROLE: "api" } : {}), PORT: api.port, ...more });
    }

    /** No worker from now on, only an API at the same address. */
    async withoutWorker(api) {
        await this.stop(this.split ? this.worker : api);
        return this.split ? api : this.start({ ROLE: "api", PORT: api.port });
    }

    /** Where the page of that API is: with DASHBOARD_DEV=1 the development server's, to try sources against any jobrt. */
    async front(api) {
        return process.env.DASHBOARD_DEV ? this.develop(api) : api;
    }

    /** The development server before that API; where it serves. */
    async develop(api) {
        const ours = await isFree(5173);
        if (!ours) console.log("skipped: port 5173 is taken here, so the development server is tried on another, and not by tools/dev");
        const port = ours ? 5173 : await freePort();
        const [command, ...args] = ours ? [toolsDev, "dashboard"] : [process.execPath, "node_modules/vite/bin/vite.js", "--port", String(port)];
        const program = this.collect(spawn(command, args, { env: { ...process.env, JOBRT_API: api, BUILD_ROOT: dirname(process.cwd()) }, stdio: ["ignore", "pipe", "pipe"] }));
        await this.until(program, "the development server is ready", () => /ready in/.test(program.out));
        return `http://127.0.0.1:${port}`;
    }

    /**
     * Another program has locked the SQLite file, so that nobody can read or write; until what this answers is called. A file
     * that is moved away is still there for whoever has it open.
     */
    async lockFile() {
        const script = [
            "import fcntl, sys",
            "file = open(sys.argv[1], 'r+b')",
            "fcntl.lockf(file, fcntl.LOCK_EX, 8, 120)", // All locks of the write-ahead log's index.
            "print('locked', flush=True)",
            "sys.stdin.read()",
        ];
        const program = this.collect(spawn("python3", ["-c", script.join("\n"), join(this.folder, "jobs.db-shm")], { stdio: ["pipe", "pipe", "pipe"] }));
        await this.until(program, "the file is locked", () => program.out.includes("locked"));
        return () => this.stop(program);
    }

    async stop(program, signal = "SIGTERM") {
        if (program.child.exitCode === null && program.child.signalCode === null) program.child.kill(signal);
        const timer = setTimeout(() => program.child.kill("SIGKILL"), 15_000);
        await program.ended;
        clearTimeout(timer);
        this.programs.delete(program);
    }

    run(args, more = {}) {
        return execFileSync(process.env.JOBRT_PROGRAM, args, { cwd: this.folder, env: this.environment(more), encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    }

    /** A site with /clip.mp4, which is not sent before `held` is over, and /ANYTHING as a page that shows it. */
    async site(held = undefined) {
        const clip = join(this.folder, "clip.mp4");
        execFileSync("ffmpeg", ["-y", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=d=6:s=320x240:r=10", "-f", "lavfi", "-i", "sine=d=6", "-pix_fmt", "yuv420p", clip]);
        const server = createServer(async (request, response) => {
            if (request.url.startsWith("/clip.mp4")) {
                await held;
                response.writeHead(200, { "content-type": "video/mp4", "content-length": statSync(clip).size });
                createReadStream(clip).pipe(response);
                return;
            }
            response.writeHead(200, { "content-type": "text/html" });
            response.end('<title>A clip</title><video src="/clip.mp4" controls></video>');
        });
        await new Promise((done) => server.listen(0, "127.0.0.1", done));
        this.servers.push(server);
        return `http://127.0.0.1:${server.address().port}`;
    }

    async browse(options = {}) {
        this.browser ??= await chromium.launch({ executablePath: browserPath, args: [...(isRoot ? ["--no-sandbox"] : []), "--autoplay-policy=no-user-gesture-required"] });
        const context = await this.browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...options });
        const page = await context.newPage();
        const said = { errors: [], policy: [] };
        page.on("pageerror", (error) => said.errors.push(String(error)));
        page.on("console", (message) => {
            if (/Content Security Policy|TrustedHTML/.test(message.text())) said.policy.push(message.text());
        });
        page.said = said;
        page.setDefaultTimeout(60_000);
        this.pages.push(page);
        return page;
    }

    /** Closes a page that is not looked at any more. */
    async leave(page) {
        await page.unrouteAll({ behavior: "ignoreErrors" });
        await page.context().close();
    }

    async close() {
        // What the page asks for at its end has nobody to answer it.
        for (const page of this.pages) await page.unrouteAll({ behavior: "ignoreErrors" }).catch(() => undefined);
        await this.browser?.close();
        for (const program of [...this.programs]) await this.stop(program);
        await this.done?.();
        for (const server of this.servers) {
            server.closeAllConnections?.();
            server.close();
        }
        for (let tries = 0; ; ++tries) {
            try {
                return rmSync(this.folder, { recursive: true, force: true });
            } catch (error) {
                if (tries > 20) throw error;
                await new Promise((done) => setTimeout(done, 100)); // A browser of the worker's still ends.
            }
        }
    }
}

export async function call(url, method, path, body, headers = {}) {
    const response = await fetch(`${url}${path}`, {
        method,
        headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
        body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, json: text.startsWith("{") ? JSON.parse(text) : {} };
}

export async function submit(url, body, headers) {
    const made = await call(url, "POST", "/api/jobs", body, headers);
    if (made.status !== 201) throw new Error(`not created: ${JSON.stringify(made)}`);
    return made.json.job.id;
}

export function waitFor(url, id, states) {
    return eventually(`job ${id} is ${states}`, async () => {
        const { json } = await call(url, "GET", `/api/jobs/${id}`);
        return states.includes(json.job?.status) && json.job;
    }, 40_000);
}

/** Screenshots are an output of the tests, kept in this folder until the next whole run. */
export const pictures = process.env.DASHBOARD_PICTURES ?? "pictures";

export async function picture(page, name) {
    mkdirSync(pictures, { recursive: true });
    await page.screenshot({ path: join(pictures, `${name}.png`) });
}

/** The contrast of two colours, as WCAG counts it. */
export function contrast(a, b) {
    const light = (colour) => {
        const [r, g, b] = colour.map((value) => {
            const part = value / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [one, other] = [light(a), light(b)].sort((x, y) => y - x);
    return (one + 0.05) / (other + 0.05);
}

/** The rules of WCAG 2.2 AA that are broken, each with the places. */
export async function faults(page) {
    await page.evaluate(readFileSync("node_modules/axe-core/axe.min.js", "utf8"));
    const { violations, undecided } = await page.evaluate(async () => {
        const found = await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
        // Where axe cannot tell what a text stands on, such as lines of a dialog, the page's own colours are compared.
        const ground = (one) => {
            const colour = getComputedStyle(one).backgroundColor;
            return /^rgb\(/.test(colour) || !one.parentElement ? colour : ground(one.parentElement);
        };
        const nodes = found.incomplete.filter((one) => one.id === "color-contrast").flatMap((one) => one.nodes);
        const undecided = nodes.map(({ target }) => {
            const one = document.querySelector(target[0]);
            return { target: target.join(" "), colours: one ? [getComputedStyle(one).color, ground(one)] : [] };
        });
        return { violations: found.violations, undecided };
    });
    const told = violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target.join(" ")} ${node.failureSummary}`).slice(0, 3).join(" | ")}`);
    // A colour that was mixed is told in shares of one.
    const rgb = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map((part) => Number(part) * (colour.startsWith("color(srgb") ? 255 : 1));
    const faint = undecided.filter(({ colours }) => colours.length === 2 && contrast(...colours.map(rgb)) < 4.5);
    return faint.length ? [...told, `color-contrast, by its colours: ${faint.map((one) => `${one.target} ${one.colours}`).slice(0, 3).join(" | ")}`] : told;
}

/** No rule of WCAG 2.2 AA is broken. */
export async function axe(page, what) {
    assert.deepEqual(await faults(page), [], what);
}

export { join, writeFileSync };
