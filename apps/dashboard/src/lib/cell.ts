import { useEffect, useState } from "preact/hooks";

/** A value that parts of the page watch. */
export class Cell<T> {
    private readonly watchers = new Set<() => void>();
    constructor(private current: T) {}

    get value(): T {
        return this.current;
    }
    set(value: T): void {
        if (Object.is(value, this.current)) return;
        this.current = value;
        for (const watcher of [...this.watchers]) watcher();
    }
    watch(watcher: () => void): () => void {
        this.watchers.add(watcher);
        return () => this.watchers.delete(watcher);
    }
}

export function useCell<T>(cell: Cell<T>): T {
    const [value, setValue] = useState(cell.value);
    useEffect(() => {
        const update = (): void => setValue(() => cell.value);
        update();
        return cell.watch(update);
    }, [cell]);
    return value;
}
