// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media_api.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "media_kind.hpp"
#include "platform_config.hpp"

namespace jobruntime::host {
namespace {

std::string text_of(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::string result_text(const Job& job, std::string_view name) {
    return job.result.is_object() ? text_of(job.result.get_object(), name) : std::string();
}

std::string_view content_type(std::string_view path) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> types{{
        {".mp4", "video/mp4"},
        {".webm", "video/webm"},
        {".mov", "video/quicktime"},
        {".mkv", "video/x-matroska"},
        {".ts", "video/mp2t"},
        {".jpg", "image/jpeg"},
        {".json", "application/json"},
        {".flv", "video/x-flv"},
    }};
    for (const auto& [ending, type] : types)
        if (path.ends_with(ending)) return type;
    return "application/octet-stream";
}

Response not_found() { return Response::error(404, "NOT_FOUND", "there is no such file"); }

}  // namespace

void media_members(const Job& job, boost::json::object& json) {
    const bool is_media = job.kind == media_kind;
    auto or_null = [](const std::string& text) {
        return text.empty() ? boost::json::value(nullptr) : boost::json::value(text);
    };
    json["url"] = or_null(is_media ? text_of(job.payload, "url") : "");
    json["canonicalUrl"] = or_null(is_media ? text_of(job.payload, "canonicalUrl") : "");
    json["outputPath"] = or_null(is_media ? result_text(job, "outputPath") : "");
    json["thumbnailPath"] = or_null(is_media ? result_text(job, "thumbnailPath") : "");
}

MediaApi::MediaApi(JobQueue& queue, const PlatformFlags& flags, net::FetcherOptions fetcher, std::string download_dir,
                   std::vector<net::Platform> platforms)
    : queue_(queue), flags_(flags), fetcher_(std::move(fetcher)), download_dir_(std::move(download_dir)),
      platforms_(std::make_shared<const std::vector<net::Platform>>(std::move(platforms))) {}

void MediaApi::set_platforms(std::vector<net::Platform> platforms) {
    auto fresh = std::make_shared<const std::vector<net::Platform>>(std::move(platforms));
    const std::lock_guard lock(mutex_);
    platforms_ = std::move(fresh);
}

MediaApi::Platforms MediaApi::platforms() const {
    const std::lock_guard lock(mutex_);
    return platforms_;
}

void MediaApi::prepare(ApiOptions& options) {
    clock_ = options.clock ? options.clock : &system_clock();
    lease_ = options.lease;
    options.status["downloadDir"] = download_dir_;
    options.delete_query = {{.name = "keepFiles", .type = RouteField::Type::boolean,
                             .about = "leave its saved file where it is", .fallback = "false"}};
    options.decorate = media_members;
    for (const char* name : {"url", "canonicalUrl"})
        options.decorated.push_back({.name = name, .about = "of a media.save job", .required = true, .nullable = true});
    options.deleted = [this](const Job& job, const RouteMatch& match) {
        const auto keep = match.query_value("keepFiles").value_or("");
        if (job.kind != media_kind || keep == "1" || keep == "true") return;
        const auto path = result_text(job, "outputPath");
        // What cannot be removed now is an orphan on disk, not a reason to keep the job.
        if (!path.empty()) (void)net::remove_saved_files(download_dir_, job.id, path).has_value();
    };
}

void MediaApi::add_routes(ApiRouter& router) {
    using Type = RouteField::Type;
    router.add({400, "INVALID_URL", "not a URL that can be saved (jobrt)"});
    router.add({403, "PLATFORM_DISABLED", "that platform is switched off (jobrt)"});
    router.add({409, "DUPLICATE_ACTIVE_JOB", "the same post waits or runs (jobrt)"});
    router.add({409, "DUPLICATE_COMPLETED_JOB", "the same post is saved (jobrt)"});

    Route create_route = *router.find("POST", "/api/jobs");
    create_route.summary = "Save a post's video ({url}), or enqueue a job of any kind.";
    for (auto& field : *create_route.body)
        if (field.name == "kind") field.required = false;
    for (const char* name : {"url", "tweetUrl"})
        create_route.body->push_back({.name = name, .about = name[0] == 'u' ? "of the post or page whose video is to be saved"
                                                                            : "the same, under its old name",
                                      .code = "INVALID_URL"});
    for (const char* code : {"INVALID_URL", "PLATFORM_DISABLED", "DUPLICATE_ACTIVE_JOB", "DUPLICATE_COMPLETED_JOB"})
        create_route.errors.emplace_back(code);
    create_route.handle = [this, &router, any_kind = create_route.handle](const Request& request,
                                                                         const RouteMatch& match) {
        const bool by_url = match.body.contains("url") || match.body.contains("tweetUrl");
        if (by_url || text_of(match.body, "kind") == media_kind) return create(router, request, match);
        return any_kind(request, match);
    };
    router.add(std::move(create_route));
    const RouteAnswer platforms{200, "The platforms by name, each with enabled, source, locked and logins: whether each living worker is logged in there.",
                                {{.name = "ok", .type = Type::boolean, .required = true},
                                 {.name = "platforms", .type = Type::object, .required = true}}};
    router.add({.method = "GET", .path = "/api/capabilities", .role = Role::read,
                .summary = "Which platforms are on, and who says so.",
                .handle = [this, &router](const Request&, const RouteMatch&) { return capabilities(router); },
                .answers = {platforms}});
    router.add({.method = "PATCH", .path = "/api/capabilities", .role = Role::admin,
                .summary = "Switch platforms on and off for all processes.",
                .handle = [this, &router](const Request&, const RouteMatch& match) { return change_capabilities(router, match); },
                .body = std::vector<RouteField>{{.name = "platforms", .type = Type::object,
                                                 .about = "true or false for each platform that GET names and that is to change",
                                                 .required = true}},
                .answers = {platforms}});
    router.add({.method = "GET", .path = "/downloads/*rest", .role = Role::read,
                .summary = "A finished file, as a job's result names it.",
                .handle = [this](const Request& request, const RouteMatch& match) { return serve_file(request, match); },
                .headers = {{.name = "Range", .about = "one range of bytes"},
                            {.name = "If-None-Match", .about = "the ETag of an earlier answer"}},
                .answers = {{200, "The file.", {}, "*/*"},
                            {206, "The range of it.", {}, "*/*"},
                            {304, "The file is as If-None-Match knows it.", {}, ""}},
                .errors = {"NOT_FOUND", "RANGE_NOT_SATISFIABLE"}});
}

/// A short link that does not lead anywhere so soon is followed by the worker: whoever sent it waits here.
constexpr std::chrono::milliseconds short_link_patience{1'000};

Result<JobSpec> MediaApi::job_for(std::string_view text, EnqueueOptions options) const {
    auto url = net::parse_url(text);
    if (!url) return std::move(url).error();
    auto post = find_post(*url, *platforms(), fetcher_, short_link_patience);
    if (!post) return std::move(post).error();
    auto flag = flags_.get(post->platform);
    if (!flag) return std::move(flag).error();
    if (!flag->enabled)
        return Error{Errc::conflict, "PLATFORM_DISABLED",
                     "the platform " + post->platform + " is switched off (" + std::string(flag->source) + ")"};
    JobSpec spec;
    spec.kind = std::string(media_kind);
    spec.payload = {{"url", url->str()}, {"canonicalUrl", post->canonical}, {"platform", post->platform}};
    spec.options = std::move(options);
    spec.options.unique = post->unique_key;
    spec.options.unique_states = {JobState::completed};
    return spec;
}

bool MediaApi::has_file(const Job& job) const {
    const auto path = result_text(job, "outputPath");
    if (path.empty()) return false;
    auto there = net::has_saved_file(download_dir_, job.id, path);
    return there && *there;
}

bool MediaApi::clear_if_gone(const Job& job) const {
    if (has_file(job)) return false;
    const auto path = result_text(job, "outputPath");
    // What stays all the same is an orphan, which the sweeper of a worker removes.
    if (!path.empty()) (void)net::remove_saved_files(download_dir_, job.id, path).has_value();
    return true;
}

Response MediaApi::create(ApiRouter& router, const Request& request, const RouteMatch& match) const {
    const auto& body = match.body;
    auto refuse = [](std::string_view message) { return Response::error(400, "INVALID_ARGUMENT", message); };
    const auto* address = body.if_contains("url");
    if (const auto* old_name = body.if_contains("tweetUrl")) {
        if (address) return refuse("url and tweetUrl are the same thing; give one of them");
        address = old_name;
    }
    if (address && (body.contains("kind") || body.contains("payload")))
        return refuse("give either url, or kind and payload");
    if (!address) {
        const auto* payload = body.if_contains("payload");
        if (payload && payload->is_object()) address = payload->get_object().if_contains("url");
        if (payload && payload->is_object() && payload->get_object().size() > 1)
            return refuse("the payload of media.save has one member, url");
    }
    if (!address || !address->is_string()) return Response::error(400, "INVALID_URL", "url must be a string");
    if (body.contains("uniqueKey")) return refuse("uniqueKey is made from the url; leave it out");
    auto options = router.job_options(body);
    if (!options) return router.error_response(options.error());
    if (!body.contains("queue")) options->queue = std::string(media_queue);
    if (!body.contains("maxAttempts")) options->max_attempts = media_attempts;
    auto spec = job_for(std::string_view(address->get_string()), *std::move(options));
    if (!spec && spec.error().name == "PLATFORM_DISABLED")
        return Response::error(403, "PLATFORM_DISABLED", spec.error().message);
    if (!spec && spec.error().name == "INVALID_URL") return Response::error(400, "INVALID_URL", spec.error().message);
    if (!spec) return router.error_response(spec.error());
    CreateRules rules;
    rules.active_code = "DUPLICATE_ACTIVE_JOB";
    rules.finished_code = "DUPLICATE_COMPLETED_JOB";
    rules.requeue = [this](const Job& job) { return job.state == JobState::completed && clear_if_gone(job); };
    return router.create_job(request, match, *std::move(spec), rules);
}

Result<std::map<std::string, boost::json::array, std::less<>>> MediaApi::logins() const {
    auto sessions = queue_.store().sessions();
    if (!sessions) return std::move(sessions).error();
    std::map<std::string, boost::json::array, std::less<>> said;
    for (const auto& session : *sessions) {
        const auto& facts = session.facts;
        // Nobody may be left to declare it dead.
        if (!facts.works || !seems_alive(session, clock_->wall(), lease_)) continue;
        const auto* logins = facts.details.if_contains("logins");
        if (!logins || !logins->is_object()) continue;
        for (const auto& [platform, state] : logins->get_object()) {
            const auto* there = state.is_object() ? state.get_object().if_contains("loggedIn") : nullptr;
            if (!there || !there->is_bool()) continue;
            const auto* expires = state.get_object().if_contains("expires");
            const auto until = expires && expires->is_int64() ? boost::json::value(to_iso(Time{std::chrono::seconds(expires->get_int64())}))
                                                              : boost::json::value(nullptr);
            said[platform].push_back(boost::json::object{
                {"workerId", session.id.str()}, {"host", facts.host}, {"loggedIn", *there}, {"expiresAt", until}});
        }
    }
    return said;
}

Response MediaApi::capabilities(const ApiRouter& router) const {
    boost::json::object shown;
    auto said = logins();
    if (!said) return router.error_response(said.error());
    const auto all = platforms();
    for (const auto& platform : *all) {
        const auto& name = platform.id;
        auto flag = flags_.get(name);
        if (!flag) return router.error_response(flag.error());
        shown[name] = {{"enabled", flag->enabled}, {"source", flag->source}, {"locked", flag->locked}, {"logins", std::move((*said)[name])}};
    }
    return Response::json(200, {{"ok", true}, {"platforms", std::move(shown)}});
}

Response MediaApi::change_capabilities(const ApiRouter& router, const RouteMatch& match) const {
    const auto& wanted = match.body.at("platforms").as_object();
    const auto known = platforms();
    for (const auto& item : wanted) {
        const auto name = "platforms." + std::string(std::string_view(item.key()).substr(0, 64));
        if (std::ranges::find(*known, item.key(), &net::Platform::id) == known->end())
            return Response::error(400, "INVALID_ARGUMENT", name + " is not known here; GET /api/capabilities names the platforms");
        if (!item.value().is_bool()) return Response::error(400, "INVALID_ARGUMENT", name + " must be true or false");
    }
    for (const auto& item : wanted)
        if (auto set = flags_.set(item.key(), item.value().as_bool()); !set) return router.error_response(set.error());
    return capabilities(router);
}

Response MediaApi::serve_file(const Request& request, const RouteMatch& match) const {
    namespace fs = std::filesystem;
    const auto found = match.path.find("rest");
    if (found == match.path.end()) return not_found();
    // Only what a job's accepted result names is official; the file's name begins with the job's id.
    const fs::path relative(found->second);
    const auto id = JobId::parse(relative.filename().string().substr(0, 36));
    if (!id) return not_found();
    auto job = queue_.get(*id, part_result);
    if (!job) return Response::error(503, "STORE_UNAVAILABLE", "the store does not answer now; try again");
    if (!*job) return not_found();
    bool named = false;
    for (const auto* member : {"outputPath", "thumbnailPath", "jsonPath"})
        named = named || result_text(**job, member) == found->second;
    if (!named) return not_found();
    std::error_code code;
    const auto root = fs::canonical(download_dir_, code);
    const auto path = code ? fs::path() : fs::canonical(root / relative, code);
    if (code || !path.string().starts_with(root.string() + "/")) return not_found();
    auto response = file_response(request, path.string(), content_type(path.string()));
    // A film whose link a person opens is a page that loads itself, which the API's own policy forbids. It may load
    // what this server has, and still nothing that runs.
    response.headers.emplace_back("content-security-policy",
                                  "default-src 'none'; media-src 'self'; img-src 'self'; frame-ancestors 'none'");
    return response;
}

}  // namespace jobruntime::host
