// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <iostream>

#include "commands.hpp"
#include "parts.hpp"
#include "process.hpp"
#include "signals.hpp"

namespace jobruntime::jobrt {
namespace {

std::vector<Command> all_commands(const host::Setup& setup) {
    std::vector<Command> all;
    for (const auto& part : {save_commands(), job_commands(), event_commands(), health_commands(), doctor_commands(),
                             config_commands(), store_commands(), import_commands(), auth_commands(), extract_commands(), token_commands(), demo_commands(), bench_commands()})
        all.insert(all.end(), part.begin(), part.end());
    all.push_back({"man", "Prints the manual page of jobrt (roff).", {}, {"jobrt man | man -l -"},
                   [setup](const Invocation&) {
                       std::cout << host::man_page(setup, all_commands(setup));
                       return host::exit_ok;
                   }});
    return all;
}

}  // namespace
}  // namespace jobruntime::jobrt

/// jobrt: does what ROLE says, and has the commands.
int main(int argc, char** argv) {
    using namespace jobruntime;
    host::block_signals();
    const host::Setup setup;
    const host::Parts parts{host::make_api_part, host::make_worker_part};
    return host::run_cli(argc, argv, setup, jobrt::all_commands(setup),
                         [&](const host::Invocation& in) { return host::serve(in, parts); });
}
