// The Activity Panel: what happens now, on the right of every screen.
import type { JSX } from "preact";
import { useCell } from "../lib/cell";
import { feed } from "../lib/feed";
import { duration } from "../lib/format";
import { useNow } from "../lib/live";
import { changeQuery, route } from "../lib/route";
import { filterByTyped, filterIn, paused, togglePause, type Filter } from "../lib/watching";
import { ActiveView } from "./active";
import { AddressField } from "./bits";
import { HistoryView } from "./history";

interface StreamSaid {
    word: string;
    sign: string;
    /** How long ago the server was heard, or had been before the pause: so old is what is shown. Empty before it ever was. */
    age: string;
    /** While paused: how the stream is, when it is not as it should be. */
    besides: string;
}

function useStream(): StreamSaid {
    const state = useCell(feed.state);
    const heardAt = useCell(feed.heardAt);
    const stopped = useCell(paused);
    const now = useNow();
    const live = state === "live" ? "Live" : state === "connecting" ? "Connecting" : "Reconnecting";
    const word = stopped ? "Paused" : live;
    const sign = stopped ? "❚❚" : state === "live" ? "●" : "◌";
    const heard = stopped ? stopped.heardAt : heardAt;
    const seconds = heard === null ? null : Math.max(0, Math.floor((now - heard) / 1000));
    const age = seconds === null ? "" : seconds < 60 ? `${seconds} s` : duration(seconds * 1000);
    const besides = stopped && state !== "live" ? ` · ${live.toLowerCase()}` : "";
    return { word, sign, age, besides };
}

function StreamState(): JSX.Element {
    const { word, sign, age, besides } = useStream();
    return (
        <p class={`stream is-${word.toLowerCase()}`} data-state={word.toLowerCase()}>
            <span aria-hidden="true">{sign}</span> <strong role="status">{word}</strong>
            <span class="quiet">
                {" · "}
                {age === "" ? "–" : word === "Paused" ? `${age} old` : `heard ${age} ago`}
                {besides}
            </span>
        </p>
    );
}

/** To the panel where it is below the screen; says of it what has to be seen wherever one is. */
export function ToActivity(): JSX.Element {
    const { word, sign, age } = useStream();
    const ago = age === "" ? "–" : `${age} ago`;
    return (
        <button
            type="button"
            class={`small to-activity is-${word.toLowerCase()}`}
            aria-label={`Activity: ${word} · ${ago}`}
            onClick={() => document.getElementById("activity")?.scrollIntoView()}
        >
            <span aria-hidden="true">{sign}</span> {word} <span class="quiet">· {ago}</span>
        </button>
    );
}

export function Panel(): JSX.Element {
    const { query } = useCell(route);
    useCell(feed.version);
    const upTo = useCell(paused)?.upTo ?? null;
    const filter = filterIn(query);
    const view = query.get("p.view") === "history" ? "history" : "active";
    const raw = query.get("p.raw") === "1";
    return (
        <aside class="panel" id="activity" aria-label="Activity Panel">
            <header>
                <h2>Activity</h2>
                <StreamState />
                <button type="button" class="small" aria-pressed={upTo !== null} onClick={togglePause} aria-keyshortcuts="p">
                    {upTo === null ? "Pause" : "Resume"}
                </button>
            </header>
            <FilterForm filter={filter} query={query} />
            <div class="row panel-views">
                <div class="switch" role="group" aria-label="View">
                    {(["active", "history"] as const).map((name) => (
                        <button key={name} type="button" aria-pressed={view === name} onClick={() => changeQuery({ "p.view": name === "active" ? "" : name })}>
                            {name === "active" ? "Active" : "History"}
                        </button>
                    ))}
                </div>
                <label>
                    <input type="checkbox" checked={raw} onChange={(event) => changeQuery({ "p.raw": event.currentTarget.checked ? "1" : "" })} /> raw
                </label>
            </div>
            {view === "active" ? <ActiveView filter={filter} raw={raw} /> : <HistoryView filter={filter} upTo={upTo} raw={raw} />}
        </aside>
    );
}

function FilterForm({ filter, query }: { filter: Filter; query: URLSearchParams }): JSX.Element {
    const current = filter.job || filter.trace;
    return (
        <form
            class="row panel-filter"
            role="search"
            aria-label="Filter activity"
            onSubmit={(event) => {
                event.preventDefault();
                void filterByTyped(String(new FormData(event.currentTarget).get("id") ?? ""));
            }}
        >
            <AddressField id="panel-filter" name="id" placeholder="job or trace id" aria-label="Job or trace id" value={current} at={query} />
            <select aria-label="Level" value={filter.level} onChange={(event) => changeQuery({ "p.level": event.currentTarget.value })}>
                <option value="">all levels</option>
                <option value="warn">warnings</option>
                <option value="error">errors</option>
            </select>
            {current ? (
                <button type="button" class="small" onClick={() => changeQuery({ "p.job": "", "p.trace": "" })}>
                    Clear
                </button>
            ) : null}
        </form>
    );
}
