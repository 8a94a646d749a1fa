// What jobs are doing now, from the events as they come.
import type { LogEvent } from "./api";
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

    take(events: readonly LogEvent[], now: number): void {
        for (const event of events) if (event.jobId) this.one(event, now);
    }

    /** Running ones first, then those that wait, each in the order in which they were heard of. */
    shown(now: number): ActiveJob[] {
        for (const [id, job] of this.jobs) if (job.endedAt !== null && now - job.endedAt > shownAfterEnd) this.jobs.delete(id);
        const rank = (job: ActiveJob): number => (job.state === "running" ? 0 : job.endedAt === null ? 1 : 2);
        return [...this.jobs.values()].sort((a, b) => rank(a) - rank(b));
    }

    private one(event: LogEvent, now: number): void {
        // The audit tells about requests; what became of the job its own events say.
        if (event.event.startsWith("api.")) return;
        const state = stateAfter(event);
        let job = this.jobs.get(event.jobId);
        if (!job) {
            if (this.jobs.size >= mostActive) return;
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
