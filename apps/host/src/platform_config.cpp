// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "platform_config.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "url_pattern.hpp"

namespace jobruntime::host {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

/// Codes that say nothing final about the post: the next extractor may know better.
const std::vector<std::string> usual_next{"UNSUPPORTED_SOURCE", "AUTH_REQUIRED", "BOT_CHALLENGE", "RATE_LIMITED", "NETWORK",
                                          "EXTRACTION_TIMEOUT", "EXTRACTOR_CRASHED", "EXTRACTOR_PROTOCOL", "EXTRACTOR_NOT_FOUND",
                                          "BROWSER_LAUNCH_FAILED", "TOO_LARGE"};

/// What page, browser and yt-dlp may say besides the codes of rules for pages.
const std::vector<std::string> known_codes{
    "NO_MEDIA", "VIDEO_UNAVAILABLE", "AUTH_REQUIRED", "BOT_CHALLENGE", "RATE_LIMITED", "GEO_BLOCKED", "DRM_PROTECTED",
    "UNSUPPORTED_SOURCE", "EXTRACTION_TIMEOUT", "SSRF_BLOCKED", "INVALID_URL", "NETWORK", "TOO_LARGE", "DOWNLOAD_STALLED", "DISK_FULL",
    "EXTRACTOR_CRASHED", "EXTRACTOR_PROTOCOL", "EXTRACTOR_NOT_FOUND", "COOKIES_NOT_READ", "INVALID_COOKIE_FILE", "RECORDING_INCOMPLETE",
    "BROWSER_LAUNCH_FAILED", "BROWSER_PROFILE_IN_USE"};

/// A site that stays silent would else take the time of those behind it.
constexpr milliseconds page_timeout{30'000};

/// What an extractor's name alone means in the list of a platform.
ExtractorUse usual(std::string name, std::string_view platform) {
    ExtractorUse use{std::move(name), std::nullopt, 1, usual_next};
    if (use.name != "page") return use;
    use.timeout = page_timeout;
    // What a page says without its scripts is not all that it shows, unless our rules know where its data is.
    if (platform != "x" && platform != "tiktok") use.next_on.push_back("NO_MEDIA");
    return use;
}

std::vector<PlatformConfig> our_platforms() {
    std::vector<PlatformConfig> all;
    for (const auto& rule : net::default_platforms()) {
        PlatformConfig platform{rule.id, true, rule, {}, "", {}};
        platform.extractors = {usual("page", rule.id), usual("browser", rule.id)};
        if (rule.id == "x") {
            platform.login_page = "https://x.com/login";
            platform.login_cookies = {"auth_token@x.com"};
        } else if (rule.id == "tiktok") {
            platform.login_page = "https://www.tiktok.com/login";
            platform.login_cookies = {"sessionid@tiktok.com"};
        }
        all.push_back(std::move(platform));
    }
    return all;
}

/// Reads one object strictly; the first complaint is kept.
class Part {
public:
    Part(const json::value& value, std::string where, std::optional<Error>& error)
        : object_(value.if_object()), where_(std::move(where)), error_(error) {
        if (object_ == nullptr) refuse("", "an object");
    }
    const json::value* find(std::string_view name) {
        known_.emplace_back(name);
        return object_ == nullptr ? nullptr : object_->if_contains({name.data(), name.size()});
    }
    std::string text(std::string_view name) {
        const auto* value = find(name);
        if (value != nullptr && !value->is_string()) refuse(name, "a string");
        return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
    }
    std::optional<bool> flag(std::string_view name) {
        const auto* value = find(name);
        if (value == nullptr) return std::nullopt;
        if (!value->is_bool()) refuse(name, "true or false");
        return value->is_bool() && value->get_bool();
    }
    std::optional<long> number(std::string_view name, long low, long high) {
        const auto* value = find(name);
        if (value == nullptr) return std::nullopt;
        const auto* whole = value->if_int64();
        if (whole == nullptr || *whole < low || *whole > high)
            refuse(name, "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
        return whole == nullptr ? low : static_cast<long>(*whole);
    }
    std::optional<std::vector<std::string>> texts(std::string_view name) {
        const auto* value = find(name);
        if (value == nullptr) return std::nullopt;
        std::vector<std::string> out;
        const auto* array = value->if_array();
        if (array == nullptr) refuse(name, "an array of strings");
        if (array != nullptr)
            for (const auto& entry : *array) {
                if (!entry.is_string()) refuse(name, "an array of strings");
                if (entry.is_string()) out.emplace_back(entry.get_string());
            }
        return out;
    }
    void done() {
        if (object_ == nullptr) return;
        for (const auto& item : *object_) {
            if (std::find(known_.begin(), known_.end(), std::string_view(item.key())) != known_.end()) continue;
            std::string names;
            for (const auto& known : known_) names += (names.empty() ? "" : ", ") + known;
            refuse(item.key(), "left out; what is known here: " + names);
        }
    }
    void refuse(std::string_view name, const std::string& expected) {
        if (!error_)
            error_ = Error{Errc::invalid_argument, "INVALID_CONFIGURATION",
                           where_ + (name.empty() ? "" : "." + std::string(name)) + " must be " + expected};
    }

private:
    const json::object* object_;
    const std::string where_;
    std::optional<Error>& error_;
    std::vector<std::string> known_;
};

bool is_built_in(std::string_view name) { return name == "page" || name == "browser" || name == "yt-dlp"; }

bool contains(const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/// Whether it is none of ours but the operator's, or of the program that this is the library of.
bool is_program(const MediaConfig& config, std::string_view name) {
    return contains(config.own, name) ||
           std::any_of(config.commands.begin(), config.commands.end(), [&](const auto& one) { return one.name == name; });
}

bool is_id(std::string_view text) {
    return !text.empty() && text.size() <= 32 && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    });
}

/// `"page"`, or `{"use":"page","timeoutMs":…,"attempts":…,"nextOn":[…]}`.
ExtractorUse read_use(const json::value& value, const std::string& where, std::string_view platform, std::optional<Error>& error) {
    if (value.is_string()) return usual(std::string(value.get_string()), platform);
    Part part(value, where, error);
    auto use = usual(part.text("use"), platform);
    if (use.name.empty()) part.refuse("use", "an extractor's name");
    if (auto ms = part.number("timeoutMs", 100, 86'400'000)) use.timeout = milliseconds(*ms);
    if (auto attempts = part.number("attempts", 1, 10)) use.attempts = static_cast<int>(*attempts);
    if (auto codes = part.texts("nextOn")) use.next_on = *std::move(codes);
    part.done();
    return use;
}

void read_address_rules(Part& part, PlatformConfig& platform, std::optional<Error>& error) {
    if (auto hosts = part.texts("hosts")) platform.rule.hosts = *std::move(hosts);
    const auto posts = part.texts("posts");
    PostPatterns patterns{platform.id, platform.rule.hosts, posts.value_or(std::vector<std::string>()), part.text("canonical"),
                          part.text("nthCanonical"), part.texts("shortLinks").value_or(std::vector<std::string>())};
    if (!posts && patterns.short_links.empty()) {
        if (!patterns.canonical.empty()) part.refuse("canonical", "left out where there are no posts");
        if (!patterns.nth_canonical.empty()) part.refuse("nthCanonical", "left out where there are no posts");
        if (!platform.rule.canonical) part.refuse("posts", "patterns of its posts' paths, like [\"/talk/{id}\"]");
        return;
    }
    auto rule = post_rule(std::move(patterns), platform.rule.canonical);
    if (rule)
        platform.rule.canonical = *std::move(rule);
    else if (!error)
        part.refuse(rule.error().name, rule.error().message);
}

void read_platforms(const json::object& platforms, MediaConfig& config, std::optional<Error>& error) {
    for (const auto& [name, value] : platforms) {
        const std::string id(name);
        const std::string where = "platforms." + id;
        Part part(value, where, error);
        if (!is_id(id)) part.refuse("", "named with a-z, 0-9, _ and -");
        auto found = std::find_if(config.platforms.begin(), config.platforms.end(), [&](const auto& p) { return p.id == id; });
        if (found == config.platforms.end()) {
            // In front of `web`, which takes what nobody else does.
            const auto last = std::find_if(config.platforms.begin(), config.platforms.end(), [](const auto& p) { return p.id == "web"; });
            found = config.platforms.insert(last, PlatformConfig{id, true, {id, {}, {}}, {usual("page", id), usual("browser", id)}, "", {}});
        }
        found->enabled = part.flag("enabled").value_or(found->enabled);
        read_address_rules(part, *found, error);
        if (id != "web" && found->rule.hosts.empty()) part.refuse("hosts", "the names of its hosts");
        if (const auto* list = part.find("extractors")) {
            if (!list->is_array() || list->get_array().empty()) part.refuse("extractors", "an array with at least one extractor");
            found->extractors.clear();
            if (list->is_array())
                for (const auto& use : list->get_array())
                    found->extractors.push_back(read_use(use, where + ".extractors", id, error));
        }
        if (auto page = part.text("loginPage"); !page.empty()) found->login_page = std::move(page);
        if (auto cookies = part.texts("loginCookies")) found->login_cookies = *std::move(cookies);
        part.done();
    }
}

void read_commands(const json::object& extractors, const std::string& directory, MediaConfig& config,
                   std::optional<Error>& error) {
    for (const auto& [name, value] : extractors) {
        Part part(value, "extractors." + std::string(name), error);
        CommandConfig command;
        command.name = std::string(name);
        if (is_built_in(name)) part.refuse("", "named otherwise; this one is built in");
        if (contains(config.own, name)) part.refuse("", "named otherwise; the program has one of this name");
        command.argv = part.texts("command").value_or(std::vector<std::string>());
        if (command.argv.empty() || command.argv.front().empty()) part.refuse("command", "an array: the program, then its arguments");
        // The program runs in a folder of its own, so its path is taken from where the file lies.
        if (!command.argv.empty() && command.argv.front().find('/') != std::string::npos)
            command.argv.front() = (std::filesystem::path(directory) / command.argv.front()).lexically_normal().string();
        command.environment = part.texts("environment").value_or(std::vector<std::string>());
        part.done();
        config.commands.push_back(std::move(command));
    }
}

const json::object* member(const Config& config, std::string_view name, std::optional<Error>& error) {
    const auto* value = config.structure.if_contains({name.data(), name.size()});
    if (value == nullptr) return nullptr;
    if (!value->is_object() && !error)
        error = Error{Errc::invalid_argument, "INVALID_CONFIGURATION", std::string(name) + " must be an object"};
    return value->if_object();
}

bool is_code(std::string_view text) {
    return !text.empty() && text.size() <= 64 && text.front() >= 'A' && text.front() <= 'Z' &&
           std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; });
}

