// Where the page is: all of it stands in the address after '#', so that Back, reload and a sent link restore it, under
// any path prefix.
import { Cell } from "./cell";

export interface Route {
    path: string[];
    query: URLSearchParams;
}

export function parseRoute(hash: string): Route {
    const text = hash.replace(/^#?\/?/, "");
    const mark = text.indexOf("?");
    const path = (mark < 0 ? text : text.slice(0, mark)).split("/").filter((part) => part !== "");
    return { path: path.map(decoded), query: new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1)) };
}

function decoded(part: string): string {
    try {
        return decodeURIComponent(part);
    } catch {
        return part;
    }
}

export function routeHref(path: string[], query: URLSearchParams): string {
    const names = [...query].filter(([, value]) => value !== "");
    const text = new URLSearchParams(names).toString();
    return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export const route = new Cell<Route>({ path: [], query: new URLSearchParams() });

/** Names of the Activity Panel's own state begin so; they stay when one goes to another screen. */
const panelPrefix = "p.";

export function panelQuery(of: URLSearchParams): URLSearchParams {
    return new URLSearchParams([...of].filter(([name]) => name.startsWith(panelPrefix)));
}

/** The address of a screen; the panel stays as it is. */
export function screenHref(path: string[], query: Record<string, string> = {}): string {
    const all = new URLSearchParams(query);
    for (const [name, value] of panelQuery(route.value.query)) all.append(name, value);
    return routeHref(path, all);
}

export function go(href: string): void {
    location.hash = href;
}

/** Changes names of the query, "" takes one away. */
export function changeQuery(changes: Record<string, string>, how: "push" | "replace" = "push"): void {
    const query = new URLSearchParams(route.value.query);
    for (const [name, value] of Object.entries(changes)) {
        if (value === "") query.delete(name);
        else query.set(name, value);
    }
    const href = routeHref(route.value.path, query);
    if (href === location.hash) return;
    if (how === "push") location.hash = href;
    else {
        history.replaceState(null, "", href);
        follow();
    }
}

function follow(): void {
    route.set(parseRoute(location.hash));
}

export function startRouting(): void {
    addEventListener("hashchange", follow);
    follow();
}
