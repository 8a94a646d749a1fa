// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/recording.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <mutex>

#include <boost/json.hpp>
#include <jobruntime/telemetry_sink.hpp>

#include "core/json.hpp"
#include "extract/classify.hpp"
#include "extract/info_dict.hpp"
#include "extract/json_access.hpp"
#include "extract/media_url.hpp"
#include "net/lookup.hpp"

namespace jobruntime::extract {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

/// All bodies of a recording together; one that would exceed it is left out, and the replay says so.
constexpr std::size_t max_kept_bytes = std::size_t{64} << 20;
/// A shorter value would be found where it is none.
constexpr std::size_t shortest_secret = 6;

/// What extractors read. All else may hold what concerns nobody.
bool is_kept(std::string_view name) {
    constexpr std::array kept{"content-type",
                              "content-range",
                              "location",
                              "set-cookie",
                              "retry-after",
                              "cf-mitigated",
                              "access-control-allow-origin",
                              "access-control-allow-credentials",
                              "access-control-allow-headers"};
    return std::find(kept.begin(), kept.end(), name) != kept.end();
}

Error incomplete(std::string what) {
    return {Errc::unsupported, "RECORDING_INCOMPLETE",
            "the recording has no answer for " + std::move(what) +
                "; record it anew, or write one into its case.json"};
}

std::string decoded(std::string_view text) {
    const auto digit = [](char c) {
        return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    };
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escape =
            text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
        out += escape ? static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2])) : text[i];
        if (escape) i += 2;
    }
    return out;
}

}  // namespace

std::string comparable(std::string_view url) { return redact(without_fragment(url)); }

void Recording::Impl::note_secret(std::string_view value) {
    for (std::string form : {std::string(value), decoded(value)}) {
        // A cookie's quotes are not part of what a page says of it, where others stand round it.
        if (form.size() >= 2 && form.front() == '"' && form.back() == '"') form = form.substr(1, form.size() - 2);
        // As it is, in JSON, and in a program's line of JSON that is itself written down in JSON.
        for (int depth = 0; depth < 3; ++depth) {
            if (form.size() >= shortest_secret) secrets_.insert(form);
            form = json::serialize(json::string(form));
            form = form.substr(1, form.size() - 2);
        }
    }
}

/// Of all that an info dict has, at whatever depth: also of what nobody will use.
void Recording::Impl::note_secrets_of(const json::value& said) {
    if (const auto* list = said.if_array())
        for (const auto& one : *list) note_secrets_of(one);
    const auto* object = said.if_object();
    if (object == nullptr) return;
    for (const auto& [key, value] : *object) {
        if (key == "cookies" && value.is_string())
            for (const auto& cookie : cookies_in(value.get_string(), {})) note_secret(cookie.value);
        if (const auto* headers = key == "http_headers" ? value.if_object() : nullptr)
            for (const auto& [name, text] : *headers) note_header(name, text_of(text));
        note_secrets_of(value);
    }
}

void Recording::Impl::note_cookies(const net::Headers& headers) {
    for (const auto& [name, value] : headers) {
        if (lower(name) != "set-cookie") continue;
        const auto equals = value.find('=');
        if (equals != std::string::npos)
            note_secret(std::string_view(value).substr(equals + 1, value.find(';') - equals - 1));
    }
}

void Recording::Impl::note_header(std::string_view name, std::string_view value) {
    const auto key = lower(name);
    if (key == "cookie") {
        for (std::string_view rest = value; !rest.empty();) {
            const auto pair = rest.substr(0, rest.find(';'));
            rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
            if (const auto equals = pair.find('='); equals != std::string_view::npos)
                note_secret(pair.substr(equals + 1));
        }
    } else if (redact("?" + key + "=value") != "?" + key + "=value") {
        // "Bearer abc": the word before the secret is none.
        note_secret(value.substr(value.rfind(' ') == std::string_view::npos ? 0 : value.rfind(' ') + 1));
    }
}

