// Everything that the page knows about the HTTP API's shapes, in one place.
import { Cell } from "./cell";
import { count } from "./format";
import { lineOfJson, parseJson, type Json } from "./json";

export const jobStates = ["scheduled", "queued", "running", "completed", "failed", "canceled"] as const;
export type JobState = (typeof jobStates)[number];
export type Role = "anyone" | "read" | "operate" | "admin";

export interface JobError {
    at: string;
    attempt: number;
    code: string;
    message: string;
}

export interface Job {
    id: string;
    kind: string;
    queue: string;
    status: JobState;
    priority: number;
    payload: Json;
    url?: string | null;
    canonicalUrl?: string | null;
    attempt: number;
    maxAttempts: number;
    crashes: number;
    cancelRequestedAt: string | null;
    progress: { percent: number | null; stage: string | null; message: string | null };
    result: Json;
    outputPath: string | null;
    thumbnailPath: string | null;
    error: string | null;
    errorCode: string | null;
    errors: JobError[];
    waitingFor: string | null;
    tags: string[];
    uniqueKey: string | null;
    traceId: string | null;
    workerId: string | null;
    createdAt: string;
    runAt: string;
    startedAt: string | null;
    finishedAt: string | null;
}

export interface WorkerInfo {
    id: string;
    host: string;
    pid: number;
    role: string;
    version: string;
    startedAt: string;
    beatAgeMs: number;
    running: number;
    live: boolean;
    works: boolean;
    kinds: string[];
    queues: string[];
    details: { concurrency?: Record<string, number>; missing?: unknown[]; store?: string; downloadDir?: string; disks?: Disk[] };
}

/** What is free on a disk, and how much has to be for downloads. */
export interface Disk {
    of: string;
    freeBytes: number;
    floorBytes: number;
    low: boolean;
}

export interface Session {
    name: string;
    role: Role;
    guarded: boolean;
}

export interface Status {
    role: string;
    version: string;
    store: string;
    startedAt: string;
    downloadDir?: string;
    /** Of the machine that answers. */
    disks?: Disk[];
    sessions: WorkerInfo[];
}

export interface WorkerHealth {
    ok: boolean;
    error?: string;
    lastHeartbeatAt: string | null;
    ageMs: number | null;
    staleAfterMs: number;
    workers?: number;
}

/** What a worker that lives says of its browser's profile. */
export interface Login {
    workerId: string;
    host: string;
    loggedIn: boolean;
    expiresAt: string | null;
}

export type Platforms = Record<string, { enabled: boolean; source: string; locked: boolean; logins?: Login[] }>;

export interface JobFilter {
    status?: string;
    kind?: string;
    queue?: string;
    tag?: string;
    traceId?: string;
    text?: string;
    errorCode?: string;
}

export type Counts = Record<JobState, number>;

export interface QueueInfo {
    queue: string;
    paused: boolean;
    counts: Counts;
    oldestDueAt: string | null;
    oldestDueMs: number | null;
    workers: number;
    concurrency: number;
}

export interface Quantiles {
    p50: number;
    p95: number;
    p99: number;
}

/** What happened in a minute, and how it was when somebody looked. */
export interface StatMinute {
    at: string;
    completed: number;
    failed: number;
    waitMs: Quantiles | null;
    runMs: Quantiles | null;
    counts: Counts | null;
    /** More happened than was counted. */
    partial: boolean;
}

/** Minutes in which nothing happened may be left out; nothing is known from before `since`. */
export interface Stats {
    now: string;
    since: string;
    minutes: StatMinute[];
    starts: { at: string; role: string; version: string }[];
}

export type Action = "retry" | "cancel" | "delete";

export interface Outcome {
    done: number;
    refused: number;
    firstRefusal: string;
    /** What ended it before all was done; of the request that failed some may be done, too. */
    stopped?: string;
}

export interface JobPage {
    jobs: Job[];
    nextCursor: string | null;
    unreadable?: string[];
}

/** One event of the log. What belongs to its name stays in the text it came as, until somebody looks. */
export interface LogEvent {
    id: number;
    ts: string;
    event: string;
    level: string;
    jobId: string;
    traceId: string;
    text: string;
}

export interface EventQuery {
    jobId?: string;
    traceId?: string;
    /** Exactly this one. */
    level?: string;
    limit?: number;
    after?: number;
}

export interface EventPage {
    events: LogEvent[];
    /** The last id that was looked at. */
    next: number;
    /** It begins with the oldest event that is kept. */
    truncated: boolean;
    /** Characters of the answer. */
    size: number;
}

export class ApiError extends Error {
    constructor(
        readonly status: number,
        readonly code: string,
        message: string,
        readonly more: Record<string, unknown> = {},
    ) {
        super(message);
    }
}

/** Set once the API has said that it wants a (better) token. */
export const loggedOut = new Cell(false);

