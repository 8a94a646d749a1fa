// What the Activity Panel shows: its filter, which stands in the address, and whether it is paused.
import { api, type LogEvent } from "./api";
import { ApiError } from "./ask";
import { Cell } from "./cell";
import { feed } from "./feed";
import type { OlderFilter } from "./older";
import { changeQuery, route } from "./route";

/** "warn" is warnings and errors. */
export type Filter = OlderFilter;

/** Ids of jobs are UUIDs of version 7; those that callers bring as traces may be, too. */
const jobPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function filterIn(query: URLSearchParams): Filter {
    return { job: query.get("p.job") ?? "", trace: query.get("p.trace") ?? "", level: query.get("p.level") ?? "" };
}

let typed = 0;

/** The activity of a job, or of all that belongs to a trace; of everything without either. */
export function filterBy({ job = "", trace = "" }: { job?: string; trace?: string }): void {
    ++typed; // What was typed before and is still looked up comes too late.
    changeQuery({ "p.job": job, "p.trace": trace, "p.view": job || trace ? "history" : route.value.query.get("p.view") ?? "" });
}

/** Whether the page, the log or the store knows such a job; when neither answers, what looks like a job's id is taken for one. */
async function isJob(id: string): Promise<boolean> {
    if (feed.events.some((event) => event.jobId === id)) return true;
    try {
        if ((await api.events({ jobId: id, limit: 1 })).length > 0) return true;
        await api.job(id);
        return true;
    } catch (error) {
        return !(error instanceof ApiError && error.status === 404);
    }
}

/** A typed id: that of a job when it looks so and there is one, else of a trace. */
export async function filterByTyped(text: string): Promise<void> {
    const id = text.trim();
    const mine = ++typed;
    const job = jobPattern.test(id) ? id.toLowerCase() : "";
    const which = job && (await isJob(job)) ? { job } : { trace: id };
    if (mine === typed) filterBy(which);
}

export function matches(event: LogEvent, filter: Filter): boolean {
    return (
        (!filter.job || event.jobId === filter.job) &&
        (!filter.trace || event.traceId === filter.trace) &&
        (!filter.level || event.level === filter.level || (filter.level === "warn" && event.level === "error"))
    );
}

interface Paused {
    /** The id up to which events are shown. */
    upTo: number;
    /** When the server had been heard last, if ever: what is shown grows old from then on. */
    heardAt: number | null;
}

/** Null while the panel goes on. */
export const paused = new Cell<Paused | null>(null);
export function togglePause(): void {
    paused.set(paused.value === null ? { upTo: feed.events[feed.events.length - 1]?.id ?? 0, heardAt: feed.heardAt.value } : null);
}
