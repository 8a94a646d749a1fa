// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <iomanip>
#include <iostream>

#include <boost/json/serialize.hpp>
#include <jobruntime/telemetry_sink.hpp>

#include "platform_config.hpp"
#include "stores.hpp"

namespace jobruntime::jobrt {
namespace {

int show_config(const Invocation& in) {
    boost::json::object all;
    for (const auto& setting : host::settings_table()) {
        const auto* value = in.settings.find(setting.key);
        const bool address = setting.key == "store" || setting.key == "mongodb-uri";
        const std::string text = !value ? std::string() : address ? host::public_address(value->text) : redact(value->text);
        const std::string where = value ? std::string(host::to_string(value->source)) : "unset";
        if (in.has("json"))
            all[setting.key] = {{"variable", setting.variable},
                                {"value", value ? boost::json::value(text) : boost::json::value(nullptr)},
                                {"source", where}};
        else
            std::cout << std::left << std::setw(22) << setting.key << " " << std::setw(12) << where << " " << text << "\n";
    }
    auto sites = host::MediaConfig::from(in.config);
    if (!sites) return fail(in, sites.error());
    // The rules of pages that are ours are long; what the file changes is what one looks for.
    for (auto& [name, value] : sites->shown()) {
        if (in.has("json"))
            all[name] = value;
        else
            std::cout << std::left << std::setw(22) << std::string(name) << " " << std::setw(12)
                      << (in.config.structure.contains(name) ? "file" : "default") << " " << boost::json::serialize(value) << "\n";
    }
    if (in.has("json")) print_json(all);
    for (const auto& warning : in.settings.warnings()) in.log.warn(warning);
    if (auto known = sites->check_extractors(); !known) in.log.warn(known.error().message);
    return host::exit_ok;
}

}  // namespace

std::vector<Command> config_commands() {
    return {{"config show", "Shows every setting and where it comes from.", {{"--json", "Print JSON."}},
             {"jobrt config show"}, show_config}};
}

}  // namespace jobruntime::jobrt
