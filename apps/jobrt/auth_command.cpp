// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include <unistd.h>

#include <jobruntime/extract.hpp>
#include <jobruntime/subprocess.hpp>

#include "profile_slot.hpp"

namespace jobruntime::jobrt {
namespace {

struct LogIn {
    std::string_view platform;
    std::string_view page;
};
constexpr LogIn log_ins[] = {{"x", "https://x.com/login"}, {"tiktok", "https://www.tiktok.com/login"}};

bool enabled(const Invocation& in, std::string_view platform) {
    return (platform == "x" ? in.config.enable_x : in.config.enable_tiktok).value_or(true);
}

std::vector<std::string> display_environment() {
    std::vector<std::string> environment;
    for (const auto* name : {"PATH", "HOME", "LANG", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "XAUTHORITY"})
        if (const char* value = std::getenv(name)) environment.push_back(std::string(name) + "=" + value);
    return environment;
}

int bootstrap(const Invocation& in) {
    const auto wanted = in.text("PLATFORM");
    std::vector<std::string> pages;
    for (const auto& log_in : log_ins)
        if (wanted.empty() ? enabled(in, log_in.platform) : wanted == log_in.platform) pages.emplace_back(log_in.page);
    if (pages.empty()) {
        fail(in, {Errc::invalid_argument, "INVALID_ARGUMENT", "name x or tiktok; no such platform is switched on"});
        return host::exit_usage;
    }
    if (!std::getenv("DISPLAY") && !std::getenv("WAYLAND_DISPLAY"))
        return fail(in, {Errc::unsupported, "BROWSER_LAUNCH_FAILED",
                         "a log-in needs a visible browser, and there is no display; run this where DISPLAY is set"});
    if (geteuid() == 0 && !in.config.browser_no_sandbox)
        return fail(in, {Errc::unsupported, "BROWSER_LAUNCH_FAILED",
                         "Chromium does not start as root with its sandbox; run this as the worker's own user"});
    auto browser = extract::find_browser(in.config.browser);
    if (!browser) return fail(in, browser.error());
    const auto slot = host::ProfileSlot::take(in.config.profile_dir);
    if (!slot) return fail(in, slot.error());
    const auto& profile = slot->path();
    std::error_code code;
    std::filesystem::create_directories(profile, code);
    std::filesystem::permissions(profile, std::filesystem::perms::owner_all, code);
    if (code) return fail(in, {Errc::unavailable, "BROWSER_LAUNCH_FAILED", "cannot use " + profile + ": " + code.message()});

    SpawnOptions options;
    options.argv = {*browser, "--user-data-dir=" + profile, "--password-store=basic", "--no-first-run"};
    if (in.config.browser_no_sandbox) options.argv.push_back("--no-sandbox");
    options.argv.insert(options.argv.end(), pages.begin(), pages.end());
    options.env = display_environment();
    auto child = Subprocess::spawn(options);
    if (!child) return fail(in, child.error());
    std::cerr << "Log in in the window that opens, then close it. The profile is " << profile << "\n";
    auto ended = child->wait();
    if (!ended) return fail(in, ended.error());
    if (!ended->success())
        return fail(in, {Errc::unavailable, "BROWSER_LAUNCH_FAILED",
                         "the browser ended with " + to_string(*ended) + "; is the profile in use by a running worker?"});
    std::cerr << "The profile is kept; retry the failed jobs with jobrt jobs retry ID\n";
    return host::exit_ok;
}

}  // namespace

std::vector<Command> auth_commands() {
    return {{"auth bootstrap", "Opens the log-in page in the worker's browser profile, for a person to log in.",
             {{"[PLATFORM]", "x or tiktok; all that are switched on without it."}, {"--json", "Print errors as JSON."}},
             {"jobrt auth bootstrap x"}, bootstrap}};
}

}  // namespace jobruntime::jobrt
