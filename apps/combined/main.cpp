// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "cli.hpp"
#include "parts.hpp"
#include "process.hpp"
#include "signals.hpp"

/// jobrt-combined: HTTP API and worker in one process, without jobrt's commands.
int main(int argc, char** argv) {
    using namespace jobruntime::host;
    block_signals();
    const jobruntime::host::Setup setup{.handlers = {}, .extractors = {}, .sinks = {}, .name = "jobrt-combined"};
    const Parts parts{make_api_part, make_worker_part};
    return run_cli(argc, argv, setup, {}, [&](const Invocation& in) { return serve(in, parts); },
                   ProcessRole::combined);
}