/** After so long without the whole answer there is none. A change of many jobs takes its time. */
const readMs = 20_000;
const changeMs = 120_000;

interface Asked {
    method?: string;
    body?: unknown;
    query?: object;
    signal?: AbortSignal;
}

function address(path: string, query: object = {}): string {
    const names = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
    const text = new URLSearchParams(names.map(([name, value]) => [name, String(value)])).toString();
    return text ? `${path}?${text}` : path;
}

/** The text of a good answer; any other is an ApiError. Paths are relative, so that a prefix before the page is kept. */
async function ask(path: string, asked: Asked = {}): Promise<string> {
    const method = asked.method ?? "GET";
    const abort = new AbortController();
    const forward = (): void => abort.abort();
    if (asked.signal?.aborted) abort.abort();
    asked.signal?.addEventListener("abort", forward);
    const ms = method === "GET" ? readMs : changeMs;
    const timer = setTimeout(forward, ms);
    let response: Response;
    let text: string;
    try {
        response = await fetch(address(path, asked.query), {
            method,
            headers: asked.body === undefined ? {} : { "content-type": "application/json" },
            body: asked.body === undefined ? null : JSON.stringify(asked.body),
            signal: abort.signal,
            redirect: "error",
        });
        text = await response.text();
    } catch (error) {
        if (asked.signal?.aborted) throw error;
        const late = abort.signal.aborted ? `jobrt did not answer within ${ms / 1000} s` : "jobrt does not answer; is it running?";
        throw new ApiError(0, "NO_ANSWER", late);
    } finally {
        clearTimeout(timer);
        asked.signal?.removeEventListener("abort", forward);
    }
    if (response.ok) {
        if (path === "api/session") loggedOut.set(false);
        return text;
    }
    if (response.status === 401) loggedOut.set(true);
    throw refusal(response.status, text);
}

function refusal(status: number, text: string): ApiError {
    try {
        const body = JSON.parse(text) as Record<string, unknown>;
        return new ApiError(status, String(body["code"] ?? "ERROR"), String(body["error"] ?? `HTTP ${status}`), body);
    } catch {
        return new ApiError(status, "ERROR", `The server answered with status ${status}`);
    }
}

async function json<T>(path: string, asked?: Asked): Promise<T> {
    return JSON.parse(await ask(path, asked)) as T;
}

const one = (id: string): string => `api/jobs/${encodeURIComponent(id)}`;

/** The filter as a bulk request takes it: lists where a query has commas. */
function bulkFilter(filter: JobFilter): object {
    const lists = Object.entries(filter).map(([name, value]) => [name, ["status", "kind", "queue"].includes(name) ? value.split(",") : value]);
    return Object.fromEntries(lists) as object;
}

interface BulkAnswer {
    done: number;
    requested: number;
    refused: number;
    results?: { id: string; result: string }[];
    nextCursor: string | null;
}

const bulk = (body: object): Promise<BulkAnswer> => json<BulkAnswer>("api/jobs/bulk", { method: "POST", body });

function add(outcome: Outcome, answer: BulkAnswer): void {
    outcome.done += answer.done + answer.requested;
    outcome.refused += answer.refused;
    outcome.firstRefusal ||= answer.results?.find((one) => !["done", "requested", "unknown", "not_tried"].includes(one.result))?.result ?? "";
}

/** What becomes of a change of many jobs, each time that more of them are done. */
type Told = (outcome: Outcome) => void;

/** Goes on until there is no cursor. Once something was done, a failure is part of the outcome. */
async function inSteps(step: (cursor: string | null) => Promise<BulkAnswer>, told: Told = () => undefined): Promise<Outcome> {
    const outcome: Outcome = { done: 0, refused: 0, firstRefusal: "" };
    let cursor: string | null = null;
    do {
        try {
            const answer: BulkAnswer = await step(cursor);
            add(outcome, answer);
            const unknown = answer.results?.filter((one) => one.result === "unknown").length ?? 0;
            if (unknown > 0) return { ...outcome, stopped: `the store went away: what became of ${count(unknown)} more is not known` };
            cursor = answer.nextCursor;
            if (cursor) told(outcome);
        } catch (error) {
            if (!(error instanceof ApiError) || cursor === null) throw error;
            return { ...outcome, stopped: `${error.code}: ${error.message}` };
        }
    } while (cursor);
    return outcome;
}

/** A server that looks at jobs one by one counts so many of them at a time. */
const countSlice = (filter: JobFilter, cursor: string, signal?: AbortSignal): Promise<{ total: number; counts: Counts; nextCursor: string | null }> =>
    json("api/jobs/counts", { query: { ...filter, cursor }, ...(signal ? { signal } : {}) });

