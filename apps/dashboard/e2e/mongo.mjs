// The stand-in for MongoDB that JOBRT_STANDIN names: one for all cases, a database of its own for each, and one for whoever
// takes it away. They go with this process.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, freePort } from "./world.mjs";

const program = process.env.JOBRT_STANDIN;
export const hasMongo = Boolean(program);

class Server {
    constructor(port) {
        this.port = port;
        this.folder = mkdtempSync(join(tmpdir(), "jobrt-dashboard-mongo."));
        writeFileSync(join(this.folder, "empty.toml"), "");
        process.on("exit", () => {
            this.child?.kill("SIGKILL");
            rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
        });
    }

    async start() {
        const { port, folder } = this;
        const child = spawn(program, ["--host", "127.0.0.1", "--port", String(port), "--storage-path", join(folder, "data"), "--config", join(folder, "empty.toml"), "--sync-on-commit"], { stdio: "ignore" });
        this.child = child;
        this.ended = new Promise((done) => child.on("exit", done));
        const answers = () => new Promise((done) => {
            const socket = connect(port, "127.0.0.1");
            socket.on("error", () => done(false)).on("connect", () => {
                socket.destroy();
                done(true);
            });
        });
        await eventually("the stand-in for MongoDB listens", async () => {
            if (child.exitCode !== null) throw new Error(`the stand-in for MongoDB ended with ${child.exitCode}`);
            return answers();
        }, 60_000);
    }

    /** As a machine that loses its power: nothing is said to whoever is connected. */
    async stop() {
        this.child.kill("SIGKILL");
        await this.ended;
    }
}

async function begin() {
    const server = new Server(await freePort());
    await server.start();
    return server;
}

let shared;
let made = 0;
const named = (server, name) => ({ JOBRT_STORE: "", MONGODB_URI: `mongodb://127.0.0.1:${server.port}/${name}` });

/** What names a store that no other case uses. */
export async function mongoStore() {
    shared ??= begin();
    return named(await shared, `dashboard_${++made}`);
}

/** A store on a server of its own; `takeAway` stops that, and what it answers starts it again. */
export async function ownMongo() {
    const server = await begin();
    const takeAway = async () => {
        await server.stop();
        return () => server.start();
    };
    return { store: named(server, "dashboard"), takeAway };
}
