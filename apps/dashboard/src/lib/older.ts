// Events from before those that the page holds. The API answers the last ones of a filter, or those after an id, and
// has none before an id: this asks for what lies after an id further back, and finds by itself how far back.
import { api, type EventQuery, type LogEvent } from "./api";

/** One answer: all that match with ids from `from` on through `to`. */
export interface OlderPage {
    events: LogEvent[];
    from: number;
    to: number;
}

/** Asks for what comes after an id; without one for the last events. */
export type AskOlder = (after: number | undefined) => Promise<OlderPage>;

export interface OlderFilter {
    job: string;
    trace: string;
    /** "warn" has errors, too. */
    level: string;
}

const mostAsked = 2_000;
/** Of ids that are looked at in one go, at least: so many are one answer, but for very large events. */
const leastSpan = 2_000;
/** The server ends an answer after 4 MiB. In a text of so many characters there are fewer bytes. */
const surelyWhole = 1_300_000;

export class Older {
    /** Oldest first. */
    events: readonly LogEvent[] = [];
    /** The newest id that was looked at; 0 before anything was. */
    through = 0;
    /** The beginning is reached. */
    done = false;
    private span = leastSpan;
    private stopped = false;
    private runs = false;

    /** What has ids from `known` on is held already; without it the last events are asked for first. */
    constructor(
        private readonly ask: AskOlder,
        private known?: number,
    ) {
        if (known !== undefined) this.through = known - 1;
    }

    /** Goes on until so many more are found, or the beginning is reached. One at a time; what fails can be asked for again. */
    async more(enough: number): Promise<void> {
        if (this.runs) return;
        this.runs = true;
        try {
            for (let found = 0; found < enough && !this.done && !this.stopped; ) found += await (this.known === undefined ? this.last() : this.before(this.known));
        } finally {
            this.runs = false;
        }
    }

    stop(): void {
        this.stopped = true;
    }

    private async last(): Promise<number> {
        const page = await this.ask(undefined);
        this.events = page.events;
        this.through = page.to;
        this.known = page.from;
        this.done = page.from === 0;
        // Where little of a large trace matches, all of it at once: each answer goes through all of its jobs.
        const sparse = page.from > page.to && page.events.length < mostAsked / 4;
        this.span = sparse ? page.to + 1 : Math.max(leastSpan, page.to - (page.events[0]?.id ?? page.to) + 1);
        return page.events.length;
    }

    /** Of the ids below `known` the next ones; answers how many match that were not there yet. */
    private async before(known: number): Promise<number> {
        const after = Math.max(0, known - 1 - this.span);
        let page = await this.ask(after);
        // More of them than one answer holds: nearer, rather than to read on through who knows how many.
        if (page.to < known - 1 && this.span > leastSpan) {
            this.span = Math.max(leastSpan, Math.floor(this.span / 8));
            return 0;
        }
        const from = page.from;
        const added = [...page.events];
        while (page.to < known - 1) {
            const next = await this.ask(page.to);
            if (next.to <= page.to) break;
            added.push(...next.events);
            page = next;
        }
        const mine = added.filter((event) => event.id < known);
        const held = this.events.length;
        this.events = [...mine, ...this.events.filter((event) => event.id >= known)];
        this.known = from;
        this.done = from === 0;
        if (mine.length < mostAsked / 4) this.span *= 8;
        return this.events.length - held;
    }
}

export interface JobEvents {
    events: readonly LogEvent[];
    /** None that the server keeps lies between them. */
    whole: boolean;
}

const ofBeginning = 200;

/** The last events of a job, and of one that has more of them also how it began. */
export async function eventsOfJob(jobId: string): Promise<JobEvents> {
    const { events: last, size } = await api.eventPage({ jobId, limit: mostAsked });
    if (last.length < mostAsked && size < surelyWhole) return { events: last, whole: true };
    const first = await api.eventPage({ jobId, limit: ofBeginning, after: 0 });
    const from = last[0]?.id ?? 0;
    const before = first.events.filter((event) => event.id < from);
    // When all that the beginning has is before the last ones, there may be more in between.
    const whole = before.length < first.events.length || (first.events.length < ofBeginning && first.size < surelyWhole);
    return { events: [...before, ...last], whole };
}

/** Whether the log has nothing older than this. */
export async function isOldest(id: number): Promise<boolean> {
    const [oldest] = await api.events({ after: 0, limit: 1 });
    return (oldest?.id ?? id) >= id;
}

/** What the API answers for a filter. */
export function askFor(filter: OlderFilter): AskOlder {
    const shared: EventQuery = { limit: mostAsked, ...(filter.job ? { jobId: filter.job } : {}), ...(filter.trace ? { traceId: filter.trace } : {}) };
    // The API's levels are exact.
    const levels = filter.level === "warn" ? ["warn", "error"] : [filter.level];
    const one = async (level: string, after: number | undefined): Promise<OlderPage> => {
        const answer = await api.eventPage({ ...shared, ...(level ? { level } : {}), ...(after === undefined ? {} : { after }) });
        const { events, next: to } = answer;
        if (after !== undefined) return { events, from: after === 0 || answer.truncated ? 0 : after + 1, to };
        const whole = events.length < mostAsked && answer.size < surelyWhole;
        // The last events of a large trace are looked for at its newest jobs only: others may lie between them.
        if (filter.trace) return { events, from: whole && !level && !filter.job ? 0 : to + 1, to };
        return { events, from: whole ? 0 : (events[0]?.id ?? to + 1), to };
    };
    return async (after) => {
        const pages = await Promise.all(levels.map((level) => one(level, after)));
        const [from, to] = [Math.max(...pages.map((page) => page.from)), Math.min(...pages.map((page) => page.to))];
        const isIn = (event: LogEvent): boolean => (event.id >= from || from > to) && event.id <= to;
        return { events: pages.flatMap((page) => page.events).filter(isIn).sort((a, b) => a.id - b.id), from, to };
    };
}
