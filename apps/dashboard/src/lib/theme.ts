import { Cell } from "./cell";

export const themes = ["system", "light", "dark"] as const;
export type Theme = (typeof themes)[number];
const name = "jobrt.theme";

function kept(): Theme {
    try {
        const value = localStorage.getItem(name);
        return value === "light" || value === "dark" ? value : "system";
    } catch {
        return "system"; // A browser that keeps nothing.
    }
}

export const theme = new Cell<Theme>("system");
/** Counts changes of the colours that are shown, also by the system. */
export const coloursChanged = new Cell(0);

function apply(): void {
    document.documentElement.dataset["theme"] = theme.value;
    coloursChanged.set(coloursChanged.value + 1);
}

export function setTheme(value: Theme): void {
    theme.set(value);
    try {
        localStorage.setItem(name, value);
    } catch {
        // It holds for this page then.
    }
    apply();
}

export function startTheme(): void {
    theme.set(kept());
    apply();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
}
