// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>

#include <fcntl.h>
#include <unistd.h>

#include <jobruntime/extract.hpp>
#include <jobruntime/subprocess.hpp>

#include "extractors.hpp"
#include "logins.hpp"
#include "profile_slot.hpp"

namespace jobruntime::jobrt {
namespace {

bool enabled(const Invocation& in, const host::PlatformConfig& platform) {
    if (platform.id == "x") return in.config.enable_x.value_or(platform.enabled);
    if (platform.id == "tiktok") return in.config.enable_tiktok.value_or(platform.enabled);
    return platform.enabled;
}

/// Platforms that one can log in to: the named one, else all that are switched on. Complains itself.
std::vector<host::PlatformConfig> wanted_platforms(const Invocation& in) {
    const auto wanted = in.text("PLATFORM");
    auto sites = host::MediaConfig::from(in.config);
    std::vector<host::PlatformConfig> platforms;
    if (!sites) {
        fail(in, sites.error());
        return platforms;
    }
    for (const auto& platform : sites->platforms)
        if (!platform.login_cookies.empty() && (wanted.empty() ? enabled(in, platform) : wanted == platform.id))
            platforms.push_back(platform);
    if (platforms.empty())
        fail(in, {Errc::invalid_argument, "INVALID_ARGUMENT", "name x or tiktok; no such platform is switched on"});
    return platforms;
}

int status(const Invocation& in) {
    const auto platforms = wanted_platforms(in);
    if (platforms.empty()) return host::exit_usage;
    const auto profile = first_profile(in);
    const auto cookies = host::known_cookies(profile);
    bool all = true;
    for (const auto& platform : platforms) {
        const auto until = host::logged_in(platform, cookies);
        all = all && until;
        if (!in.has("json"))
            std::cout << platform.id << ": " << (until ? "logged in" : "not logged in; run jobrt auth bootstrap " + platform.id) << "\n";
    }
    host::MediaConfig shown;
    shown.platforms = platforms;
    auto rows = host::login_facts(shown, profile);
    if (in.has("json")) print_json({{"profile", profile}, {"platforms", std::move(rows)}});
    return all ? host::exit_ok : host::exit_failed;
}

/// Writes the file that extractors without a browser read; only its owner may.
Result<void> keep_cookie_file(const std::string& path, const std::vector<Cookie>& cookies) {
    const Error failed{Errc::unavailable, "COOKIES_NOT_KEPT", "cannot write " + path + "; check the folder's rights"};
    const auto text = extract::to_cookie_file(cookies);
    const auto fresh = path + ".new";
    ::unlink(fresh.c_str());
    const Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(file.get()) != 0 ||
        ::rename(fresh.c_str(), path.c_str()) != 0)
        return failed;
    return {};
}

/// The cookies of the file, at most 4 MiB of it.
Result<std::vector<Cookie>> cookies_in(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file || text.view().size() > (1u << 22))
        return Error{Errc::not_found, "INVALID_COOKIE_FILE", "cannot read " + path + ", or it is larger than 4 MiB"};
    auto cookies = extract::parse_cookie_file(text.view());
    if (cookies && cookies->empty())
        return Error{Errc::invalid_argument, "INVALID_COOKIE_FILE", path + " has no cookies"};
    return cookies;
}

/// Whether one of the platform's hosts, or a name below it, gets the cookie. A platform without hosts is every page.
bool is_of(const host::PlatformConfig& platform, const Cookie& cookie) {
    const auto& hosts = platform.rule.hosts;
    return hosts.empty() || std::any_of(hosts.begin(), hosts.end(), [&](const auto& host) {
               return net::host_matches(cookie.domain, host) ||
                      (cookie.subdomains && net::host_matches(host, cookie.domain));
           });
}

/// What is in the kept file already and has not run out, `fresh` over it: another platform's log-in stays.
std::vector<Cookie> with_kept(const std::string& path, const std::vector<Cookie>& fresh) {
    auto all = cookies_in(path).value_or(std::vector<Cookie>());
    const auto now = static_cast<std::int64_t>(std::time(nullptr));
    std::erase_if(all, [&](const Cookie& old) {
        return (old.expires != 0 && old.expires <= now) ||
               std::any_of(fresh.begin(), fresh.end(), [&](const Cookie& one) {
                   return one.domain == old.domain && one.path == old.path && one.name == old.name;
               });
    });
    all.insert(all.end(), fresh.begin(), fresh.end());
    return all;
}