void Recording::Impl::note_secrets_of(const MediaInfo& info) {
    for (const auto& cookie : info.cookies) note_secret(cookie.value);
    for (const auto& source : info.sources) {
        for (const auto& [name, value] : source.http_headers) note_header(name, value);
        if (source.sound)
            for (const auto& [name, value] : source.sound->http_headers) note_header(name, value);
    }
}

/// What the request's jar has sent or got on the way. What else is in it is of no concern here: an imported profile
/// has thousands of cookies, and the value of one may be a word of this page.
void Recording::Impl::note_sent(const net::FetchRequest& request, const net::Response* answer,
                                const std::vector<Cookie>& before) {
    if (request.cookies == nullptr) return;
    for (const auto& url : {request.url, answer != nullptr ? answer->final_url : std::string()})
        if (const auto address = net::parse_url(url, net::max_fetch_url))
            note_header("cookie", request.cookies->header_for(*address));
    for (const auto& cookie : request.cookies->cookies())
        if (std::find(before.begin(), before.end(), cookie) == before.end()) note_secret(cookie.value);
}

void Recording::Impl::note_secrets_of(const net::FetchRequest& request) {
    for (const auto& [name, value] : request.headers) note_header(name, value);
    const auto query = request.url.find('?');
    if (query == std::string::npos) return;
    for (std::string_view rest = std::string_view(request.url).substr(query + 1); !rest.empty();) {
        const auto pair = rest.substr(0, rest.find('&'));
        rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
        const auto text = "http://h/?" + std::string(pair);
        if (const auto equals = pair.find('='); equals != std::string_view::npos && redact(text) != text)
            note_secret(pair.substr(equals + 1));
    }
}

void Recording::Impl::add(RecordedExchange exchange) {
    note_cookies(exchange.response.headers);
    std::erase_if(exchange.response.headers, [](const auto& header) { return !is_kept(header.first); });
    if (exchange.error && exchange.error->code == Errc::canceled) return;
    if (kept_bytes_ + exchange.response.body.size() > max_kept_bytes) return;
    kept_bytes_ += exchange.response.body.size();
    exchanges_.push_back(std::move(exchange));
}

RecordedExchange* Recording::Impl::find(std::string_view by, std::string_view method, std::string_view url) {
    const auto wanted = comparable(url);
    RecordedExchange* found = nullptr;
    for (auto& exchange : exchanges_) {
        if (exchange.by != by || exchange.method != method || comparable(exchange.url) != wanted) continue;
        found = &exchange;
        if (!exchange.used) break;
    }
    if (found != nullptr) found->used = true;
    return found;
}

Result<net::Response> Recording::Impl::fetch(std::string_view by, std::string_view method,
                                             const net::FetchRequest& request,
                                             const std::function<Result<net::Response>()>& live) {
    if (replays_) {
        const auto* known = find(by, method, request.url);
        if (known == nullptr) return incomplete(std::string(method) + " " + shown_url(request.url));
        if (known->error) return *known->error;
        // As the fetcher would have told the jar.
        if (const auto from = net::parse_url(known->response.final_url, net::max_fetch_url);
            from && request.cookies != nullptr)
            for (const auto& [name, value] : known->response.headers)
                if (lower(name) == "set-cookie") request.cookies->take(*from, value);
        return known->response;
    }
    note_secrets_of(request);
    const auto before = request.cookies != nullptr ? request.cookies->cookies() : std::vector<Cookie>();
    note_sent(request, nullptr, before);  // Also of what an answer then replaces.
    auto answer = live();
    note_sent(request, answer ? &*answer : nullptr, before);
    if (answer) note_secrets_of(net::FetchRequest{.url = answer->final_url});
    add({std::string(by), std::string(method), request.url,
         answer ? std::nullopt : std::optional(answer.error()), answer ? *answer : net::Response{}});
    return answer;
}