/// Whether some rule for pages says this code.
bool names_code(const json::value& rules, std::string_view code) {
    if (const auto* text = rules.if_string()) return std::string_view(*text) == code;
    if (const auto* list = rules.if_array())
        return std::any_of(list->begin(), list->end(), [&](const auto& one) { return names_code(one, code); });
    const auto* object = rules.if_object();
    return object != nullptr && std::any_of(object->begin(), object->end(), [&](const auto& one) { return names_code(one.value(), code); });
}

/// A code that nobody says would silently end the list where it is to go on. Programs have codes of their own.
void check_codes(const PlatformConfig& platform, const ExtractorUse& use, const MediaConfig& config, std::optional<Error>& error) {
    const bool program = !is_built_in(use.name);
    for (const auto& code : use.next_on) {
        const bool said = program || std::find(known_codes.begin(), known_codes.end(), code) != known_codes.end() ||
                          names_code(config.pages, code);
        if (error || (is_code(code) && said)) continue;
        std::string all;
        for (const auto& known : known_codes) all += (all.empty() ? "" : ", ") + known;
        error = Error{Errc::invalid_argument, "INVALID_CONFIGURATION",
                      "platforms." + platform.id + ".extractors.nextOn names \"" + code + "\", which must be " +
                          (program ? std::string("a code like NO_MEDIA") : "a code that " + use.name + " may say: one of a rule in pages, or " + all)};
    }
}

