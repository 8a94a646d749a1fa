// The stand-in for MongoDB that JOBRT_STANDIN names: one for all cases, a database of its own for each. It goes with this
// process.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, freePort } from "./world.mjs";

const program = process.env.JOBRT_STANDIN;
export const hasMongo = Boolean(program);
let server;
let made = 0;

async function begin() {
    const folder = mkdtempSync(join(tmpdir(), "jobrt-dashboard-mongo."));
    const port = await freePort();
    writeFileSync(join(folder, "empty.toml"), "");
    const child = spawn(program, ["--host", "127.0.0.1", "--port", String(port), "--storage-path", join(folder, "data"), "--config", join(folder, "empty.toml"), "--sync-on-commit"], { stdio: "ignore" });
    process.on("exit", () => {
        child.kill("SIGKILL");
        rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    });
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
    return `mongodb://127.0.0.1:${port}`;
}

/** What names a store that no other case uses. */
export async function mongoStore() {
    server ??= begin();
    return { JOBRT_STORE: "", MONGODB_URI: `${await server}/dashboard_${++made}` };
}
