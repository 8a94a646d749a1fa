// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <jobruntime/extract.hpp>

#include "core/json.hpp"
#include "extract/child_run.hpp"
#include "extract/info_dict.hpp"
#include "extract/media_url.hpp"
#include "extract/recording.hpp"
#include "net/proxy.hpp"

namespace jobruntime::extract {

namespace {

/// What yt-dlp's "ERROR:" lines mean. Its words are for people, and it has no codes; the first row that fits decides.
/// `status` stands for the HTTP status that they name.
struct Said {
    std::string_view words;
    std::string_view code;
};
constexpr std::string_view status = "http error ";
constexpr std::array said{
    Said{"unsupported url", "UNSUPPORTED_SOURCE"},
    Said{"no such option", "EXTRACTOR_PROTOCOL"},
    Said{"drm", "DRM_PROTECTED"},
    Said{"not available in your country", "GEO_BLOCKED"},
    Said{"geo restrict", "GEO_BLOCKED"},
    Said{"anti-bot", "BOT_CHALLENGE"},
    Said{status, ""},
    Said{"rate-limit", "RATE_LIMITED"},
    Said{"not a bot", "BOT_CHALLENGE"},
    Said{"captcha", "BOT_CHALLENGE"},
    Said{"log in", "AUTH_REQUIRED"},
    Said{"login", "AUTH_REQUIRED"},
    Said{"sign in", "AUTH_REQUIRED"},
    Said{"--cookies", "AUTH_REQUIRED"},
    Said{"nsfw", "AUTH_REQUIRED"},
    Said{"private", "AUTH_REQUIRED"},
    Said{"no video could be found", "NO_MEDIA"},
    Said{"no video formats", "NO_MEDIA"},
    Said{"there's no video", "NO_MEDIA"},
    Said{"is not a video", "NO_MEDIA"},
    Said{"unavailable", "VIDEO_UNAVAILABLE"},
    Said{"not available", "VIDEO_UNAVAILABLE"},
    Said{"removed", "VIDEO_UNAVAILABLE"},
    Said{"timed out", "NETWORK"},
    Said{"unable to download", "NETWORK"},
    Said{"connection", "NETWORK"},
};

/// Without "[extractor] id: " before them: the id is a part of the address, in which any word may stand.
std::string_view words_of(std::string_view complaint) {
    if (!complaint.starts_with('[')) return complaint;
    const auto id = complaint.find("] ");
    const auto end = id == std::string_view::npos ? id : complaint.find(": ", id);
    return end == std::string_view::npos ? complaint : complaint.substr(end + 2);
}

/// The code of the HTTP status at the beginning of `digits`; empty for one that is no error.
std::string code_of_status(std::string_view digits) {
    int number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const auto error = number >= 400 && number < 600 ? net::status_error(number, false) : std::nullopt;
    return error ? error->name : std::string();
}

/// `ending`: what there is to say when it complained of nothing.
Error meaning_of(const std::string& complaint, const std::string& ending) {
    const auto words = lower(words_of(complaint));
    for (const auto& row : said) {
        const auto at = words.find(row.words);
        if (at == std::string::npos) continue;
        const auto code = row.words == status ? code_of_status(std::string_view(words).substr(at + status.size())) : std::string(row.code);
        if (!code.empty()) return {errc_of(code), code, "yt-dlp says: " + complaint};
    }
    return {Errc::unavailable, "EXTRACTOR_CRASHED",
            complaint.empty() ? "yt-dlp " + ending + " and gave no answer" : "yt-dlp says: " + complaint};
}

/// A copy of the cookies for one run, its owner's alone, gone with the object. yt-dlp writes back to the file that it
/// is given what the sites have set meanwhile, and that is for strangers to say.
class CookieCopy {
public:
    Result<void> make(const std::string& original, const std::string& folder) {
        const Error failed{Errc::unavailable, "COOKIES_NOT_READ",
                           "cannot copy the cookies of " + original + " for yt-dlp; check its rights and the disk"};
        const Fd from(::open(original.c_str(), O_RDONLY | O_CLOEXEC));
        auto name = (folder.empty() ? std::filesystem::temp_directory_path().string() : folder) + "/cookies-XXXXXX";
        const Fd to(from ? ::mkostemp(name.data(), O_CLOEXEC) : -1);  // Made with 0600.
        if (!to) return failed;
        path_ = std::move(name);
        char bytes[16 * 1024];
        while (true) {
            const auto got = ::read(from.get(), bytes, sizeof bytes);
            if (got == 0) return {};
            if (got < 0 || ::write(to.get(), bytes, static_cast<std::size_t>(got)) != got) return failed;
        }
    }
    CookieCopy() = default;
    ~CookieCopy() {
        if (!path_.empty()) ::unlink(path_.c_str());
    }
    CookieCopy(const CookieCopy&) = delete;
    CookieCopy& operator=(const CookieCopy&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

/// Whether the address is that of the post's nth video, such as https://x.com/i/status/1/video/2: its last part, or a
/// value of its query, is the number or ends in it ("part-2"), and not the post's own.
bool names_number(const net::Url& url, int nth, std::string_view post_id) {
    const auto number = std::to_string(nth);
    if (number == post_id) return false;
    std::string_view path = url.path;
    if (path.ends_with('/')) path.remove_suffix(1);
    const auto last = path.substr(path.rfind('/') + 1);
    if (last != post_id && last.ends_with(number)) {
        const auto before = last.substr(0, last.size() - number.size());
        if (before.empty() || before.back() < '0' || before.back() > '9') return true;
    }
    const auto query = "&" + url.query.value_or("") + "&";
    return query.find("=" + number + "&") != std::string::npos;
}

/// `environment`, and the guard in place of any other proxy: the command line would show its credential to everybody
/// on this machine.
std::vector<std::string> with_proxy(std::vector<std::string> environment, const net::Proxy& proxy) {
    std::erase_if(environment, [](const std::string& entry) {
        return lower(entry.substr(0, entry.find('='))).ends_with("_proxy");
    });
    for (const char* name : {"http_proxy", "https_proxy", "all_proxy"})
        environment.push_back(std::string(name) + "=" + proxy.url());
    return environment;
}

}  // namespace

YtDlpExtractor::YtDlpExtractor(YtDlpOptions options) : options_(std::move(options)) {}
YtDlpExtractor::~YtDlpExtractor() = default;

Result<MediaInfo> YtDlpExtractor::extract(const ExtractRequest& request, std::stop_token stop) {
    const auto deadline = std::chrono::steady_clock::now() + request.timeout;
    auto url = net::parse_url(request.url, net::max_fetch_url);
    if (!url) return std::move(url).error();
    HostVetter vetter(options_.allow_nets, options_.recording);
    JR_TRY(vetter.check_url(url->str(), deadline, stop));
    // It follows redirects, and what a site's pages say, to wherever they lead.
    std::unique_ptr<net::Proxy> proxy;
    if (options_.recording == nullptr || !options_.recording->replays()) {
        auto started = net::Proxy::start({.allow_nets = options_.allow_nets});
        if (!started) return std::move(started).error();
        proxy = *std::move(started);
    }
    const auto denial = [&] {
        const auto stats = proxy ? proxy->stats() : net::ProxyStats{};
        const auto seen = stats.denied > 0 ? stats.last_denial : std::string();
        return options_.recording != nullptr ? options_.recording->impl().denial("yt-dlp", seen) : seen;
    };
    CookieCopy cookies;
    if (!request.cookies_file.empty()) JR_TRY(cookies.make(request.cookies_file, request.tmp_dir));

    std::mutex mutex;  // stderr is read on a thread of its own.
    std::string complaint;
    std::optional<boost::json::object> dict;
    ChildRun run;
    run.name = "yt-dlp";
    run.argv = {options_.program, "--ignore-config", "--no-plugin-dirs", "--no-cache-dir", "--no-playlist", "--no-warnings", "-q", "-J"};
    if (!cookies.path().empty()) run.argv.insert(run.argv.end(), {"--cookies", cookies.path()});
    // It need not look at the others.
    if (request.nth > 0) run.argv.insert(run.argv.end(), {"--playlist-items", std::to_string(request.nth)});
    run.argv.insert(run.argv.end(), {"--", url->str()});
    run.environment = proxy ? with_proxy(options_.environment, *proxy) : options_.environment;
    if (!request.traceparent.empty()) run.environment.push_back("TRACEPARENT=" + request.traceparent);
    run.directory = request.tmp_dir;
    run.limits = options_.limits;
    run.on_line = [&](std::string_view line) -> Result<void> {
        if (line.empty() || line == "null") return {};
        auto parsed = core::parse_json_object(line);
        if (!parsed || dict)
            return Error{Errc::unsupported, "EXTRACTOR_PROTOCOL", "yt-dlp wrote something else than one info dict; is it up to date?"};
        dict = *std::move(parsed);
        return {};
    };
    run.on_stderr = [&](std::string_view line) {
        const std::lock_guard lock(mutex);
        if (request.log) request.log("yt-dlp: " + std::string(line));
        // The second is about its arguments, when it is older than they are.
        for (const std::string_view begin : {"ERROR: ", "yt-dlp: error: "})
            if (line.starts_with(begin)) complaint = clean_line(line.substr(begin.size()), 300);
    };
    run.answered = [&] { return dict.has_value(); };
    ChildEnd end;
    JR_TRY(run_child(options_.recording, run, deadline, stop, end));
    const auto denied = denial();
    if (!dict) {
        // What yt-dlp says of a refused connection is no more than that it failed.
        if (!denied.empty()) return Error{Errc::invalid_argument, "SSRF_BLOCKED", denied};
        const std::lock_guard lock(mutex);
        return meaning_of(complaint, ending_of(end));
    }
    // It says nothing of a number where it knows no list, and answers what it knows.
    if (request.nth > 1 && !dict->contains("entries") && !names_number(*url, request.nth, request.post_id))
        return Error{Errc::not_found, "NO_MEDIA",
                     "yt-dlp knows only one video of the post, and number " + std::to_string(request.nth) +
                         " was asked for; ask for it without a number, or another extractor"};
    auto info = info_from_dict(*dict, request.nth);
    if (!info) return info;
    if (info->sources.empty()) return Error{Errc::not_found, "NO_MEDIA", "yt-dlp found no format with a picture"};
    JR_TRY(vet_info(*info, request, vetter, deadline, stop));
    return info;
}

}  // namespace jobruntime::extract
