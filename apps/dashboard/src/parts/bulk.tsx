// Changes of many jobs, asked before and told after.
import { actionWords, fitting, mayDo, tellOutcome } from "../lib/actions";
import type { Action, Job, JobFilter } from "../lib/api";
import { ApiError } from "../lib/ask";
import { count, plural } from "../lib/format";
import { bulkIds, bulkMatching, countAll, type Onlooker, type Outcome } from "../lib/many";
import { confirm, confirmFound, follow, tell, type Wording } from "./dialogs";

/** Tells how far it is while it takes its time, where it can be stopped, and what came of it. True when it came to an end. */
async function perform(action: Action, n: number, change: (onlooker: Onlooker) => Promise<Outcome>): Promise<boolean> {
    const stop = new AbortController();
    const way = follow(() => stop.abort());
    const told = (so: Outcome): void => way.say(`${actionWords[action].name}: ${count(so.done + so.refused)} of ${plural(n, "job")} so far`);
    try {
        const outcome = await change({ told, stop: stop.signal });
        tell(tellOutcome(action, outcome, n), outcome.refused > 0 || (!!outcome.stopped && !outcome.byWish));
        return true;
    } catch (error) {
        tell(error instanceof ApiError ? `${error.code}: ${error.message}` : String(error), true);
        return false;
    } finally {
        way.end();
    }
}

/** Those of the jobs that the action fits. True when something was done. */
export async function changeMany(action: Action, jobs: readonly Job[]): Promise<boolean> {
    const ids = jobs.filter((job) => mayDo(action, job)).map((job) => job.id);
    const words = actionWords[action];
    if (ids.length === 0) {
        tell(`Nothing to ${action}: no selected job is in a state for it`, true);
        return false;
    }
    const left = jobs.length - ids.length;
    const besides = left > 1 ? ` ${count(left)} others stay as they are: their state does not fit.` : left > 0 ? " 1 other stays as it is: its state does not fit." : "";
    // What is done is not done again by one key.
    if (ids.length > 1 || action !== "retry" || jobs.some((job) => job.status === "completed")) {
        const yes = await confirm(`${words.name} ${plural(ids.length, "job")}?`, words.ending + besides, `${words.name} ${count(ids.length)}`, action === "delete");
        if (!yes) return false;
    }
    await perform(action, ids.length, (onlooker) => bulkIds(action, ids, onlooker));
    return true;
}

/**
 * All jobs that match the filter and whose state fits. They are counted to the last one, so that the question names how many; that
 * can take its time, and the question says meanwhile how many it is at least.
 */
export async function changeMatching(action: Action, filter: JobFilter): Promise<boolean> {
    const words = actionWords[action];
    const which = fitting(action, filter);
    let n = 0;
    const find = async (signal: AbortSignal, say: (text: string) => void): Promise<Wording | null> => {
        n = which ? await countAll(which, (atLeast) => say(`At least ${plural(atLeast, "job")} so far`), signal) : 0;
        if (n > 0) return { title: `${words.name} all ${plural(n, "matching job")}?`, text: words.ending, yes: `${words.name} ${count(n)}` };
        tell(`Nothing to ${action}: no matching job is in a state for it`, true);
        return null;
    };
    const first = { title: `${words.name} all matching jobs?`, text: "Counting them…", yes: `${words.name} all` };
    try {
        const yes = await confirmFound(first, find, action !== "retry");
        if (!yes || !which) return false;
        return await perform(action, n, (onlooker) => bulkMatching(action, which, n, onlooker));
    } catch (error) {
        tell(error instanceof ApiError ? `${error.code}: ${error.message}` : String(error), true);
        return false;
    }
}
