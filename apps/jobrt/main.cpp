// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <iostream>

#include <boost/json/array.hpp>

#include "commands.hpp"
#include "parts.hpp"
#include "process.hpp"
#include "signals.hpp"

namespace jobruntime::jobrt {
namespace {

boost::json::object command_table(const std::vector<Command>& commands) {
    boost::json::array rows;
    for (const auto& command : commands) {
        boost::json::array arguments;
        for (const auto& argument : command.arguments)
            if (!argument.hidden)
                arguments.push_back(boost::json::object{{"form", argument.form}, {"meaning", argument.meaning}});
        rows.push_back(boost::json::object{{"name", command.name},
                                           {"summary", command.summary},
                                           {"arguments", std::move(arguments)},
                                           {"examples", boost::json::array(command.examples.begin(), command.examples.end())}});
    }
    return {{"ok", true}, {"commands", std::move(rows)}};
}

std::vector<Command> all_commands(const host::Setup& setup) {
    std::vector<Command> all;
    for (const auto& part : {save_commands(), job_commands(), event_commands(), health_commands(), doctor_commands(),
                             config_commands(), store_commands(), import_commands(), auth_commands(), extract_commands(), token_commands(), demo_commands(), bench_commands()})
        all.insert(all.end(), part.begin(), part.end());
    all.push_back({"man", "Prints the manual page of jobrt (roff).", {{"--json", "Print the table of commands as JSON instead."}},
                   {"jobrt man | man -l -"}, [setup](const Invocation& in) {
                       if (in.has("json"))
                           print_json(command_table(all_commands(setup)));
                       else
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