export const api = {
    session: () => json<Session>("api/session"),
    status: () => json<Status>("api/status"),
    workers: async () => (await json<{ workers: WorkerInfo[] }>("api/workers")).workers,
    workerHealth: () => json<WorkerHealth>("api/worker/health"),
    platforms: async () => (await json<{ platforms: Platforms }>("api/capabilities")).platforms,
    setPlatform: async (name: string, on: boolean) =>
        (await json<{ platforms: Platforms }>("api/capabilities", { method: "PATCH", body: { platforms: { [name]: on } } }))
            .platforms,

    jobs: (filter: JobFilter, limit: number, cursor: string, signal?: AbortSignal) =>
        json<JobPage>("api/jobs", { query: { ...filter, limit, cursor }, ...(signal ? { signal } : {}) }),
    /** With every digit of its payload and result. */
    job: async (id: string) => (parseJson(await ask(one(id))) as unknown as { job: Job }).job,
    save: (url: string) => json<{ job: Job; requeued?: boolean }>("api/jobs", { method: "POST", body: { url } }),
    cancel: (id: string) => json<{ job: Job; cancelRequested?: boolean }>(`${one(id)}/cancel`, { method: "POST" }),
    retry: (id: string) => json<{ job: Job }>(`${one(id)}/retry`, { method: "POST" }),
    remove: (id: string) => json<object>(one(id), { method: "DELETE" }),

    /** The first slice; not complete: there are at least so many. */
    counts: async (filter: JobFilter): Promise<{ counts: Counts; complete: boolean }> => {
        const { counts, nextCursor } = await countSlice(filter, "");
        return { counts, complete: nextCursor === null };
    },
    /** How many there are, to the last one: slice by slice, each of which is told but the last, as there are at least so many. */
    countAll: async (filter: JobFilter, told: (atLeast: number) => void, signal?: AbortSignal): Promise<number> => {
        let all = 0;
        for (let cursor = ""; ; ) {
            const { total, nextCursor } = await countSlice(filter, cursor, signal);
            all += total;
            if (nextCursor === null) return all;
            told(all);
            cursor = nextCursor;
        }
    },
    queues: async () => (await json<{ queues: QueueInfo[] }>("api/queues")).queues,
    stats: (minutes: number) => json<Stats>("api/stats", { query: { minutes } }),
    pauseQueue: (name: string, paused: boolean) =>
        json<object>(`api/queues/${encodeURIComponent(name)}/${paused ? "pause" : "resume"}`, { method: "POST" }),
    bulkIds: (action: Action, ids: readonly string[], told?: Told): Promise<Outcome> =>
        inSteps(async (cursor) => {
            const at = Number(cursor ?? 0);
            const asked = ids.slice(at, at + 500);
            const answer = await bulk({ action, ids: asked });
            // A slow store is left the rest for the next time.
            const tried = answer.results?.findIndex((one) => one.result === "not_tried") ?? -1;
            const next = at + (tried < 0 ? asked.length : tried);
            return { ...answer, nextCursor: next < ids.length ? String(next) : null };
        }, told),
    /** COUNT_CHANGED, and nothing done, when more than `expectedCount` jobs match now. */
    bulkMatching: (action: Action, filter: JobFilter, expectedCount: number, told?: Told): Promise<Outcome> =>
        inSteps((cursor) => bulk({ action, filter: bulkFilter(filter), ...(cursor === null ? { expectedCount } : { cursor }) }), told),

    events: async (query: EventQuery) => (await api.eventPage(query)).events,
    eventPage: async (query: EventQuery): Promise<EventPage> => {
        const text = await ask("api/telemetry", { query });
        const body = parseJson(text) as { events: Json[]; next: number; truncated?: boolean };
        return { events: body.events.map((event) => eventOf(lineOfJson(event))), next: body.next, truncated: body.truncated === true, size: text.length };
    },
    streamAddress: (after: number | null, limit: number) =>
        address("api/telemetry/stream", after === null ? { limit } : { after }),
    fileAddress: (path: string) => `downloads/${path.split("/").map(encodeURIComponent).join("/")}`,
    logOut: () => ask("logout", { method: "POST" }),
};

/** Once something is answered although the page says that it is logged out: whether it still is, and as whom it asks now. */
export async function renewSession(session: Cell<Session | null>): Promise<void> {
    if (!loggedOut.value) return;
    try {
        session.set(await api.session());
    } catch {
        // It is; or there is no answer now, and the banner says so.
    }
}

/** Of the text of one event. */
export function eventOf(text: string): LogEvent {
    const event = JSON.parse(text) as Record<string, unknown>;
    const word = (name: string): string => (typeof event[name] === "string" ? (event[name] as string) : "");
    return {
        id: Number(event["id"]),
        ts: word("ts"),
        event: word("event"),
        level: word("level"),
        jobId: word("jobId"),
        traceId: word("traceId"),
        text,
    };
}
