// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extractors.hpp"

#include <cstdlib>

namespace jobruntime::host {

std::vector<std::string> child_environment(const std::vector<std::string>& further) {
    std::vector<std::string> names{"PATH", "HOME", "LANG", "LC_ALL", "TZ", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR",
                                   "XAUTHORITY", "TMPDIR", "FONTCONFIG_PATH"};
    names.insert(names.end(), further.begin(), further.end());
    std::vector<std::string> environment;
    for (const auto& name : names)
        if (const char* value = std::getenv(name.c_str()); value && *value) environment.push_back(name + "=" + value);
    return environment;
}

Result<std::vector<net::Network>> allowed_networks(const Config& config) {
    std::string list;
    for (const auto& net : config.allow_nets) list += net + " ";
    auto parsed = net::Network::parse_list(list);
    if (!parsed)
        return Error{Errc::invalid_argument, "INVALID_CONFIGURATION",
                     "JOBRT_ALLOW_NETS is refused: " + parsed.error().message};
    return parsed;
}

std::string cookies_path(const std::string& profile_dir) { return profile_dir + "/jobrt-cookies.txt"; }

std::shared_ptr<extract::CommandExtractor> make_command(const CommandConfig& command,
                                                        const std::vector<net::Network>& nets,
                                                        extract::Recording* recording) {
    extract::CommandOptions options;
    options.name = command.name;
    options.argv = command.argv;
    options.environment = child_environment(command.environment);
    std::erase_if(options.environment, [](const auto& entry) { return entry.starts_with("TMPDIR="); });
    options.allow_nets = nets;
    options.recording = recording;
    return std::make_shared<extract::CommandExtractor>(std::move(options));
}

Result<extract::PageRules> page_rules(const Config& config, const MediaConfig& media) {
    // Rules of the file come first, so that one for a site of its own is asked before ours for every page.
    auto rules = media.pages;
    for (const auto& [name, rule] : extract::default_page_rules())
        if (!rules.contains(name)) rules[name] = rule;
    if (rules.contains("web")) {  // It takes every page, so it is last.
        auto web = rules.at("web");
        rules.erase("web");
        rules["web"] = std::move(web);
    }
    auto parsed = extract::PageRules::parse(rules);
    if (!parsed)
        return Error{Errc::invalid_argument, "INVALID_CONFIGURATION",
                     config.config_file + ": " + parsed.error().message + "; see docs/extractors.md"};
    return parsed;
}

Result<ExtractorChain::Known> make_extractors(const Config& config, const MediaConfig& media,
                                              const net::Fetcher& fetcher, extract::Recording* recording) {
    auto nets = allowed_networks(config);
    if (!nets) return std::move(nets).error();
    auto rules = page_rules(config, media);
    if (!rules) return std::move(rules).error();
    ExtractorChain::Known known;
    known["page"] = std::make_shared<extract::PageExtractor>(fetcher, *std::move(rules),
                                                             extract::PageOptions{.allow_nets = *nets, .recording = recording});
    extract::YtDlpOptions yt_dlp;
    yt_dlp.program = config.yt_dlp;
    yt_dlp.environment = child_environment();
    yt_dlp.allow_nets = *nets;
    yt_dlp.recording = recording;
    known["yt-dlp"] = std::make_shared<extract::YtDlpExtractor>(std::move(yt_dlp));
    for (const auto& command : media.commands) known[command.name] = make_command(command, *nets, recording);
    return known;
}

}  // namespace jobruntime::host
