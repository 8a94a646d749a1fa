// What this server can do, by its own description; what it cannot is not shown.
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

export async function learnFeatures(): Promise<void> {
    try {
        const answer = await fetch("openapi.json");
        if (answer.ok) features.set(new Features((await answer.json()) as Description));
    } catch {
        // The banner says that the server does not answer.
    }
}
