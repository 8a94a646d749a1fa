// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "cli.hpp"

#include <charconv>
#include <filesystem>
#include <iostream>
#include <memory>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "signals.hpp"
#include "stores.hpp"

extern char** environ;

namespace jobruntime::host {
namespace {

std::map<std::string, std::string> environment() {
    std::map<std::string, std::string> variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        std::string_view line(*entry);
        const auto equals = line.find('=');
        if (equals != std::string_view::npos)
            variables[std::string(line.substr(0, equals))] = std::string(line.substr(equals + 1));
    }
    return variables;
}

std::string footer(const Command& command) {
    std::string text = "Examples:\n";
    for (auto example : command.examples) text += "  " + std::string(example) + "\n";
    return text;
}

/// Where CLI11 puts what it parsed; addresses must stay put.
struct Slot {
    std::string key;
    std::vector<std::string> values;
    bool flag = false;
    CLI::Option* option = nullptr;
};

/// "--limit N" → "limit"; "[URL]" → "URL"; "ID..." → "ID".
std::string key_of(std::string_view form) {
    std::string key(form.substr(0, form.find(' ')));
    if (key.starts_with("--")) return key.substr(2);
    if (key.starts_with('[')) key = key.substr(1, key.size() - 2);
    if (key.ends_with("...")) key.resize(key.size() - 3);
    return key;
}

void add_argument(CLI::App& app, const Argument& argument, std::vector<std::unique_ptr<Slot>>& slots) {
    auto slot = std::make_unique<Slot>();
    slot->key = key_of(argument.form);
    const std::string meaning(argument.meaning);
    const auto space = argument.form.find(' ');
    if (argument.form.starts_with("--") && space == std::string_view::npos) {
        slot->flag = true;
        slot->option = app.add_flag(std::string(argument.form), meaning);
    } else if (argument.form.starts_with("--")) {
        slot->option = app.add_option(std::string(argument.form.substr(0, space)), slot->values, meaning)
                           ->type_name(std::string(argument.form.substr(space + 1)))
                           ->expected(1)
                           ->allow_extra_args(false);  // What follows its value is an argument of its own.
        if (!argument.fallback.empty()) slot->option->default_str(std::string(argument.fallback));
    } else {
        slot->option = app.add_option(slot->key, slot->values, meaning);
        slot->option->expected(argument.form.ends_with("...") ? -1 : 1);
        // Else a first positional would take the second's value, too.
        if (!argument.form.ends_with("...")) slot->option->allow_extra_args(false);
        if (!argument.form.starts_with('[')) slot->option->required();
    }
    if (argument.hidden) slot->option->group("");
    slots.push_back(std::move(slot));
}

/// The sub-command for "jobs list", made with its parent "jobs" when that is not there yet.
CLI::App* sub_command(CLI::App& app, const Command& command) {
    CLI::App* parent = &app;
    std::string_view name = command.name;
    if (const auto space = name.find(' '); space != std::string_view::npos) {
        const std::string group(name.substr(0, space));
        parent = nullptr;
        for (auto* known : app.get_subcommands([](CLI::App*) { return true; }))
            if (known->get_name() == group) parent = known;
        if (!parent) {
            parent = app.add_subcommand(group, "Commands about " + group);
            parent->require_subcommand(1);
        }
        name.remove_prefix(space + 1);
    }
    auto* made = parent->add_subcommand(std::string(name), std::string(command.summary));
    made->footer(footer(command));
    made->fallthrough();
    return made;
}

struct Parsed {
    std::map<std::string, std::string> flags;
    std::string env_file;
    const Command* command = nullptr;
    std::map<std::string, std::vector<std::string>, std::less<>> arguments;
};

/// An exit code when parsing has already said all there is to say.
std::optional<int> parse(int argc, char** argv, const Setup& setup, const std::vector<Command>& commands,
                         Parsed& parsed) {
    CLI::App app{"Saves the videos of posts, durably: HTTP API, worker, or both, by ROLE.", setup.name};
    app.set_version_flag("--version", std::string(setup.name) + " " JOBRUNTIME_VERSION);
    app.footer("Settings come from flag > environment > .env file > configuration file > default;\n"
               "an empty value counts as unset. Without a command it serves and works, as ROLE says.");
    std::map<std::string, std::string> given;
    for (const auto& setting : settings_table())
        app.add_option("--" + std::string(setting.key), given[std::string(setting.key)],
                       std::string(setting.meaning) + " [" + std::string(setting.variable) + "]")
            ->group("Settings");
    app.add_option("--env-file", parsed.env_file, "Read this instead of ./.env")->group("Settings");
    app.failure_message([&setup](const CLI::App* where, const CLI::Error& error) {
        return setup.name + ": " + CLI::FailureMessage::simple(where, error);
    });
    app.require_subcommand(0, 1);

    std::vector<std::pair<const Command*, CLI::App*>> subs;
    std::vector<std::vector<std::unique_ptr<Slot>>> slots(commands.size());
    for (std::size_t i = 0; i < commands.size(); ++i) {
        auto* sub = sub_command(app, commands[i]);
        for (const auto& argument : commands[i].arguments) add_argument(*sub, argument, slots[i]);
        subs.emplace_back(&commands[i], sub);
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }
    for (auto& [key, text] : given)
        if (!text.empty()) parsed.flags[key] = text;
    for (std::size_t i = 0; i < subs.size(); ++i) {
        if (!subs[i].second->parsed()) continue;
        parsed.command = subs[i].first;
        for (std::size_t n = 0; n < slots[i].size(); ++n) {
            auto& slot = *slots[i][n];
            const auto fallback = subs[i].first->arguments[n].fallback;
            if (slot.option->count() > 0) {
                parsed.arguments[slot.key] = slot.values;
            } else if (!fallback.empty()) {
                parsed.arguments[slot.key] = {std::string(fallback)};
            }
        }
    }
    return std::nullopt;
}

}  // namespace

