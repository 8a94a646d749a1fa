import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { useCell } from "./lib/cell";
import { useKeys } from "./lib/keys";
import { go, route, screenHref } from "./lib/route";
import { setTheme, theme, themes } from "./lib/theme";
import { togglePause } from "./lib/watching";
import { Banner } from "./parts/banner";
import { ConfirmDialog, HelpDialog, Notes, toggleHelp } from "./parts/dialogs";
import { Panel, ToActivity } from "./parts/panel";
import { HomeScreen } from "./screens/home";
import { JobScreen } from "./screens/job";
import { JobsScreen } from "./screens/jobs";
import { QueuesScreen } from "./screens/queues";
import { SettingsScreen } from "./screens/settings";
import { WorkersScreen } from "./screens/workers";

interface ScreenEntry {
    path: string;
    name: string;
    show: () => JSX.Element;
}

const screens: ScreenEntry[] = [
    { path: "", name: "Home", show: HomeScreen },
    { path: "jobs", name: "Jobs", show: JobsScreen },
    { path: "workers", name: "Workers", show: WorkersScreen },
    { path: "queues", name: "Queues", show: QueuesScreen },
    { path: "settings", name: "Settings", show: SettingsScreen },
];

function nextTheme(): void {
    setTheme(themes[(themes.indexOf(theme.value) + 1) % themes.length] ?? "system");
}

/** To the search of the jobs; there already, or with a job open, to the panel's filter. */
function focusSearch(): void {
    const search = document.querySelector<HTMLInputElement>("form.filters input") ?? document.querySelector<HTMLInputElement>("#panel-filter");
    search?.focus();
    search?.select();
}

export function App(): JSX.Element {
    const at = useCell(route);
    const [first = "", id] = at.path;
    const screen = screens.find((one) => one.path === first);
    useKeys({
        "/": focusSearch,
        t: nextTheme,
        p: togglePause,
        "?": toggleHelp,
    });
    useEffect(() => {
        const onEscape = (event: KeyboardEvent): void => {
            if (event.key === "Escape" && event.target instanceof HTMLInputElement) event.target.blur();
        };
        addEventListener("keydown", onEscape);
        return () => removeEventListener("keydown", onEscape);
    }, []);
    const main = useRef<HTMLElement>(null);
    const where = at.path.join("/");
    const before = useRef(where);
    // At once: a focus that comes late would be taken from a field in which somebody types already.
    useLayoutEffect(() => {
        document.title = `${id ? "Job" : (screen?.name ?? "Not found")} · jobrt`;
        // Who listens to the page hears where he is now; who looks begins on top.
        if (before.current !== where) {
            main.current?.focus({ preventScroll: true });
            main.current?.scrollTo(0, 0);
        }
        before.current = where;
    }, [where]);
    return (
        <>
            <a
                class="skip"
                href="#main"
                onClick={(event) => {
                    event.preventDefault();
                    main.current?.focus();
                }}
            >
                Skip to the content
            </a>
            <Top first={first} />
            <div class="columns">
                <main ref={main} id="main" tabIndex={-1}>
                    <Banner />
                    {first === "jobs" && id ? <JobScreen key={id} id={id} /> : screen ? <screen.show /> : <Lost />}
                </main>
                <Panel />
            </div>
            <Notes />
            <ConfirmDialog />
            <HelpDialog />
        </>
    );
}

function Top({ first }: { first: string }): JSX.Element {
    const current = useCell(theme);
    return (
        <header class="top">
            <a class="name" href={screenHref([])}>
                jobrt
            </a>
            <nav aria-label="Screens">
                {screens.map((one) => (
                    <a key={one.path} href={screenHref(one.path ? [one.path] : [])} aria-current={one.path === first ? "page" : undefined}>
                        {one.name}
                    </a>
                ))}
            </nav>
            <span class="grow" />
            <ToActivity />
            <button type="button" class="small" onClick={nextTheme} aria-keyshortcuts="t" title="Theme: dark, light, as the system (t)">
                <span class="wide">theme: </span>
                {current}
            </button>
            <button type="button" class="small" onClick={toggleHelp} aria-label="Keys" aria-keyshortcuts="?">
                ?
            </button>
        </header>
    );
}

function Lost(): JSX.Element {
    return (
        <section class="card empty" aria-label="Not found">
            <h1>There is no such screen</h1>
            <p>
                <button type="button" onClick={() => go(screenHref([]))}>
                    Home
                </button>
            </p>
        </section>
    );
}