json::array array_of(const std::vector<std::string>& texts) { return json::array(texts.begin(), texts.end()); }

}  // namespace

Result<MediaConfig> MediaConfig::from(const Config& config, const std::vector<std::string>& own) {
    MediaConfig made;
    made.own = own;
    made.file = config.config_file;
    made.platforms = our_platforms();
    std::optional<Error> error;
    const auto directory = std::filesystem::path(config.config_file).parent_path().string();
    if (const auto* extractors = member(config, "extractors", error)) read_commands(*extractors, directory, made, error);
    if (const auto* platforms = member(config, "platforms", error)) read_platforms(*platforms, made, error);
    if (const auto* pages = member(config, "pages", error)) made.pages = *pages;
    for (const auto& platform : made.platforms)
        for (const auto& use : platform.extractors) check_codes(platform, use, made, error);
    if (error) {
        error->message = config.config_file + ": " + error->message + "; see docs/configuration.md";
        return *std::move(error);
    }
    return made;
}

Result<void> MediaConfig::check_extractors(std::string_view platform) const {
    for (const auto& one : platforms)
        for (const auto& use : one.extractors) {
            if ((!platform.empty() && one.id != platform) || is_built_in(use.name) || is_program(*this, use.name)) continue;
            std::string names;
            for (const auto& name : own) names += ", " + name;
            return Error{Errc::invalid_argument, "INVALID_CONFIGURATION",
                         file + ": platforms." + one.id + ".extractors names \"" + use.name + "\", which must be page, browser, yt-dlp" +
                             names + " or a member of extractors; if a program of your own registers it, only that program can run it, and "
                             "this one serves beside it with ROLE=api; see docs/configuration.md"};
        }
    return {};
}