std::string Invocation::text(std::string_view name) const {
    const auto& values = all(name);
    return values.empty() ? std::string() : values.front();
}

const std::vector<std::string>& Invocation::all(std::string_view name) const {
    static const std::vector<std::string> none;
    auto found = arguments.find(name);
    return found == arguments.end() ? none : found->second;
}

std::optional<long> Invocation::number(std::string_view name, long low, long high) const {
    const auto given = text(name);
    long value = 0;
    auto [end, code] = std::from_chars(given.data(), given.data() + given.size(), value);
    if (code == std::errc{} && end == given.data() + given.size() && value >= low && value <= high) return value;
    std::cerr << setup.name << ": --" << name << " is \"" << given << "\"; it must be a whole number from " << low << " to " << high
              << "\n";
    return std::nullopt;
}

int run_cli(int argc, char** argv, const Setup& setup, const std::vector<Command>& commands,
            const std::function<int(const Invocation&)>& fallback, std::optional<ProcessRole> only) {
    quiet_drivers();
    Parsed parsed;
    if (auto code = parse(argc, argv, setup, commands, parsed)) return *code;
    const auto directory = std::filesystem::current_path().string();
    auto variables = environment();
    if (only) {
        // A role of the environment is another program's business unless it contradicts this one.
        const std::string mine(to_string(*only));
        for (const auto& given : {parsed.flags["role"], variables["ROLE"], variables["PROCESS_ROLE"]}) {
            if (given.empty() || given == mine) continue;
            std::cerr << setup.name << ": it only has the role " << mine << ", not " << given << "; use jobrt\n";
            return exit_usage;
        }
        parsed.flags["role"] = mine;
    }
    const auto load = [&]() -> Result<Loaded> {
        auto settings = Settings::load(parsed.flags, variables, parsed.env_file, directory);
        if (!settings) return std::move(settings).error();
        auto config = Config::from(*settings, directory);
        if (!config) return std::move(config).error();
        return Loaded{std::move(*settings), std::move(*config)};
    };
    const auto loaded = load();
    if (!loaded) {
        std::cerr << setup.name << ": " << loaded.error().message << "\n";
        return exit_usage;
    }
    Log log(loaded->config.log_format);
    log.set_level(loaded->config.log_level);
    Invocation invocation{loaded->settings, loaded->config, log, setup, std::move(parsed.arguments), load};
    if (!parsed.command) return fallback(invocation);
    if (!parsed.command->handles_signals) unblock_signals();
    return parsed.command->run(invocation);
}

void complain(const Log& log, const Error& error) {
    log.error(error.name.empty() ? error.message : error.name + ": " + error.message);
}

std::string man_page(const Setup& setup, const std::vector<Command>& commands) {
    auto escaped = [](std::string_view text) {
        std::string out;
        for (char c : text) {
            if (c == '\\' || c == '-') out += '\\';
            out += c;
        }
        return out;
    };
    std::string page = ".TH " + setup.name + " 1 \"\" \"jobruntime " JOBRUNTIME_VERSION "\"\n.SH NAME\n" + setup.name +
                       " \\- save the videos of posts, durably\n.SH SYNOPSIS\n.B " + setup.name +
                       "\n[\\fISETTING\\fR ...] [\\fICOMMAND\\fR [\\fIARGUMENT\\fR ...]]\n.SH DESCRIPTION\n"
                       "Without a command it serves the HTTP API and works, as ROLE says, until SIGTERM.\n.SH COMMANDS\n";
    for (const auto& command : commands) {
        page += ".TP\n.B " + escaped(command.name);
        for (const auto& argument : command.arguments)
            if (!argument.hidden) page += " " + escaped(argument.form);
        page += "\n" + escaped(command.summary) + "\n";
        for (const auto& argument : command.arguments)
            if (!argument.hidden) page += ".br\n" + escaped(argument.form) + ": " + escaped(argument.meaning) + "\n";
        for (auto example : command.examples) page += ".br\nExample: " + escaped(example) + "\n";
    }
    page += ".SH SETTINGS\n";
    for (const auto& setting : settings_table()) {
        page += ".TP\n.B \\-\\-" + escaped(setting.key) + ", " + std::string(setting.variable) + "\n" +
                escaped(setting.meaning);
        if (!setting.fallback.empty()) page += " Default: " + escaped(setting.fallback) + ".";
        if (setting.live) page += " SIGHUP takes over a new value.";
        page += "\n";
    }
    page += ".SH EXIT STATUS\n0 done or stopped cleanly, 1 failed, 2 usage or configuration, 69 port taken or store "
            "unusable at start, 70 lost handler threads, 130 after a second signal.\n";
    return page;
}

}  // namespace jobruntime::host
