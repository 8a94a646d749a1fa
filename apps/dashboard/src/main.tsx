import { render } from "preact";
import { App } from "./app";
import { api, renewSession } from "./lib/api";
import { feed } from "./lib/feed";
import { startRouting } from "./lib/route";
import { startTheme } from "./lib/theme";
import { session } from "./parts/bits";
import "./style/base.css";
import "./style/parts.css";
import "./style/tables.css";
import "./style/screens.css";
import "./style/panel.css";

/** Until it is known who asks, nothing can be changed. */
async function learnSession(): Promise<void> {
    for (let wait = 500; ; wait = Math.min(wait * 2, 10_000)) {
        try {
            session.set(await api.session());
            return;
        } catch {
            await new Promise((done) => setTimeout(done, wait));
        }
    }
}

startTheme();
startRouting();
void learnSession();
// Somebody may have logged in, on another page.
feed.state.watch(() => {
    if (feed.state.value === "live") void renewSession(session);
});
feed.start();
const place = document.getElementById("app");
if (place) render(<App />, place);
