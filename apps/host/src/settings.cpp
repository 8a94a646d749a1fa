// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "settings.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace jobruntime::host {
namespace {

/// Variables of the program that jobrt takes over from, which mean nothing any more.
constexpr std::array<std::string_view, 9> retired{
    "MONGODB_DB", "MONGODB_DB_NAME",    "WORKER_POLL_MS",  "WORKER_POLL_INTERVAL_MS", "TELEMETRY_POLL_MS",
    "NODE_ENV",   "PLAYWRIGHT_CHANNEL", "VITE_API_PROXY", "TELEMETRY_RETENTION_DAYS"};

Error bad(std::string text) { return {Errc::invalid_argument, "INVALID_CONFIGURATION", std::move(text)}; }

Result<std::string> read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return bad("cannot read " + path + "; check that it exists and is readable");
    std::ostringstream text;
    text << in.rdbuf();
    if (text.view().size() > (1u << 20)) return bad(path + " is larger than 1 MiB; that is no settings file");
    return std::move(text).str();
}

/// Whatever is there counts, also what cannot be read: that is to be an error, not silence.
bool exists(const std::string& path) {
    std::error_code code;
    return std::filesystem::symlink_status(path, code).type() != std::filesystem::file_type::not_found;
}

}  // namespace

const Settings::Value* Settings::find(std::string_view key) const {
    auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
}

std::string Settings::text(std::string_view key) const {
    const auto* value = find(key);
    return value ? value->text : std::string();
}

void Settings::warn(std::string line) {
    // The environment and a .env file may both say it.
    if (std::find(warnings_.begin(), warnings_.end(), line) == warnings_.end()) warnings_.push_back(std::move(line));
}

Result<void> Settings::add_layer(const std::map<std::string, std::string>& variables, Source source,
                                 const std::string& where) {
    const auto given = [&](std::string_view name) {
        const auto found = variables.find(std::string(name));
        return found == variables.end() ? std::string() : found->second;
    };
    for (const auto& setting : settings_table()) {
        if (values_.count(setting.key) != 0) continue;  // A stronger source has said it.
        const auto by_name = given(setting.variable), by_alias = given(setting.alias);
        if (!by_name.empty() && !by_alias.empty() && by_name != by_alias)
            return bad(std::string(setting.variable) + " and " + std::string(setting.alias) + " are both set" +
                       (where.empty() ? "" : " in " + where) + " and differ; they are the same setting, set one of them");
        for (auto name : {setting.variable, setting.alias}) {
            if (name.empty()) continue;
            auto found = variables.find(std::string(name));
            if (found == variables.end() || found->second.empty()) continue;
            values_[std::string(setting.key)] = {found->second, source,
                                                 std::string(name) + (where.empty() ? "" : " in " + where)};
            break;
        }
    }
    for (const auto& variable : variables) {
        const std::string& name = variable.first;  // Not a structured binding: clang 14 captures none.
        if (variable.second.empty()) continue;
        if (std::find(retired.begin(), retired.end(), name) != retired.end() && name != "NODE_ENV")
            warn(name + " has no effect any more and is ignored");
        if (!name.starts_with("JOBRT_") || name.starts_with("JOBRT_TEST_") || name == "JOBRT_FIXTURES" ||
            name == "JOBRT_FAILPOINTS")
            continue;
        auto known = [&](const Setting& setting) { return setting.variable == name || setting.alias == name; };
        if (std::none_of(settings_table().begin(), settings_table().end(), known))
            warn(name + " is not a setting of jobrt and is ignored; see docs/configuration.md");
    }
    return {};
}

Result<void> Settings::add_file(const std::string& path) {
    auto text = read_file(path);
    if (!text) return std::move(text).error();
    boost::system::error_code code;
    boost::json::parse_options options;
    options.allow_comments = true;
    options.allow_trailing_commas = true;
    options.max_depth = 32;
    auto parsed = boost::json::parse(*text, code, {}, options);
    if (code) return bad(path + " is not valid JSON: " + code.message());
    if (!parsed.is_object()) return bad(path + " must hold a JSON object");
    for (const auto& item : parsed.get_object()) {
        const std::string key(item.key());
        if (key == "platforms" || key == "extractors" || key == "pages") {
            structure_[key] = item.value();
            continue;
        }
        auto known = [&](const Setting& setting) { return setting.key == key; };
        if (key == "config" || std::none_of(settings_table().begin(), settings_table().end(), known))
            return bad(path + ": unknown key \"" + key + "\"; see docs/configuration.md for the list");
        if (item.value().is_structured()) return bad(path + ": \"" + key + "\" must be a string, number or boolean");
        if (values_.count(key) != 0 || item.value().is_null()) continue;
        std::string value = item.value().is_string() ? std::string(item.value().get_string())
                                                     : boost::json::serialize(item.value());
        if (!value.empty()) values_[key] = {std::move(value), Source::file, "\"" + key + "\" in " + path};
    }
    return {};
}