int import_cookies(const Invocation& in) {
    auto sites = host::MediaConfig::from(in.config);
    if (!sites) return fail(in, sites.error());
    const auto* platform = sites->find(in.text("PLATFORM"));
    if (platform == nullptr) {
        std::string known;
        for (const auto& one : sites->platforms) known += (known.empty() ? "" : ", ") + one.id;
        fail(in, {Errc::invalid_argument, "INVALID_ARGUMENT", "\"" + in.text("PLATFORM") + "\" is no platform; there are " + known});
        return host::exit_usage;
    }
    auto cookies = cookies_in(in.text("FILE"));
    if (!cookies) return fail(in, cookies.error());
    // Keys to other accounts have no business in a browser that shows pages of strangers.
    const auto left_out = std::erase_if(*cookies, [&](const auto& cookie) { return !is_of(*platform, cookie); });
    if (cookies->empty())
        return fail(in, {Errc::invalid_argument, "INVALID_COOKIE_FILE",
                         in.text("FILE") + " has no cookie of " + platform->id + ", but " + std::to_string(left_out) +
                             " of other hosts; export it on a page of " + platform->rule.hosts.front()});
    const auto slot = host::ProfileSlot::take(in.config.profile_dir);
    if (!slot) return fail(in, slot.error());
    extract::BrowserOptions options;
    options.program = in.config.browser;
    options.profile_dir = slot->path();
    options.no_sandbox = in.config.browser_no_sandbox;
    options.environment = host::child_environment();
    extract::Browser browser(std::move(options));
    if (auto added = browser.add_cookies(*cookies); !added) return fail(in, added.error());
    browser.close();
    const auto kept_at = host::cookies_path(slot->path());
    if (auto kept = keep_cookie_file(kept_at, with_kept(kept_at, *cookies)); !kept) return fail(in, kept.error());

    std::vector<host::KnownCookie> known;
    for (const auto& cookie : *cookies) known.push_back({cookie.domain, cookie.name, cookie.expires});
    const auto until = host::logged_in(*platform, known);
    if (in.has("json")) {
        print_json({{"ok", true}, {"platform", platform->id}, {"cookies", cookies->size()}, {"leftOut", left_out},
                    {"loggedIn", until.has_value()}, {"profile", slot->path()}});
        return host::exit_ok;
    }
    std::cout << cookies->size() << " cookies of " << platform->id << " are in the profile " << slot->path() << "; delete "
              << in.text("FILE") << ", it is a key to your accounts\n";
    if (left_out > 0) std::cout << left_out << " of other hosts were left out\n";
    if (until)
        std::cout << "The cookie of a log-in is among them\n";
    else if (platform->login_cookies.empty())
        std::cout << "Which cookie a log-in leaves is not configured (loginCookies of " << platform->id << ")\n";
    else
        std::cout << "No cookie of a log-in that is still good is among them (" << platform->login_cookies.front()
                  << "); log in to " << platform->id << " there, then export again\n";
    return host::exit_ok;
}

int bootstrap(const Invocation& in) {
    const auto platforms = wanted_platforms(in);
    if (platforms.empty()) return host::exit_usage;
    std::vector<std::string> pages;
    for (const auto& platform : platforms)
        if (!platform.login_page.empty()) pages.push_back(platform.login_page);
    if (!std::getenv("DISPLAY") && !std::getenv("WAYLAND_DISPLAY"))
        return fail(in, {Errc::unsupported, "BROWSER_LAUNCH_FAILED",
                         "a log-in needs a visible browser, and there is no display; run this where DISPLAY is set"});
    auto nets = host::allowed_networks(in.config);
    if (!nets) return fail(in, nets.error());
    const auto slot = host::ProfileSlot::take(in.config.profile_dir);
    if (!slot) return fail(in, slot.error());
    const auto& profile = slot->path();
    extract::BrowserOptions options;
    options.program = in.config.browser;
    options.profile_dir = profile;
    options.headless = false;
    options.no_sandbox = in.config.browser_no_sandbox;
    options.environment = host::child_environment();
    options.allow_nets = *std::move(nets);
    options.tabs = 1;
    extract::Browser browser(std::move(options));
    if (auto started = browser.start(); !started) return fail(in, started.error());
    std::cerr << "Log in in the window that opens, then close it. The profile is " << profile << "\n";
    if (auto shown = browser.show(pages); !shown) return fail(in, shown.error());
    browser.close();  // Its cookies are written then.
    const auto cookies = host::known_cookies(profile);
    std::string missing;
    for (const auto& platform : platforms)
        if (!host::logged_in(platform, cookies)) missing += (missing.empty() ? "" : ", ") + platform.id;
    if (!missing.empty())
        return fail(in, {Errc::unavailable, "AUTH_REQUIRED", "the window was closed without a log-in to " + missing + "; run this again"});
    std::cerr << "Logged in; retry the failed jobs with jobrt jobs retry ID\n";
    return host::exit_ok;
}

}  // namespace

std::vector<Command> auth_commands() {
    return {{"auth bootstrap", "Opens the log-in page in the worker's browser profile, for a person to log in.",
             {{"[PLATFORM]", "x or tiktok; all that are switched on without it."}, {"--json", "Print errors as JSON."}},
             {"jobrt auth bootstrap x"}, bootstrap},
            {"auth import", "Puts a platform's cookies from a file into the worker's browser profile; needs no display.",
             {{"PLATFORM", "x, tiktok, or another that is configured; cookies of other hosts are left out."},
              {"FILE", "A Netscape file (cookies.txt), as browser extensions write it, or a storage state of Playwright (JSON)."},
              {"--json", "Print JSON."}},
             {"jobrt auth import x cookies.txt", "jobrt auth import x state.json"}, import_cookies},
            {"auth status", "Says for each platform whether somebody is logged in; exit code 1 when one is not.",
             {{"[PLATFORM]", "x or tiktok; all that are switched on without it."}, {"--json", "Print JSON."}},
             {"jobrt auth status", "jobrt auth status x --json"}, status}};
}

}  // namespace jobruntime::jobrt
