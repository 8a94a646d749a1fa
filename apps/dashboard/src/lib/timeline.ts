// The phases of a job as bars, from its events.
import type { Job, LogEvent } from "./api";
import { fieldsOf } from "./words";

export interface Phase {
    name: "waited" | "ran" | "extraction" | "download" | "publish";
    from: number;
    to: number;
    /** It goes on; `to` is now. */
    open: boolean;
}

export interface AttemptLine {
    /** As events count it; a crash gives the number back, so several may have one. */
    attempt: number;
    phases: Phase[];
    ending: string;
}

const endings: Record<string, string> = {
    "worker.job.completed": "completed",
    "worker.job.failed": "failed",
    "worker.job.canceled": "canceled",
    "worker.job.retry_scheduled": "tries again",
    "worker.job.snoozed": "snoozed",
    "worker.job.released": "given back",
    "worker.job.recovered": "its worker was lost",
};
const queuings = new Set(["jobs.create.queued", "jobs.create.replaced", "jobs.promoted", "jobs.retried", "worker.job.released", "worker.job.recovered", "worker.job.retry_scheduled", "worker.job.snoozed"]);

/** From when on the job waits by such an event: from when it is due, if that is later. */
function dueAt(event: LogEvent): number {
    const runAt = fieldsOf(event)["runAt"];
    return Math.max(Date.parse(event.ts), typeof runAt === "string" ? Date.parse(runAt) || 0 : 0);
}

/** One line for each time the job was claimed, oldest first; the last may only wait. */
export function timeline(job: Job, events: readonly LogEvent[], now: number, attemptOf: (event: LogEvent) => number): AttemptLine[] {
    const lines: AttemptLine[] = [];
    // What was never claimed is due when the job says so; of others the events tell it.
    let waitsSince: number | null = Math.max(Date.parse(job.createdAt), job.startedAt ? 0 : Date.parse(job.runAt) || 0);
    let line: AttemptLine | null = null;
    const close = (name: Phase["name"], at: number): void => {
        const phase = line?.phases.find((one) => one.name === name && one.open);
        if (!phase) return;
        phase.to = at;
        phase.open = false;
    };
    const open = (name: Phase["name"], at: number): void => void line?.phases.push({ name, from: at, to: now, open: true });
    const startedAt = beganAt(job, events);
    if (startedAt !== null) {
        line = { attempt: job.attempt, phases: [], ending: "" };
        lines.push(line);
        open("ran", startedAt);
        waitsSince = null;
    }
    // Events of one job are written by several hands: its log's order is nearly, not exactly, that of their times.
    for (const event of [...events].sort((a, b) => Date.parse(a.ts) - Date.parse(b.ts) || a.id - b.id)) {
        const at = Date.parse(event.ts);
        if (event.event === "worker.job.claimed") {
            line = { attempt: attemptOf(event), phases: [], ending: "" };
            lines.push(line);
            if (waitsSince !== null) line.phases.push({ name: "waited", from: Math.min(waitsSince, at), to: at, open: false });
            open("ran", at);
            waitsSince = null;
        } else if (event.event === "worker.job.extraction.started") open("extraction", at);
        else if (event.event === "worker.job.extraction.completed") close("extraction", at);
        else if (event.event === "worker.job.download.started") {
            close("extraction", at);
            open("download", at);
        } else if (event.event === "worker.job.download.completed") {
            close("download", at);
            open("publish", at);
        }
        const ending = endings[event.event];
        if (ending && line && !line.ending) {
            for (const name of ["ran", "extraction", "download", "publish"] as const) close(name, at);
            line.ending = ending;
        }
        // Made for later it waits from then on; one that is asked to run now, from now on.
        // One that was asked for once more (jobs.create.duplicate) waits as before.
        if (event.event === "jobs.create.queued" || event.event === "jobs.create.replaced") waitsSince = dueAt(event);
        else if (queuings.has(event.event)) waitsSince = Math.min(waitsSince ?? Infinity, dueAt(event));
    }
    const finishedAt = job.finishedAt ? Date.parse(job.finishedAt) : null;
    if (startedAt !== null && finishedAt !== null && line && !line.ending) {
        for (const phase of line.phases) if (phase.open) close(phase.name, finishedAt);
        line.ending = job.status;
    }
    const waits = job.status === "queued" || job.status === "scheduled";
    if (waits && waitsSince !== null) {
        const phases: Phase[] = waitsSince > now ? [] : [{ name: "waited", from: waitsSince, to: now, open: true }];
        lines.push({ attempt: job.attempt + 1, phases, ending: "waits" });
    }
    return lines;
}

/** When the job's last run began, by the job itself, if no event that is kept says so; null when one does or none goes on. */
function beganAt(job: Job, events: readonly LogEvent[]): number | null {
    if (!job.startedAt || (job.status !== "running" && !job.finishedAt)) return null;
    return events.some((event) => event.event === "worker.job.claimed") ? null : Date.parse(job.startedAt);
}

/**
 * What handlers logged, by attempt. A worker in another language does not say which attempt a line is of: that of its last
 * claim. 0 where nothing says it.
 */
export function logByAttempt(events: readonly LogEvent[], attemptOf: (event: LogEvent) => number): { attempt: number; lines: LogEvent[] }[] {
    const attempts = new Map<number, LogEvent[]>();
    let claimed = 0;
    for (const event of events) {
        if (event.event === "worker.job.claimed") claimed = attemptOf(event);
        if (event.event !== "worker.job.log") continue;
        const attempt = attemptOf(event) || claimed;
        const lines = attempts.get(attempt);
        if (lines) lines.push(event);
        else attempts.set(attempt, [event]);
    }
    return [...attempts].map(([attempt, lines]) => ({ attempt, lines }));
}

/** How a download goes: bytes a second and milliseconds left, from its last progress events. */
export function pace(points: readonly { at: number; bytes: number; total: number | null }[]): { perSecond: number; leftMs: number | null } | null {
    const last = points[points.length - 1];
    const first = points.find((point) => last && last.at - point.at <= 10_000);
    if (!last || !first || last.at - first.at < 200 || last.bytes <= first.bytes) return null;
    const perSecond = ((last.bytes - first.bytes) * 1000) / (last.at - first.at);
    return { perSecond, leftMs: last.total === null ? null : Math.max(0, ((last.total - last.bytes) / perSecond) * 1000) };
}

/** How long a job has waited for its present attempt, and how long that has run; null where it has not yet. */
export function spansOf(job: Pick<Job, "status" | "createdAt" | "runAt" | "startedAt" | "finishedAt">, now: number): { waited: number | null; ran: number | null } {
    const due = Math.max(Date.parse(job.createdAt), Date.parse(job.runAt));
    // What waits again still has the start of its attempt before.
    if (job.status === "queued") return { waited: now - due, ran: null };
    if (job.status === "scheduled" || !job.startedAt) return { waited: null, ran: null };
    const started = Date.parse(job.startedAt);
    return { waited: started - due, ran: (job.finishedAt ? Date.parse(job.finishedAt) : now) - started };
}
