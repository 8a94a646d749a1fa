// What this server can do, by its own description; what it cannot is not shown.
import { api } from "./api";
import { Cell } from "./cell";

interface Description {
    paths?: Record<string, Record<string, { parameters?: { name?: string }[] }>>;
}

export class Features {
    constructor(private readonly description: Description = {}) {}

    has(method: string, path: string): boolean {
        return this.description.paths?.[path]?.[method.toLowerCase()] !== undefined;
    }
    /** Whether a route's query knows that name. */
    knows(path: string, name: string): boolean {
        return this.description.paths?.[path]?.["get"]?.parameters?.some((one) => one.name === name) ?? false;
    }
}

export const features = new Cell(new Features());

let learning: Promise<void> | null = null;

/** Asks until it is answered, with growing waits: what is not known of is not shown. */
export function learnFeatures(): Promise<void> {
    learning ??= learn().finally(() => (learning = null));
    return learning;
}

async function learn(): Promise<void> {
    for (let wait = 500; ; wait = Math.min(wait * 2, 10_000)) {
        try {
            features.set(new Features((await api.description()) as Description));
            return;
        } catch {
            // The banner says that the server does not answer.
            await new Promise((done) => setTimeout(done, wait));
        }
    }
}
