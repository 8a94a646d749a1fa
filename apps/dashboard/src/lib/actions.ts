// What a person does to jobs, and what is told about it.
import { api, jobStates, type Action, type Job, type JobFilter, type JobState } from "./api";
import { count } from "./format";
import type { Outcome } from "./many";

export const actionWords: Record<Action, { name: string; done: string; ending: string }> = {
    retry: { name: "Retry", done: "queued again", ending: "They run again and keep their finished steps." },
    cancel: { name: "Cancel", done: "canceled", ending: "Those that wait end now; those that run are asked to stop." },
    delete: { name: "Delete", done: "deleted", ending: "Saved files go with their jobs. This cannot be undone." },
};

/** States in which the API takes the action. */
const fits: Record<Action, readonly JobState[]> = {
    retry: ["scheduled", "completed", "failed", "canceled"],
    cancel: ["scheduled", "queued", "running"],
    delete: ["scheduled", "queued", "completed", "failed", "canceled"],
};

export function mayDo(action: Action, job: Pick<Job, "status" | "cancelRequestedAt">): boolean {
    return fits[action].includes(job.status);
}

export async function perform(action: Action, id: string): Promise<void> {
    if (action === "retry") await api.retry(id);
    else if (action === "cancel") await api.cancel(id);
    else await api.remove(id);
}

/** The filter, and of its states only those that the action fits; null when none is left. */
export function fitting(action: Action, filter: JobFilter): JobFilter | null {
    const wanted = filter.status ? filter.status.split(",") : jobStates;
    const status = wanted.filter((state) => fits[action].includes(state as JobState));
    return status.length > 0 ? { ...filter, status: status.join(",") } : null;
}

/** Of so many that were to be done. */
export function tellOutcome(action: Action, outcome: Outcome, all: number): string {
    const refused = `${count(outcome.refused)} refused${outcome.firstRefusal ? ` (${outcome.firstRefusal})` : ""}`;
    const done = `${count(outcome.done)} ${outcome.stopped ? `of ${count(all)} ` : ""}${actionWords[action].done}${outcome.refused > 0 ? `, ${refused}` : ""}`;
    return outcome.stopped ? `${done}, then ${outcome.stopped}` : done;
}
