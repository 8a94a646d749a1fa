// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/host.hpp>

#include "log.hpp"
#include "settings.hpp"

namespace jobruntime::host {

/// Exit codes; docs/configuration.md lists them.
inline constexpr int exit_ok = 0, exit_failed = 1, exit_usage = 2, exit_unusable = 69, exit_lost_threads = 70,
                     exit_second_signal = 130;

/// One argument of a command: "--json" (a flag), "--limit N" (an option), "URL" or "[URL]" (positional), "ID..." (several).
struct Argument {
    std::string_view form;
    std::string_view meaning;
    std::string_view fallback = "";
    /// For the program's own use: neither --help nor the manual page has it.
    bool hidden = false;
};

/// Settings, and what they mean.
struct Loaded {
    Settings settings;
    Config config;
};

/// What a command is given.
struct Invocation {
    const Settings& settings;
    const Config& config;
    const Log& log;
    const Setup& setup;
    std::map<std::string, std::vector<std::string>, std::less<>> arguments;
    /// Reads all settings again, from where they came.
    std::function<Result<Loaded>()> reload = {};

    bool has(std::string_view name) const { return arguments.find(name) != arguments.end(); }
    std::string text(std::string_view name) const;
    const std::vector<std::string>& all(std::string_view name) const;
    /// The value of an option that must be a whole number in the range; prints the complaint and returns unset else.
    std::optional<long> number(std::string_view name, long low, long high) const;
};

/// One command of the program; parsing, --help and the man page come from this table.
struct Command {
    std::string_view name;      ///< "save", "jobs list".
    std::string_view summary;   ///< One sentence.
    std::vector<Argument> arguments;
    std::vector<std::string_view> examples;
    std::function<int(const Invocation&)> run;
    /// It waits for SIGINT, SIGTERM and SIGHUP itself (SignalWaiter). They end any other command at once, which at
    /// any moment does no more harm than a power cut.
    bool handles_signals = false;
};

/// Parses, loads settings and runs a command, or `fallback` when none is named. Prints usage errors on stderr.
/// `only`: the one role that this program has.
int run_cli(int argc, char** argv, const Setup& setup, const std::vector<Command>& commands,
            const std::function<int(const Invocation&)>& fallback, std::optional<ProcessRole> only = std::nullopt);

/// The manual page (roff) of a program with these commands.
std::string man_page(const Setup& setup, const std::vector<Command>& commands);

/// Prints one line about an error on stderr: message, and name when it has one.
void complain(const Log& log, const Error& error);

}  // namespace jobruntime::host
