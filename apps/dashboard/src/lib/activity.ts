// What jobs are doing now, from the events as they come.
import type { Job, LogEvent } from "./api";
import { fieldsOf, stateAfter, wordsOf } from "./words";

export interface ActiveJob {
    id: string;
    traceId: string;
    kind: string;
    url: string;
    state: string;
    since: string;
    percent: number | null;
    /** What the list of jobs said of it, until an event does. */
    words: string;
    /** The last event of it that was heard; the last warning or error; the last error. */
    last: LogEvent | null;
    lastWarning: LogEvent | null;
    lastError: LogEvent | null;
    /** When it ended, on the page's clock; it is shown for a moment longer. */
    endedAt: number | null;
}

const shownAfterEnd = 6_000;
/** More are not kept. */
export const mostActive = 2_000;
const ended = new Set(["completed", "failed", "canceled", "deleted"]);

/** The event that a job is shown for where events of this level are wanted; null when there was none. */
export function heardOf(job: ActiveJob, level: string): LogEvent | null {
    return level === "error" ? job.lastError : level === "warn" ? job.lastWarning : job.last;
}

/** What was heard of a job last, in words. They are made for those that are seen only. */
export function wordsOfJob(job: ActiveJob, heard = job.last): string {
    return heard ? wordsOf(heard) : job.words;
}

export class Activity {
    private readonly jobs = new Map<string, ActiveJob>();
    /** The same in groups, so that nothing is sorted again when one changes: what runs, what waits, what has ended. */
    private readonly groups = [new Map<string, ActiveJob>(), new Map<string, ActiveJob>(), new Map<string, ActiveJob>()] as const;
    /** All of them as they are shown; null once a group has changed. */
    private list: ActiveJob[] | null = null;
    /** There are more active jobs than are kept here, or there were when one was left out. */
    leftOut = false;

    get size(): number {
        return this.jobs.size;
    }

    take(events: readonly LogEvent[], now: number): void {
        for (const event of events) if (event.jobId) this.one(event, now);
    }

    /** Running ones first, then those that wait, then what has just ended, each in the order in which they came to be so. */
    shown(now: number): readonly ActiveJob[] {
        this.purge(now);
        this.list ??= this.groups.flatMap((group) => [...group.values()]);
        return this.list;
    }

    /** Jobs that were active before the page heard of any event; what events said of one goes first. */
    seed(jobs: readonly Job[]): void {
        for (const job of jobs) {
            const known = this.jobs.get(job.id);
            if (known) {
                known.kind ||= job.kind;
                known.url ||= job.url ?? "";
                continue;
            }
            if (!this.hasRoom(job.status)) continue;
            const running = job.status === "running";
            const { percent, stage, message } = job.progress;
            this.place({
                ...fresh(job.id, job.traceId ?? "", job.status, (running ? job.startedAt : null) ?? job.createdAt),
                kind: job.kind,
                url: job.url ?? "",
                percent: running ? percent : null,
                words: [stage, message].filter(Boolean).join(", ") || (running ? "Runs" : "Waits"),
            });
        }
    }

    /** What is known does not hold any more. */
    clear(): void {
        this.jobs.clear();
        this.leftOut = false;
        for (const group of this.groups) group.clear();
        this.list = null;
    }

    /** Into the group of its state, at the end when it was in another. */
    private place(job: ActiveJob): void {
        const at = job.endedAt !== null ? 2 : job.state === "running" ? 0 : 1;
        if (this.groups[at].has(job.id)) return;
        this.remove(job.id);
        this.jobs.set(job.id, job);
        this.groups[at].set(job.id, job);
    }

    private remove(id: string): void {
        this.jobs.delete(id);
        for (const group of this.groups) group.delete(id);
        this.list = null;
    }

    /** The first that ended stands first. */
    private purge(now: number): void {
        for (const [id, job] of this.groups[2]) {
            if (now - (job.endedAt ?? 0) <= shownAfterEnd) break;
            this.remove(id);
        }
    }

    /** Whether one more of that state can be kept; for what runs, one that does not has to go. */
    private hasRoom(state: string): boolean {
        if (this.jobs.size < mostActive) return true;
        this.leftOut = true;
        if (state !== "running") return false;
        for (const group of [this.groups[1], this.groups[2]])
            for (const id of group.keys()) {
                this.remove(id);
                return true;
            }
        return false;
    }

    private one(event: LogEvent, now: number): void {
        // The audit tells about requests; what became of the job its own events say.
        if (event.event.startsWith("api.")) return;
        const state = stateAfter(event);
        let job = this.jobs.get(event.jobId);
        if (!job) {
            if (this.jobs.size >= mostActive) this.purge(now);
            if (!this.hasRoom(state ?? "running")) return;
            job = fresh(event.jobId, event.traceId, state ?? "running", event.ts);
        }
        const fields = fieldsOf(event);
        if (typeof fields["kind"] === "string") job.kind = fields["kind"];
        if (typeof fields["url"] === "string") job.url = fields["url"];
        if (typeof fields["percent"] === "number") job.percent = fields["percent"];
        else if (fields["percent"] === null) job.percent = null;
        if (state && state !== job.state) {
            job.state = state;
            job.since = event.ts;
            job.percent = null;
        }
        job.last = event;
        if (event.level === "error") job.lastError = job.lastWarning = event;
        else if (event.level === "warn") job.lastWarning = event;
        const isOver = ended.has(job.state);
        // What ended before the page was opened is history.
        if (isOver && job.endedAt === null && now - Date.parse(event.ts) > shownAfterEnd) return this.remove(job.id);
        job.endedAt = isOver ? (job.endedAt ?? now) : null;
        this.place(job);
    }
}

function fresh(id: string, traceId: string, state: string, since: string): ActiveJob {
    return { id, traceId, kind: "", url: "", state, since, percent: null, words: "", last: null, lastWarning: null, lastError: null, endedAt: null };
}
