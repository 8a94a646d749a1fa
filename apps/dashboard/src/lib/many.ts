// Many jobs at once: counted and changed in steps, as the API does so many for one answer.
import { api, type Action, type JobFilter } from "./api";
import { ApiError, json } from "./ask";
import { count } from "./format";

/** How many there are, to the last one: slice by slice, each of which is told but the last, as there are at least so many. */
export async function countAll(filter: JobFilter, told: (atLeast: number) => void, signal?: AbortSignal): Promise<number> {
    let all = 0;
    for (let cursor = ""; ; ) {
        const { total, nextCursor } = await api.counts(filter, cursor, signal);
        all += total;
        if (nextCursor === null) return all;
        told(all);
        cursor = nextCursor;
    }
}

export interface Outcome {
    done: number;
    refused: number;
    firstRefusal: string;
    /** What ended it before all was done; of the request that failed some may be done, too. */
    stopped?: string;
    /** That was whoever looked on. */
    byWish?: boolean;
}

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

/** Whoever looks on: is told what has become of it each time that more of them are done, and may have it stop there. */
export interface Onlooker {
    told?: (outcome: Outcome) => void;
    stop?: AbortSignal;
}

/** Goes on until there is no cursor. Once something was done, a failure is part of the outcome. A step that has begun is not given up. */
async function inSteps(step: (cursor: string | null) => Promise<BulkAnswer>, { told, stop }: Onlooker): Promise<Outcome> {
    const outcome: Outcome = { done: 0, refused: 0, firstRefusal: "" };
    let cursor: string | null = null;
    do {
        try {
            const answer: BulkAnswer = await step(cursor);
            add(outcome, answer);
            const unknown = answer.results?.filter((one) => one.result === "unknown").length ?? 0;
            if (unknown > 0) return { ...outcome, stopped: `the store went away: what became of ${count(unknown)} more is not known` };
            cursor = answer.nextCursor;
            if (cursor) told?.(outcome);
            if (cursor && stop?.aborted) return { ...outcome, stopped: "you stopped it", byWish: true };
        } catch (error) {
            if (!(error instanceof ApiError) || cursor === null) throw error;
            return { ...outcome, stopped: `${error.code}: ${error.message}` };
        }
    } while (cursor);
    return outcome;
}

export const bulkIds = (action: Action, ids: readonly string[], onlooker: Onlooker = {}): Promise<Outcome> =>
    inSteps(async (cursor) => {
        const at = Number(cursor ?? 0);
        const asked = ids.slice(at, at + 500);
        const answer = await bulk({ action, ids: asked });
        // A slow store is left the rest for the next time.
        const tried = answer.results?.findIndex((one) => one.result === "not_tried") ?? -1;
        const next = at + (tried < 0 ? asked.length : tried);
        return { ...answer, nextCursor: next < ids.length ? String(next) : null };
    }, onlooker);

/** COUNT_CHANGED, and nothing done, when more than `expectedCount` jobs match now. */
export const bulkMatching = (action: Action, filter: JobFilter, expectedCount: number, onlooker: Onlooker = {}): Promise<Outcome> =>
    inSteps((cursor) => bulk({ action, filter: bulkFilter(filter), ...(cursor === null ? { expectedCount } : { cursor }) }), onlooker);
