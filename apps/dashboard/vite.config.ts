import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

/** What the licenses of the libraries in the page ask for: their text goes where their code goes. */
function notices(): Plugin {
    return {
        name: "notices",
        apply: "build",
        generateBundle() {
            const text = ["preact", "uplot"]
                .map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}\n`)
                .join("\n----\n\n");
            this.emitFile({ type: "asset", fileName: "assets/third-party.txt", source: text });
        },
    };
}

// The API that the development server passes requests on to.
const api = process.env["JOBRT_API"] ?? "http://127.0.0.1:4000";

export default defineConfig({
    base: "./",
    plugins: [notices()],
    esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
    // The sources are a link beside node_modules: build folders stay out of the tree.
    resolve: { preserveSymlinks: true },
    // Else the development server finds the runtime of JSX while a page loads, and may have it load anew.
    optimizeDeps: { include: ["preact", "preact/hooks", "preact/jsx-dev-runtime", "uplot"] },
    build: {
        target: "es2021",
        assetsInlineLimit: 0,
        modulePreload: false,
        cssCodeSplit: false,
        reportCompressedSize: false,
        rollupOptions: { output: { manualChunks: undefined } },
    },
    server: {
        port: 5173,
        strictPort: true,
        host: "127.0.0.1",
        // What this page needs and nothing else of the machine, and to no page of another origin: any that a browser
        // here opens could ask.
        fs: { allow: ["index.html", "src", "node_modules"] },
        cors: false,
        proxy: Object.fromEntries(
            ["/api", "/login", "/logout", "/downloads", "/metrics", "/openapi.json"].map((path) => [path, { target: api }]),
        ),
    },
});
