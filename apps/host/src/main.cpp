// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/host.hpp>

#include "cli.hpp"
#include "parts.hpp"
#include "platform_config.hpp"
#include "process.hpp"
#include "signals.hpp"

namespace jobruntime::host {

int main(int argc, char** argv, Setup setup) {
    block_signals();
    const Parts parts{make_api_part, make_worker_part};
    return run_cli(argc, argv, setup, {}, [&](const Invocation& in) {
        if (auto named = check_names(names_of(setup.extractors)); !named) {
            complain(in.log, named.error());
            return exit_usage;
        }
        return serve(in, parts);
    });
}

}  // namespace jobruntime::host
