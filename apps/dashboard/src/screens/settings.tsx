import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { api, type Login, type Platforms } from "../lib/api";
import { ApiError } from "../lib/ask";
import { useCell } from "../lib/cell";
import { useLoaded } from "../lib/live";
import { setTheme, theme, themes } from "../lib/theme";
import { Command, session, Trouble, When } from "../parts/bits";
import { tell } from "../parts/dialogs";

export function SettingsScreen(): JSX.Element {
    return (
        <>
            <h1>Settings</h1>
            <PlatformSettings />
            <Appearance />
            <About />
        </>
    );
}

const platformNames: Record<string, string> = { x: "X", tiktok: "TikTok", web: "Any other page" };

function sourceText(platform: Platforms[string]): string {
    if (platform.locked) return "switched off by the environment of this process; change it there";
    if (platform.source === "store") return "as set here, for all processes";
    return platform.source === "default" ? "as it comes" : `by the ${platform.source}`;
}

function PlatformSettings(): JSX.Element {
    const loaded = useLoaded("platforms", () => api.platforms(), { everyMs: 10_000 });
    const admin = useCell(session)?.role === "admin";
    const [busy, setBusy] = useState("");
    const change = async (name: string, on: boolean): Promise<void> => {
        setBusy(name);
        try {
            await api.setPlatform(name, on);
            tell(`${platformNames[name] ?? name} is ${on ? "on" : "off"} for all processes`);
        } catch (error) {
            tell(error instanceof ApiError ? `${error.code}: ${error.message}` : String(error), true);
        }
        setBusy("");
        loaded.reload();
    };
    return (
        <section class="card" aria-label="Platforms">
            <h2>Platforms</h2>
            <Trouble error={loaded.error} />
            <div class="table-box stacks" role="region" aria-label="Platform settings" tabIndex={0}>
                {/* Its roles are named, since a table whose rows stand as cards is none by itself to every browser. */}
                <table role="table">
                    <thead role="rowgroup">
                        <tr role="row">
                            {["Platform", "State", "Why", ...(admin ? ["Change"] : []), "Log-in"].map((name) => (
                                <th key={name} scope="col" role="columnheader">
                                    {name}
                                </th>
                            ))}
                        </tr>
                    </thead>
                    <tbody role="rowgroup">
                        {Object.entries(loaded.value ?? {}).map(([name, platform]) => (
                            <tr key={name} role="row">
                                <th scope="row" role="rowheader">
                                    {platformNames[name] ?? name}
                                </th>
                                <td role="cell" data-column="State">
                                    <span class={`badge is-${platform.enabled ? "completed" : "canceled"}`}>
                                        <span aria-hidden="true">{platform.enabled ? "✓" : "⊘"}</span> {platform.enabled ? "on" : "off"}
                                    </span>
                                </td>
                                <td role="cell" data-column="Why">
                                    {sourceText(platform)}
                                </td>
                                {admin ? (
                                    <td role="cell" data-column="Change">
                                        <button type="button" disabled={platform.locked || busy === name} onClick={() => void change(name, !platform.enabled)} aria-label={`Switch ${platformNames[name] ?? name} ${platform.enabled ? "off" : "on"}`}>
                                            Switch {platform.enabled ? "off" : "on"}
                                        </button>
                                    </td>
                                ) : null}
                                <td role="cell" data-column="Log-in">
                                    <LogIn name={name} logins={platform.logins ?? []} />
                                </td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            </div>
        </section>
    );
}

/** As the workers say it, with what mends it. */
function LogIn({ name, logins }: { name: string; logins: Login[] }): JSX.Element {
    const command = <Command text={`jobrt auth bootstrap ${name}`} />;
    if (logins.length === 0) return name === "x" || name === "tiktok" ? <>no worker says; {command}</> : <>–</>;
    return (
        <>
            {logins.map((one) => (
                <div key={one.workerId}>
                    <span class={`badge is-${one.loggedIn ? "completed" : "canceled"}`}>
                        <span aria-hidden="true">{one.loggedIn ? "✓" : "⊘"}</span> {one.loggedIn ? "logged in" : "not logged in"}
                    </span>
                    <span class="quiet"> on {one.host}</span>
                    {one.expiresAt ? (
                        <span class="quiet">
                            {" "}
                            until <When at={one.expiresAt} />
                        </span>
                    ) : null}
                </div>
            ))}
            {logins.every((one) => one.loggedIn) ? null : <>Some posts need one; there: {command}</>}
        </>
    );
}

function Appearance(): JSX.Element {
    const current = useCell(theme);
    return (
        <section class="card" aria-label="Appearance">
            <h2>Appearance</h2>
            <div class="switch" role="group" aria-label="Theme">
                {themes.map((name) => (
                    <button key={name} type="button" aria-pressed={current === name} onClick={() => setTheme(name)}>
                        {name}
                    </button>
                ))}
            </div>
        </section>
    );
}

function About(): JSX.Element {
    const status = useLoaded("status", () => api.status(), { everyMs: 10_000 });
    const who = useCell(session);
    const logOut = async (): Promise<void> => {
        await api.logOut().catch(() => undefined);
        location.assign("login");
    };
    const rows: [string, JSX.Element | string][] = [];
    if (status.value) {
        rows.push(["Version", status.value.version], ["Role of this process", status.value.role], ["Store", status.value.store]);
        if (status.value.downloadDir) rows.push(["Downloads", status.value.downloadDir]);
        rows.push(["Up since", <When at={status.value.startedAt} />]);
        const versions = new Set(status.value.sessions.map((one) => one.version));
        rows.push(["Processes on this store", `${status.value.sessions.length}${versions.size > 1 ? `, of different versions: ${[...versions].join(", ")}` : ""}`]);
    }
    if (who) rows.push(["You", who.guarded ? `${who.name}, role ${who.role}` : "everybody who reaches this address may do everything"]);
    return (
        <section class="card" aria-label="About">
            <h2>About</h2>
            <Trouble error={status.error} />
            <dl class="facts">
                {rows.map(([name, value]) => (
                    <div key={name}>
                        <dt>{name}</dt>
                        <dd class="wrap">{value}</dd>
                    </div>
                ))}
            </dl>
            <p class="row">
                {who?.guarded ? (
                    <button type="button" onClick={() => void logOut()}>
                        Log out
                    </button>
                ) : null}
                <a href="assets/third-party.txt">Licenses of the libraries in this page</a>
            </p>
        </section>
    );
}
