// Small things that many screens show.
import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Job, JobState, Session } from "../lib/api";
import type { ApiError } from "../lib/ask";
import { Cell } from "../lib/cell";
import { duration, localTime } from "../lib/format";
import { writeJson, type Json } from "../lib/json";
import { tell } from "./dialogs";

export const session = new Cell<Session | null>(null);

export function mayOperate(who: Session | null): boolean {
    return who?.role === "operate" || who?.role === "admin";
}

const signs: Record<string, string> = {
    scheduled: "◷",
    queued: "◌",
    running: "▶",
    completed: "✓",
    failed: "✕",
    canceled: "⊘",
    deleted: "–",
};

/** A state by sign and word; the colour only helps. */
export function Badge({ state }: { state: JobState | string }): JSX.Element {
    return (
        <span class={`badge is-${state in signs ? state : "other"}`}>
            <span aria-hidden="true">{signs[state] ?? "?"}</span> {state}
        </span>
    );
}

/** A time as titles have it. */
export const utcOf = (iso: string): string => `${iso.replace("T", " ").replace("Z", "")} UTC`;

/** A time in the reader's zone, with UTC in the title. */
export function When({ at }: { at: string | null | undefined }): JSX.Element {
    if (!at) return <span class="quiet">–</span>;
    return (
        <time dateTime={at} title={utcOf(at)}>
            {localTime(at)}
        </time>
    );
}

/** How long ago, or how long until. */
export function Ago({ at, now }: { at: string; now: number }): JSX.Element {
    const ms = now - Date.parse(at);
    return (
        <time dateTime={at} title={utcOf(at)}>
            {ms >= 0 ? `${duration(ms < 1000 ? 0 : ms)} ago` : `in ${duration(-ms)}`}
        </time>
    );
}

/** Why a job waits, in the API's words; a time in them, which is the job's own, as all times here. */
export function Why({ job }: { job: Pick<Job, "waitingFor" | "runAt"> }): JSX.Element {
    const words = job.waitingFor ?? "";
    const until = /^waits until \d{4}-\d\d-\d\dT[\d:.]+Z/.exec(words)?.[0];
    if (!until) return <>{words}</>;
    return (
        <>
            waits until <When at={job.runAt} />
            {words.slice(until.length)}
        </>
    );
}

async function copyText(text: string): Promise<boolean> {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {
        // Without TLS a browser has no clipboard for pages that are not on loopback.
        const before = document.activeElement;
        const box = document.createElement("textarea");
        box.value = text;
        document.body.append(box);
        box.select();
        const done = document.execCommand("copy");
        box.remove();
        if (before instanceof HTMLElement) before.focus({ preventScroll: true });
        return done;
    }
}

export function Copy({ text, what }: { text: string; what: string }): JSX.Element {
    const [said, say] = useState("");
    const copy = async (): Promise<void> => {
        const done = await copyText(text);
        say(done ? "copied" : "not copied");
        if (!done) tell(`The browser did not let ${what} be copied: select the text and copy it by hand`, true);
        setTimeout(() => say(""), 1500);
    };
    return (
        <button type="button" class="small" onClick={() => void copy()} aria-label={`Copy ${what}`}>
            <span role="status">{said || "copy"}</span>
        </button>
    );
}

/** Something to run in a terminal. */
export function Command({ text }: { text: string }): JSX.Element {
    return (
        <span class="command">
            <code>{text}</code> <Copy text={text} what="the command" />
        </span>
    );
}

/** A command that asks this very server. */
export function curl(path: string, guarded: boolean, options = ""): string {
    const base = location.href.replace(/[?#].*$/, "").replace(/[^/]*$/, "");
    return `curl -s${options} ${base}${path}${guarded ? " -H 'authorization: Bearer YOUR_TOKEN'" : ""}`;
}

export function JsonView({ title, value }: { title: string; value: Json }): JSX.Element {
    const text = writeJson(value);
    return (
        <section class="card" aria-label={title}>
            <header class="row">
                <h2>{title}</h2>
                <Copy text={text} what={title} />
            </header>
            <pre class="json" tabIndex={0}>
                {text}
            </pre>
        </section>
    );
}

/**
 * A field whose text stands in the address once its form is sent. It says what stands there whenever that is not what
 * stood there before, or was sent: also when Back came so soon that the page never saw the address in between. What
 * somebody types meanwhile stays when other things in the address change.
 */
export function AddressField({ value, at, ...more }: { value: string; at: URLSearchParams } & JSX.HTMLAttributes<HTMLInputElement>): JSX.Element {
    const field = useRef<HTMLInputElement>(null);
    const stood = useRef(value);
    useLayoutEffect(() => {
        if (field.current && value !== stood.current) field.current.value = value;
        stood.current = value;
    }, [at]);
    useLayoutEffect(() => {
        const form = field.current?.form;
        const sent = (): void => void (stood.current = field.current?.value ?? "");
        form?.addEventListener("submit", sent);
        return () => form?.removeEventListener("submit", sent);
    }, []);
    return <input {...more} ref={field} type="search" defaultValue={value} spellcheck={false} />;
}

export function Trouble({ error }: { error: ApiError | undefined }): JSX.Element | null {
    if (!error) return null;
    return (
        <p class="trouble" role="alert">
            <strong>{error.code}</strong> {error.message}
        </p>
    );
}

export function Bar({ percent, label }: { percent: number | null; label: string }): JSX.Element {
    return percent === null ? (
        <progress aria-label={label} max={100} />
    ) : (
        <progress aria-label={label} max={100} value={percent}>
            {Math.round(percent)} %
        </progress>
    );
}

type Tone = "warn" | "bad";
/** The colour only helps. */
const toneSigns: Record<Tone, { sign: string; word: string }> = { warn: { sign: "⚠", word: "warning" }, bad: { sign: "✕", word: "bad" } };

/** A card with a figure. */
export function Tile({ name, value, href, tone, more }: {
    name: ComponentChildren;
    value: ComponentChildren;
    href?: string;
    tone?: Tone;
    more?: ComponentChildren;
}): JSX.Element {
    const inside = (
        <>
            <span class="tile-name">
                {name}
                {tone ? (
                    <span class="tile-sign" role="img" aria-label={toneSigns[tone].word}>
                        {toneSigns[tone].sign}
                    </span>
                ) : null}
            </span>
            <span class="tile-value">{value}</span>
            {more ? <span class="tile-more">{more}</span> : null}
        </>
    );
    const kind = `tile ${tone ? `is-${tone}` : ""}`;
    return href ? (
        <a class={kind} href={href}>
            {inside}
        </a>
    ) : (
        <div class={kind}>{inside}</div>
    );
}
