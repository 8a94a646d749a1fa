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
    words: string;
    level: string;
    /** When it ended, on the page's clock; it is shown for a moment longer. */
    endedAt: number | null;
}

const shownAfterEnd = 6_000;
const mostActive = 2_000;
const ended = new Set(["completed", "failed", "canceled", "deleted"]);

export class Activity {
    private readonly jobs = new Map<string, ActiveJob>();
    private purgedAt = 0;

    take(events: readonly LogEvent[], now: number): void {
        for (const event of events) if (event.jobId) this.one(event, now);
    }

    /** Running ones first, then those that wait, each in the order in which they were heard of. */
    shown(now: number): ActiveJob[] {
        this.purge(now);
        const rank = (job: ActiveJob): number => (job.state === "running" ? 0 : job.endedAt === null ? 1 : 2);
        return [...this.jobs.values()].sort((a, b) => rank(a) - rank(b));
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
            this.jobs.set(job.id, {
                id: job.id,
                traceId: job.traceId ?? "",
                kind: job.kind,
                url: job.url ?? "",
                state: job.status,
                since: (running ? job.startedAt : null) ?? job.createdAt,
                percent: running ? percent : null,
                words: [stage, message].filter(Boolean).join(", ") || (running ? "Runs" : "Waits"),
                level: "info",
                endedAt: null,
            });
        }
    }

    /** What is known does not hold any more. */
    clear(): void {
        this.jobs.clear();
    }

    private purge(now: number): void {
        for (const [id, job] of this.jobs) if (job.endedAt !== null && now - job.endedAt > shownAfterEnd) this.jobs.delete(id);
        this.purgedAt = now;
    }

    /** Whether one more of that state can be kept; for what runs, one that waits has to go. */
    private hasRoom(state: string): boolean {
        if (this.jobs.size < mostActive) return true;
        if (state !== "running") return false;
        for (const [id, job] of this.jobs)
            if (job.state !== "running") {
                this.jobs.delete(id);
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
            if (this.jobs.size >= mostActive && this.purgedAt !== now) this.purge(now);
            if (!this.hasRoom(state ?? "running")) return;
            job = {
                id: event.jobId,
                traceId: event.traceId,
                kind: "",
                url: "",
                state: state ?? "running",
                since: event.ts,
                percent: null,
                words: "",
                level: "info",
                endedAt: null,
            };
            this.jobs.set(event.jobId, job);
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
        // What ended before the page was opened is history.
        const isOld = now - Date.parse(event.ts) > shownAfterEnd;
        if (ended.has(job.state) && job.endedAt === null && isOld) this.jobs.delete(job.id);
        job.endedAt = ended.has(job.state) ? (job.endedAt ?? now) : null;
        job.words = wordsOf(event);
        job.level = event.level;
    }
}