Result<void> Recording::Impl::play(RecordedRun& recorded, const ChildRun& run, ChildEnd& end) const {
    recorded.used = true;
    for (const auto& name : recorded.files) {
        // That it was there is part of the answer; what was in it is not.
        if (fs::path(name).is_absolute() || name.find("..") != std::string::npos) continue;
        std::error_code ignored;
        fs::create_directories((fs::path(run.directory) / name).parent_path(), ignored);
        std::ofstream(fs::path(run.directory) / name);
    }
    if (run.on_stderr)
        for (const auto& line : recorded.complaints) run.on_stderr(line);
    for (const auto& line : recorded.lines) JR_TRY(run.on_line(line));
    if (recorded.error) return *recorded.error;
    end.status = recorded.status;
    return {};
}

Result<void> Recording::Impl::run(const ChildRun& run, Deadline deadline, const std::stop_token& stop,
                                  ChildEnd& end) {
    if (replays_) {
        const auto found = std::find_if(runs_.begin(), runs_.end(),
                                        [&](const auto& one) { return one.by == run.name && !one.used; });
        if (found == runs_.end()) return incomplete("a run of " + run.name);
        return play(*found, run, end);
    }
    RecordedRun taken;
    taken.by = run.name;
    std::mutex mutex;  // stderr is read on a thread of its own.
    ChildRun watched = run;
    watched.on_line = [&](std::string_view line) {
        taken.lines.emplace_back(line);
        // Here, for whatever becomes of the answer, its lines are kept.
        if (const auto said = core::parse_json(line)) note_secrets_of(*said);
        return run.on_line(line);
    };
    watched.on_stderr = [&](std::string_view line) {
        if (run.on_stderr) run.on_stderr(line);
        const std::lock_guard lock(mutex);
        taken.complaints.emplace_back(line);
    };
    auto ran = run_child(watched, deadline, stop, end);
    const std::lock_guard lock(mutex);
    if (!ran) taken.error = ran.error();
    if (end.status) taken.status = *end.status;
    // What was still running after its answer was ended by us, which is no failure of its.
    if (end.lingered) taken.status = {};
    std::error_code ignored;
    for (fs::recursive_directory_iterator entry(run.directory, ignored), last; !ignored && entry != last;
         entry.increment(ignored))
        if (entry->is_regular_file(ignored))
            taken.files.push_back(entry->path().lexically_relative(run.directory).string());
    if (!ran && ran.error().code == Errc::canceled) return ran;
    runs_.push_back(std::move(taken));
    return ran;
}

std::string Recording::Impl::denial(std::string_view by, const std::string& seen) {
    for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
        if (run->by != by || (replays_ && !run->used)) continue;
        if (!replays_) run->denial = seen;
        return run->denial;
    }
    return seen;
}

std::optional<bool> Recording::Impl::allowed(const std::string& host) const {
    const auto known = hosts_.find(host);
    return known == hosts_.end() ? std::nullopt : std::optional(known->second);
}

Result<void> run_child(Recording* recording, const ChildRun& run, Deadline deadline,
                       const std::stop_token& stop, ChildEnd& end) {
    return recording != nullptr ? recording->impl().run(run, deadline, stop, end)
                                : run_child(run, deadline, stop, end);
}

Recording::Recording() : impl_(std::make_unique<Impl>()) {}
Recording::~Recording() = default;
Recording::Recording(Recording&& other) noexcept = default;
bool Recording::replays() const noexcept { return impl_->replays(); }
const RecordedCase& Recording::asked() const noexcept { return impl_->asked(); }
Result<void> Recording::save(const std::string& folder, RecordedCase asked) const {
    return impl_->save(folder, std::move(asked));
}

Result<Recording> Recording::open(const std::string& folder) {
    Recording recording;
    JR_TRY(recording.impl_->load(folder));
    return recording;
}

}  // namespace jobruntime::extract