Result<Settings> Settings::load(const std::map<std::string, std::string>& flags,
                                const std::map<std::string, std::string>& environment,
                                const std::string& env_file_path, const std::string& directory) {
    Settings loaded;
    for (const auto& [key, text] : flags)
        if (!text.empty()) loaded.values_[key] = {text, Source::flag, "--" + key};
    JR_TRY(loaded.add_layer(environment, Source::environment, ""));

    std::string path = env_file_path;
    if (path.empty()) {
        for (const auto* candidate : {"/.env", "/server/.env"}) {
            if (!exists(directory + candidate)) continue;
            path = directory + candidate;
            if (std::string_view(candidate) == "/server/.env")
                loaded.warn("reading " + path + ", as the old program did; move it to ./.env");
            break;
        }
    }
    loaded.env_file_ = path;
    if (!path.empty()) {
        auto text = read_file(path);
        if (!text) return std::move(text).error();
        auto variables = parse_env_file(*text);
        if (!variables) return bad(path + ": " + variables.error().message);
        JR_TRY(loaded.add_layer(*variables, Source::env_file, path));
    }
    if (const auto* file = loaded.find("config")) {
        const std::string config_path = (std::filesystem::path(directory) / file->text).lexically_normal().string();
        loaded.structure_file_ = config_path;
        JR_TRY(loaded.add_file(config_path));
    }
    for (const auto& setting : settings_table())
        if (!setting.fallback.empty() && loaded.values_.count(setting.key) == 0)
            loaded.values_[std::string(setting.key)] = {std::string(setting.fallback), Source::fallback, "default"};
    return loaded;
}

Result<std::map<std::string, std::string>> parse_env_file(std::string_view text) {
    std::map<std::string, std::string> variables;
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    auto trim = [](std::string_view part) {
        while (!part.empty() && (part.front() == ' ' || part.front() == '\t')) part.remove_prefix(1);
        while (!part.empty() && (part.back() == ' ' || part.back() == '\t' || part.back() == '\r')) part.remove_suffix(1);
        return part;
    };
    int number = 0;
    while (!text.empty()) {
        ++number;
        auto end = text.find('\n');
        auto line = trim(text.substr(0, end));
        auto rest = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
        if (line.empty() || line.front() == '#') {
            text = rest;
            continue;
        }
        // "export = 1" is a variable of that name.
        if (line.starts_with("export ") && !trim(line.substr(7)).starts_with('=')) line = trim(line.substr(7));
        auto equals = line.find('=');
        if (equals == std::string_view::npos || equals == 0)
            return bad("line " + std::to_string(number) + " is not KEY=VALUE");
        std::string key(trim(line.substr(0, equals)));
        if (key.empty()) return bad("line " + std::to_string(number) + " is not KEY=VALUE");
        auto value = trim(line.substr(equals + 1));
        std::string result;
        if (!value.empty() && (value.front() == '"' || value.front() == '\'' || value.front() == '`')) {
            // A quoted value may run over several lines, so it is looked for in all that is left.
            const char quote = value.front();
            const char* begin = value.data() + 1;
            std::string_view tail(begin, static_cast<std::size_t>(text.data() + text.size() - begin));
            auto close = tail.find(quote);
            if (close == std::string_view::npos)
                return bad("line " + std::to_string(number) + " opens a quote that is never closed");
            for (std::size_t i = 0; i < close; ++i) {
                if (quote == '"' && tail[i] == '\\' && i + 1 < close && (tail[i + 1] == 'n' || tail[i + 1] == 'r')) {
                    result += tail[++i] == 'n' ? '\n' : '\r';
                } else if (tail[i] != '\r') {
                    result += tail[i];
                }
            }
            number += static_cast<int>(std::count(tail.begin(), tail.begin() + static_cast<std::ptrdiff_t>(close), '\n'));
            auto line_end = tail.find('\n', close);
            rest = line_end == std::string_view::npos ? std::string_view() : tail.substr(line_end + 1);
        } else {
            auto comment = value.find('#');
            result = std::string(trim(value.substr(0, comment)));
        }
        variables[key] = std::move(result);
        text = rest;
    }
    return variables;
}

}  // namespace jobruntime::host
