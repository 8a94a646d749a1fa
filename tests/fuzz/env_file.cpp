// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <map>

#include "fuzz.hpp"
#include "host/src/settings.hpp"

namespace jobruntime::fuzz {
namespace {

using Variables = std::map<std::string, std::string>;

bool is_plain_name(std::string_view name) {
    expect(!name.empty(), "a variable without a name");
    return std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
}

/// The variables as a file would say them, with a quote that their text does not have; those that no quote can hold
/// are taken out.
std::string as_file(Variables& variables) {
    std::string text;
    for (auto variable = variables.begin(); variable != variables.end();) {
        const std::string& name = variable->first;
        const std::string& value = variable->second;
        const char quote = value.find('\'') == std::string::npos ? '\'' : '`';
        const bool can = is_plain_name(name) && value.find('\r') == std::string::npos && value.find(quote) == std::string::npos;
        if (can) text += name + " = " + quote + value + quote + "\n";
        variable = can ? std::next(variable) : variables.erase(variable);
    }
    return text;
}

void expect_typed(const Variables& variables) {
    const auto settings = host::Settings::load({}, variables, "", "/nowhere");
    if (!settings) {
        expect(settings.error().name == "INVALID_CONFIGURATION", "an error of another name: " + settings.error().name);
        return;
    }
    const auto config = host::Config::from(*settings, "/nowhere");
    if (!config) {
        expect(config.error().name == "INVALID_CONFIGURATION", "an error of another name: " + config.error().name);
        return;
    }
    expect(config->port >= 0 && config->port <= 65'535, "a port that is none");
    expect(config->lease >= 3 * config->heartbeat, "a lease shorter than three beats");
    expect(config->concurrency >= 0 && config->per_host > 0 && config->max_segments > 0, "a number out of its bounds");
    expect(config->store.starts_with("sqlite:/") || config->store.starts_with("mongodb"), "a store that is none: " + config->store);
    for (const auto* path : {&config->download_dir, &config->profile_dir})
        expect(path->starts_with('/'), "a path that depends on where one is: " + *path);
}

}  // namespace

/// A file of variables, and what they mean as settings.
void env_file(std::string_view input) {
    auto variables = host::parse_env_file(input);
    if (!variables) return;
    Variables kept = *variables;
    const auto text = as_file(kept);
    const auto again = host::parse_env_file(text);
    expect(again.has_value() && *again == kept, "variables are written as others:\n" + text);
    variables->erase("JOBRT_CONFIG");  // It would have any file read.
    expect_typed(*variables);
}

}  // namespace jobruntime::fuzz
