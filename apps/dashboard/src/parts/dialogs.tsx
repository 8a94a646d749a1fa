// Questions before what cannot be undone, and what came of it.
import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Cell, useCell } from "../lib/cell";
import { route } from "../lib/route";

/** What a question says, and its button. */
export interface Wording {
    title: string;
    text: string;
    yes: string;
}

interface Question extends Wording {
    id: number;
    danger: boolean;
    /** Nobody can agree yet: what is asked is still looked for. */
    waits: boolean;
    /** How far that is. */
    soFar: string;
    answer: (yes: boolean) => void;
}

const asked = new Cell<Question | null>(null);
let nextQuestion = 1;

/** Resolves to whether the person agreed. */
export function confirm(title: string, text: string, yes: string, danger = false): Promise<boolean> {
    return confirmFound({ title, text, yes }, null, danger);
}

type Find = (signal: AbortSignal, say: (soFar: string) => void) => Promise<Wording | null>;

/**
 * The same, open at once with the first words, while what is to be asked is still looked for, which may say how far it is; when
 * that is null, there is nothing to ask. Who goes back meanwhile ends the search.
 */
export function confirmFound(first: Wording, find: Find | null, danger: boolean): Promise<boolean> {
    return new Promise((resolve, reject) => {
        asked.value?.answer(false);
        const gone = new AbortController();
        const answer = (yes: boolean): void => {
            gone.abort();
            resolve(yes);
        };
        const shared = { id: nextQuestion++, danger, answer };
        asked.set({ ...first, ...shared, waits: find !== null, soFar: "" });
        const isOpen = (): boolean => asked.value?.id === shared.id;
        const say = (soFar: string): void => {
            if (isOpen()) asked.set({ ...first, ...shared, waits: true, soFar });
        };
        find?.(gone.signal, say).then(
            (found) => {
                if (!isOpen()) return;
                asked.set(found ? { ...found, ...shared, waits: false, soFar: "" } : null);
                if (!found) answer(false);
            },
            (error: unknown) => {
                if (!isOpen()) return;
                asked.set(null);
                reject(error);
            },
        );
    });
}

export function ConfirmDialog(): JSX.Element | null {
    const question = useCell(asked);
    return question ? <Dialog key={question.id} question={question} /> : null;
}

function Dialog({ question }: { question: Question }): JSX.Element {
    const box = useRef<HTMLDialogElement>(null);
    // At once: a key pressed before it is open would go to the page behind it.
    useLayoutEffect(() => {
        const dialog = box.current;
        dialog?.showModal();
        // Closed, not only taken away, it gives the focus back; the page behind it takes none while it is open.
        return () => dialog?.close();
    }, []);
    const close = (yes: boolean): void => {
        asked.set(null);
        question.answer(yes);
    };
    // What is asked is about what stood behind it: who goes Back, or elsewhere, has not agreed.
    const at = useCell(route);
    const before = useRef(at);
    useLayoutEffect(() => {
        if (before.current !== at) close(false);
    }, [at]);
    return (
        <dialog
            ref={box}
            aria-labelledby="dialog-title"
            onCancel={(event) => {
                event.preventDefault();
                close(false);
            }}
        >
            <h2 id="dialog-title">{question.title}</h2>
            <p aria-live="polite">{question.text}</p>
            {/* Changes many times a second: whoever listens to the page hears what comes of it only. */}
            {question.soFar ? <p class="quiet">{question.soFar}</p> : null}
            <p class="row end">
                <button type="button" onClick={() => close(false)}>
                    Go back
                </button>
                <button type="button" class={question.danger ? "danger" : "primary"} disabled={question.waits} onClick={() => close(true)}>
                    {question.yes}
                </button>
            </p>
        </dialog>
    );
}

interface Note {
    id: number;
    text: string;
    bad: boolean;
    /** It changes each second: whoever listens to the page hears what came of it only. */
    silent?: boolean;
    onDismiss?: () => void;
    onStop?: () => void;
    stopping?: boolean;
}

const notes = new Cell<readonly Note[]>([]);
let nextNote = 1;

/** Says something for a while, also to who listens to the page. */
export function tell(text: string, bad = false): void {
    const id = nextNote++;
    notes.set([...notes.value.slice(-3), { id, text, bad }]);
    setTimeout(() => dismiss(id), bad ? 15_000 : 6_000);
}

/** Says how far something is that takes its time, until it has ended, and lets it be stopped. */
export function follow(stop: () => void): { say: (text: string) => void; end: () => void } {
    const id = nextNote++;
    let unwanted = false;
    let stopping = false;
    const onDismiss = (): void => {
        unwanted = true;
    };
    const onStop = (): void => {
        stopping = true;
        stop();
        notes.set(notes.value.map((one) => (one.id === id ? { ...one, stopping } : one)));
    };
    return {
        say: (text) => {
            if (unwanted) return;
            const note = { id, text, bad: false, silent: true, onDismiss, onStop, stopping };
            const shown = notes.value.some((one) => one.id === id);
            notes.set(shown ? notes.value.map((one) => (one.id === id ? note : one)) : [...notes.value.slice(-3), note]);
        },
        end: () => dismiss(id),
    };
}

function dismiss(id: number): void {
    notes.set(notes.value.filter((note) => note.id !== id));
}

export function Notes(): JSX.Element {
    const shown = useCell(notes);
    return (
        <div class="notes" role="status" aria-live="polite">
            {shown.map((note) => (
                <div key={note.id} class={`note ${note.bad ? "is-bad" : ""}`} aria-live={note.silent ? "off" : undefined}>
                    <span class="grow">{note.text}</span>
                    {/* What has begun is not given up. It stays as it is, where the focus is. */}
                    {note.onStop ? (
                        <button type="button" class="small" onClick={note.onStop}>
                            {note.stopping ? "Stopping…" : "Stop"}
                        </button>
                    ) : null}
                    <button
                        type="button"
                        class="small"
                        aria-label="Dismiss"
                        onClick={() => {
                            note.onDismiss?.();
                            dismiss(note.id);
                        }}
                    >
                        ×
                    </button>
                </div>
            ))}
        </div>
    );
}

const helpOpen = new Cell(false);
export const toggleHelp = (): void => helpOpen.set(!helpOpen.value);

const keys: [string, string][] = [
    ["/", "search jobs, or the panel's filter"],
    ["j  k", "next, previous job"],
    ["Enter", "open the job"],
    ["x  X", "select the job, all from the last one to it"],
    ["r", "retry the job, or the selected ones"],
    ["c", "cancel the job, or the selected ones"],
    ["t", "light, dark, or the system's theme"],
    ["p", "pause the Activity Panel"],
    ["Esc", "leave a field, close a dialog, clear the selection"],
    ["?", "these keys"],
];

export function HelpDialog(): JSX.Element | null {
    const open = useCell(helpOpen);
    const box = useRef<HTMLDialogElement>(null);
    useLayoutEffect(() => {
        if (open) box.current?.showModal();
    }, [open]);
    if (!open) return null;
    return (
        <dialog ref={box} aria-labelledby="help-title" onClose={() => helpOpen.set(false)}>
            <h2 id="help-title">Keys</h2>
            <table class="keys">
                <tbody>
                    {keys.map(([key, what]) => (
                        <tr key={key}>
                            <th scope="row">
                                <kbd>{key}</kbd>
                            </th>
                            <td>{what}</td>
                        </tr>
                    ))}
                </tbody>
            </table>
            <p class="row end">
                {/* By its own close(), which gives the focus back. */}
                <button type="button" class="primary" onClick={() => box.current?.close()}>
                    Close
                </button>
            </p>
        </dialog>
    );
}
