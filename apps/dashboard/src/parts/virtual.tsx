import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** A list of which only what is seen is made. All rows have one height; row 0 is on top. */
export function VirtualList({ count, height, label, growsOnTop = false, keyOf, row }: {
    count: number;
    height: number;
    label: string;
    /** New rows come in on top: who reads further down keeps his place. */
    growsOnTop?: boolean;
    keyOf: (index: number) => string | number;
    row: (index: number) => JSX.Element;
}): JSX.Element {
    const box = useRef<HTMLDivElement>(null);
    const [top, setTop] = useState(0);
    const [seen, setSeen] = useState(600);
    useLayoutEffect(() => {
        const element = box.current;
        if (!element) return;
        const measure = (): void => setSeen(element.clientHeight);
        measure();
        const observer = new ResizeObserver(measure);
        observer.observe(element);
        return () => observer.disconnect();
    }, []);
    const before = useRef({ count, first: keyOf(0) });
    useLayoutEffect(() => {
        const element = box.current;
        const old = before.current;
        before.current = { count, first: keyOf(0) };
        if (!element || !growsOnTop || element.scrollTop < height || old.first === before.current.first) return;
        let moved = 0;
        while (moved < count && moved < 20_000 && keyOf(moved) !== old.first) ++moved;
        if (moved < count && moved < 20_000) element.scrollTop += moved * height;
    });
    useEffect(() => {
        if (box.current && box.current.scrollTop > count * height) box.current.scrollTop = 0;
    }, [count, height]);
    const first = Math.max(0, Math.floor(top / height) - 4);
    const last = Math.min(count, Math.ceil((top + seen) / height) + 4);
    const rows = [];
    for (let index = first; index < last; ++index)
        rows.push(
            <li key={keyOf(index)} aria-setsize={count} aria-posinset={index + 1} style={{ top: `${index * height}px`, height: `${height}px` }}>
                {row(index)}
            </li>,
        );
    return (
        <div class="virtual" ref={box} tabIndex={0} role="region" aria-label={label} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
            <ol style={{ height: `${count * height}px` }}>{rows}</ol>
        </div>
    );
}
