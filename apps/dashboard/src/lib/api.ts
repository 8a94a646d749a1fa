// Everything that the page knows about the HTTP API's shapes, in one place.
import { address, ask, json, loggedOut } from "./ask";
import type { Cell } from "./cell";
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

export interface CountSlice {
    total: number;
    counts: Counts;
    nextCursor: string | null;
}

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

const one = (id: string): string => `api/jobs/${encodeURIComponent(id)}`;

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

    /** In slices: until there is no next cursor, there are at least so many. */
    counts: (filter: JobFilter, cursor = "", signal?: AbortSignal) =>
        json<CountSlice>("api/jobs/counts", { query: { ...filter, cursor }, ...(signal ? { signal } : {}) }),
    queues: async () => (await json<{ queues: QueueInfo[] }>("api/queues")).queues,
    stats: (minutes: number) => json<Stats>("api/stats", { query: { minutes } }),
    pauseQueue: (name: string, paused: boolean) =>
        json<object>(`api/queues/${encodeURIComponent(name)}/${paused ? "pause" : "resume"}`, { method: "POST" }),

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
