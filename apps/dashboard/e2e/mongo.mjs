// The server that JOBRT_TEST_MONGODB_URI names, else the stand-in for MongoDB that JOBRT_STANDIN names: one for all cases, a
// database of its own for each. Whoever takes his away gets a stand-in of his own. They go with this process.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, freePort } from "./world.mjs";

const program = process.env.JOBRT_STANDIN;
/** A real server's URI without its database, and its options. */
const [, given, options = ""] = (process.env.JOBRT_TEST_MONGODB_URI ?? "").match(/^(\w[\w+]*:\/\/[^/?]+)[^?]*(\?.*)?$/) ?? [];
if (process.env.JOBRT_TEST_MONGODB_URI && !given) throw new Error("JOBRT_TEST_MONGODB_URI is no URI of a MongoDB");
export const isReal = Boolean(given);
export const hasMongo = isReal || Boolean(program);
/** A server that is not ours cannot be taken away. */
export const hasOwnMongo = Boolean(program);

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

/** What names a store that no other case uses, and removes it from a real server afterwards. */
export async function mongoStore() {
    ++made;
    if (isReal) {
        const name = `jobrt_test_dashboard_${process.pid}_${made}`;
        return { store: { JOBRT_STORE: "", MONGODB_URI: `${given}/${name}${options}` }, done: () => drop(name) };
    }
    shared ??= begin();
    return { store: named(await shared, `dashboard_${made}`) };
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

/** Removes a database of the real server: without a driver, where neither a log-in nor TLS is asked for; else says that it stays. */
async function drop(name) {
    const plain = given.startsWith("mongodb://") && !given.includes("@") && !/[?&](tls|ssl)=true/i.test(options);
    for (const host of plain ? given.slice("mongodb://".length).split(",") : []) {
        const [address, port = "27017"] = host.split(":");
        if (await ask(address, Number(port), name).catch(() => false)) return;
    }
    console.log(`counts: the database ${name} stays on the server of JOBRT_TEST_MONGODB_URI: drop it`);
}

/** Whether the server has done the command, which is one OP_MSG. */
function ask(address, port, database) {
    const int = (value) => Buffer.from(Int32Array.of(value).buffer);
    const text = (value) => Buffer.from(`${value}\0`);
    const fields = Buffer.concat([Buffer.from([0x10]), text("dropDatabase"), int(1), Buffer.from([0x02]), text("$db"), int(text(database).length), text(database), Buffer.from([0])]);
    const body = Buffer.concat([int(0), Buffer.from([0]), int(fields.length + 4), fields]);
    const message = Buffer.concat([int(body.length + 16), int(1), int(0), int(2013), body]);
    const done = Buffer.concat([Buffer.from([0x01]), text("ok"), Buffer.from(Float64Array.of(1).buffer)]);
    return new Promise((resolve, reject) => {
        let answer = Buffer.alloc(0);
        const socket = connect(port, address, () => socket.write(message));
        socket.setTimeout(10_000, () => socket.destroy(new Error("it does not answer")));
        socket.on("error", reject).on("close", () => resolve(false));
        socket.on("data", (part) => {
            answer = Buffer.concat([answer, part]);
            if (answer.length < 4 || answer.length < answer.readInt32LE(0)) return;
            resolve(answer.includes(done));
            socket.destroy();
        });
    });
}
