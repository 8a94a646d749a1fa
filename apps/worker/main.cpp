// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "cli.hpp"
#include "parts.hpp"
#include "process.hpp"
#include "signals.hpp"

/// jobrt-worker: the role worker and nothing else, so that it links nothing else.
int main(int argc, char** argv) {
    using namespace jobruntime::host;
    block_signals();
    const jobruntime::host::Setup setup{.handlers = {}, .extractors = {}, .sinks = {}, .name = "jobrt-worker"};
    Parts parts;
    parts.worker = make_worker_part;
    return run_cli(argc, argv, setup, {}, [&](const Invocation& in) { return serve(in, parts); }, ProcessRole::worker);
}
