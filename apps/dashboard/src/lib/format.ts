// Numbers, times and sizes for people.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** "12.3 s", "4 min 10 s", "3 h 5 min", "2 d 4 h". */
export function duration(ms: number): string {
    if (!Number.isFinite(ms)) return "–";
    const time = Math.max(0, ms);
    if (time < 1000) return `${Math.round(time)} ms`;
    if (time < 59_950) return `${(time / 1000).toFixed(1)} s`;
    const seconds = Math.round(time / 1000);
    if (seconds < 3600) return pair(seconds, 60, "min", "s");
    const minutes = Math.round(seconds / 60);
    if (minutes < 1440) return pair(minutes, 60, "h", "min");
    return pair(Math.round(minutes / 60), 24, "d", "h");
}

function pair(small: number, each: number, bigName: string, smallName: string): string {
    const rest = small % each;
    return `${Math.floor(small / each)} ${bigName}${rest ? ` ${rest} ${smallName}` : ""}`;
}

export function bytes(count: number): string {
    if (count < 1000) return `${count} B`;
    const units = ["kB", "MB", "GB", "TB"];
    let value = count;
    let unit = "";
    for (unit of units) {
        value /= 1000;
        if (value < 999.5) break;
    }
    return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

export function count(value: number): string {
    return whole.format(value);
}

/** Share of a whole, "3.2 %". */
export function percent(share: number): string {
    const value = share * 100;
    return `${value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
}

/** Time of day, with the date when it is not today's. */
export function localTime(iso: string, now = new Date()): string {
    const time = new Date(iso);
    if (Number.isNaN(time.getTime())) return iso;
    return time.toDateString() === now.toDateString() ? clock.format(time) : `${day.format(time)}, ${clock.format(time)}`;
}

export function shortId(id: string): string {
    return id.length > 12 ? `…${id.slice(-8)}` : id;
}

export function plural(n: number, one: string, many = `${one}s`): string {
    return `${count(n)} ${n === 1 ? one : many}`;
}