Result<void> check_names(const std::vector<std::string>& own) {
    for (const auto& name : own) {
        const auto refused = [&](const std::string& why) {
            return Error{Errc::invalid_argument, "INVALID_ARGUMENT", why + "; give it another name() in the program"};
        };
        if (name.empty()) return refused("an extractor of this program has no name");
        if (is_built_in(name)) return refused("an extractor of this program is named \"" + name + "\", as one that is built in");
        if (std::count(own.begin(), own.end(), name) > 1) return refused("two extractors of this program are named \"" + name + "\"");
    }
    return {};
}

std::vector<std::string> names_of(const std::vector<std::shared_ptr<Extractor>>& extractors) {
    std::vector<std::string> names;
    for (const auto& one : extractors) names.emplace_back(one->name());
    return names;
}

std::vector<net::Platform> MediaConfig::rules() const {
    std::vector<net::Platform> all;
    for (const auto& platform : platforms) all.push_back(platform.rule);
    return all;
}

const PlatformConfig* MediaConfig::find(std::string_view id) const {
    for (const auto& platform : platforms)
        if (platform.id == id) return &platform;
    return nullptr;
}

json::object MediaConfig::shown() const {
    json::object sites;
    for (const auto& platform : platforms) {
        json::array uses;
        for (const auto& use : platform.extractors) {
            json::object one{{"use", use.name}, {"attempts", use.attempts}, {"nextOn", array_of(use.next_on)}};
            if (use.timeout) one["timeoutMs"] = use.timeout->count();
            uses.push_back(std::move(one));
        }
        sites[platform.id] = {{"enabled", platform.enabled}, {"hosts", array_of(platform.rule.hosts)}, {"extractors", std::move(uses)},
                              {"loginPage", platform.login_page}, {"loginCookies", array_of(platform.login_cookies)}};
    }
    json::object programs;
    for (const auto& command : commands)
        programs[command.name] = {{"command", array_of(command.argv)}, {"environment", array_of(command.environment)}};
    return {{"platforms", std::move(sites)}, {"extractors", std::move(programs)}, {"pages", pages}};
}

std::optional<bool> enabled_by_file(const Config& config, std::string_view platform) {
    const auto* platforms = config.structure.if_contains("platforms");
    const auto* one = platforms != nullptr && platforms->is_object()
                          ? platforms->get_object().if_contains({platform.data(), platform.size()})
                          : nullptr;
    const auto* flag = one != nullptr && one->is_object() ? one->get_object().if_contains("enabled") : nullptr;
    return flag != nullptr && flag->is_bool() ? std::optional(flag->get_bool()) : std::nullopt;
}

Result<net::Post> find_post(const net::Url& url, const std::vector<net::Platform>& platforms, const net::Fetcher& fetcher,
                            milliseconds limit, std::stop_token stop) {
    auto post = net::identify(url, platforms);
    if (!post || !post->short_link) return post;
    const auto until = std::chrono::steady_clock::now() + limit;
    // Some shorteners answer GET only.
    for (const bool head : {true, false}) {
        const auto left = std::chrono::duration_cast<milliseconds>(until - std::chrono::steady_clock::now());
        if (left.count() <= 0) break;
        auto reached = fetcher.get({.url = url.str(), .head = head, .timeout = left}, stop);
        if (!reached && reached.error().code == Errc::canceled) return std::move(reached).error();
        if (!reached) continue;
        auto target = net::parse_url(reached->final_url, net::max_fetch_url);
        auto known = target ? net::identify(*target, platforms) : Result<net::Post>(target.error());
        if (known && !known->short_link) return known;
    }
    return post;
}

}  // namespace jobruntime::host
