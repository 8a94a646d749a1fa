import { useLayoutEffect, useRef } from "preact/hooks";

export type Keys = Record<string, () => unknown>;

function isTyping(target: EventTarget | null): boolean {
    if (!(target instanceof HTMLElement)) return false;
    if (target instanceof HTMLInputElement) return target.type !== "checkbox";
    return target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

/** Single keys, while nobody types into a field and no dialog is open. */
export function useKeys(keys: Keys): void {
    const latest = useRef(keys);
    latest.current = keys;
    // At once: the keys of what is shown already are not to be lost.
    useLayoutEffect(() => {
        const onKey = (event: KeyboardEvent): void => {
            if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
            if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
            // Enter belongs to what has the focus, when that is something to press.
            if (event.key === "Enter" && event.target instanceof HTMLElement && event.target.closest("a, button, summary")) return;
            const run = latest.current[event.key];
            if (!run) return;
            event.preventDefault();
            run();
        };
        addEventListener("keydown", onKey);
        return () => removeEventListener("keydown", onKey);
    }, []);
}
