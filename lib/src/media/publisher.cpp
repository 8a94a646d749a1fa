// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <jobruntime/media.hpp>
#include <jobruntime/net.hpp>

#include "media/assembly.hpp"
#include "media/ffmpeg.hpp"
#include "media/watch.hpp"
#include "net/folders.hpp"
#include "net/names.hpp"

namespace jobruntime::media {
namespace {

constexpr const char* out_video = "out.mp4";
constexpr const char* out_by_ffmpeg = "out.ffmpeg";
constexpr const char* out_thumbnail = "out.jpg";
constexpr const char* out_json = "out.json";

/// The host of an http(s) URL that the grammar has let through, or nothing.
std::string_view host_of(std::string_view url) {
    const auto begin = url.find("://");
    if (begin == std::string_view::npos) return {};
    url.remove_prefix(begin + 3);
    return url.substr(0, url.find_first_of("/:?#"));
}

std::string folder_for(const PublishRequest& request) {
    for (const std::string_view from : {std::string_view(request.account), host_of(request.source_url)})
        if (std::string name = net::slug(from, {}); !name.empty()) return name;
    return "video";
}

/// The file's name inside the work folder; nothing when it is not directly there.
std::optional<std::string> name_in(const WorkFolder& work, std::string_view path) {
    if (!path.starts_with(work.path()) || path.size() < work.path().size() + 2) return std::nullopt;
    path.remove_prefix(work.path().size());
    if (path.front() != '/' || path.find('/', 1) != std::string_view::npos) return std::nullopt;
    path.remove_prefix(1);
    if (path == "." || path == "..") return std::nullopt;
    return std::string(path);
}

std::string sidecar(const PublishRequest& request, const Finished& file, const std::string& output,
                    const std::string& thumbnail) {
    const auto text_or_null = [](const std::string& text) {
        return text.empty() ? boost::json::value(nullptr) : boost::json::value(text);
    };
    const MediaFacts& facts = file.facts;
    const boost::json::object json{{"source", request.source_url},
                                   {"page", text_or_null(request.info.webpage_url)},
                                   {"postId", text_or_null(request.info.id)},
                                   {"title", text_or_null(request.info.title)},
                                   {"author", text_or_null(request.info.author)},
                                   {"published", text_or_null(request.info.published)},
                                   {"durationMs", static_cast<std::int64_t>(facts.seconds * 1000 + 0.5)},
                                   {"size", facts.bytes},
                                   {"sha256", file.sha256},
                                   {"container", facts.container},
                                   {"width", facts.width},
                                   {"height", facts.height},
                                   {"fps", facts.fps},
                                   {"videoCodec", facts.video_codec},
                                   {"audioCodec", text_or_null(facts.audio_codec)},
                                   {"outputPath", output},
                                   {"thumbnailPath", text_or_null(thumbnail)}};
    return boost::json::serialize(json);
}

Result<void> write_file(const Fd& folder, const char* name, std::string_view text) {
    const Fd file(::openat(folder.get(), name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file) return net::folder_error(errno, std::string("write ") + name);
    while (!text.empty()) {
        const auto wrote = ::write(file.get(), text.data(), text.size());
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return net::folder_error(errno, std::string("write ") + name);
        text.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return ::fsync(file.get()) == 0 ? Result<void>()
                                    : Result<void>(net::folder_error(errno, std::string("sync ") + name));
}

/// Files on their way from the work folder to their place. What was placed is taken back
/// unless everything was.
class Placement {
public:
    Placement(const Fd& from, const Fd& to) : from_(from), to_(to) {}
    Placement(const Placement&) = delete;
    Placement& operator=(const Placement&) = delete;
    ~Placement() {
        for (const auto& name : placed_) (void)net::remove_name(to_, name);
    }

    Result<void> move(const std::string& name, const std::string& final_name) {
        if (::renameat(from_.get(), name.c_str(), to_.get(), final_name.c_str()) != 0)
            return net::folder_error(errno, "move " + final_name + " into place");
        placed_.push_back(final_name);
        return {};
    }

    /// The download itself stays in the work folder as well: should this process die before the
    /// result is accepted, the next attempt need not fetch it again.
    Result<void> link(const std::string& name, const std::string& final_name) {
        (void)net::remove_name(to_, final_name);  // Only this attempt can have made one.
        if (::linkat(from_.get(), name.c_str(), to_.get(), final_name.c_str(), 0) != 0)
            return move(name, final_name);
        placed_.push_back(final_name);
        return {};
    }

    void accept() { placed_.clear(); }

private:
    const Fd& from_;
    const Fd& to_;
    std::vector<std::string> placed_;
};

/// Errors that say the bytes are wrong: fetching them again must start from nothing.
bool is_about_content(const Error& error) {
    for (const std::string_view code : {"NO_VIDEO", "DRM_PROTECTED", "UNSUPPORTED_SOURCE", "NOT_MEDIA",
                                        "TRUNCATED", "WRONG_DURATION", "MEDIA_DAMAGED"})
        if (error.name == code) return true;
    return false;
}

/// A playlist that ends early is whole by its own word only. What it names as missing is; its sound and its picture
/// never end together; and a record in whole seconds was rounded.
Result<void> as_long_as_said(const Assembly& assembly, double said) {
    const double rounding = said == std::floor(said) ? 1 : 0;
    const double allowed = std::max(said * 0.02, 0.5 + rounding) + assembly.gap_seconds + assembly.tolerance;
    if (said <= assembly.seconds + allowed) return {};
    const auto shown = [](double seconds) { return std::to_string(static_cast<long>(seconds + 0.5)) + " s"; };
    return Error{Errc::corrupt, "WRONG_DURATION",
                 "the playlist ends after " + shown(assembly.seconds) + ", but the site says that the video is " +
                     shown(said) + " long"};
}

/// What the helper is asked: of the pieces of a stream, how they belong together too.
Result<FinishRequest> finish_request(const PublishRequest& request, const std::string& folder) {
    FinishRequest asked{.input = request.input,
                        .output = folder + "/" + out_video,
                        .thumbnail = folder + "/" + out_thumbnail,
                        .expected_seconds = request.expected_seconds,
                        .max_seconds = request.max_seconds};
    auto stream = read_assembly(request.input);
    if (!stream) return std::move(stream).error();
    if (!*stream) return asked;
    const Assembly& assembly = **stream;
    // A picture and its sound that were two files promise nothing by themselves.
    if (assembly.seconds > 0) {
        JR_TRY(as_long_as_said(assembly, request.expected_seconds));
        asked.expected_seconds = assembly.seconds;
    }
    asked.tolerance = assembly.tolerance;
    asked.runs = assembly.runs;
    asked.pieces = assembly.pieces;
    if (!assembly.audio.empty()) asked.audio = folder + "/" + assembly.audio;
    asked.audio_seconds = assembly.audio_seconds;
    asked.audio_runs = assembly.audio_runs;
    asked.audio_pieces = assembly.audio_pieces;
    asked.audio_apart = assembly.audio_apart;
    return asked;
}

void remove_half_made(const Fd& work) {
    for (const char* name : {out_video, out_by_ffmpeg, out_thumbnail, out_json})
        (void)net::remove_name(work, name);
}

/// What the helper has rewritten is written once more by the operator's ffmpeg, and judged once more by the
/// helper: its output is no more trusted than a download.
Result<Finished> by_ffmpeg(const HelperOptions& options, const Fd& work, const FinishRequest& first,
                           const Finished& vetted, const OnProgress& progress, const std::stop_token& stop) {
    FinishRequest again{.input = first.output, .output = {}, .thumbnail = first.thumbnail};
    again.input.replace(again.input.size() - std::string_view(out_video).size(), std::string::npos, out_by_ffmpeg);
    again.output = first.output;
    again.expected_seconds = vetted.facts.seconds;
    JR_TRY(run_ffmpeg(options,
                      {.input = first.output,
                       .output = again.input,
                       .mp4 = vetted.ext == "mp4",
                       .seconds = vetted.facts.seconds},
                      progress, stop));
    JR_TRY(net::remove_name(work, out_video));
    JR_TRY(net::remove_name(work, out_thumbnail));
    auto judged = HelperClient(options).finish(again, progress, stop);
    if (!judged && is_about_content(judged.error()))
        return Error{Errc::corrupt, "FFMPEG_FAILED",
                     "what ffmpeg has made of the file is no good: " + judged.error().message};
    if (!judged) return judged;
    // A faststart file stays as it is: it takes the place of the one that it was made from.
    if (!judged->remuxed && ::renameat(work.get(), out_by_ffmpeg, work.get(), out_video) != 0)
        return net::folder_error(errno, "rename what ffmpeg has written");
    judged->remuxed = true;
    return judged;
}

}  // namespace

Result<Published> Publisher::publish(const PublishRequest& request, const WorkFolder& work,
                                     const OnProgress& progress, std::stop_token stop,
                                     HelperAhead ahead) const {
    const auto input = name_in(work, request.input);
    if (!input) return net::path_refused(request.input);
    if (!request.job || request.nth < 0 || request.nth == 1 || request.nth > 999)
        return Error{Errc::invalid_argument, "publishing needs a job id, and nth 0 or 2 to 999"};
    remove_half_made(work.folder_);

    // A film that is rewritten needs its size once more.
    const Watch watch({.time = {}, .min_free_bytes = request.min_free_bytes}, work.path(), stop);
    const HelperClient helper(options_.helper);
    auto asked = finish_request(request, work.path());
    auto file = asked ? helper.finish(*asked, progress, watch.token(), std::move(ahead)) : Result<Finished>(asked.error());
    if (file && file->remuxed && !options_.helper.ffmpeg.empty())
        file = by_ffmpeg(options_.helper, work.folder_, *asked, *file, progress, watch.token());
    if (!file) {
        remove_half_made(work.folder_);  // A killed helper could not.
        if (is_about_content(file.error())) {
            (void)net::remove_name(work.folder_, *input);
            discard_stream(request.input);
        }
        if (auto ended = watch.error()) return *std::move(ended);
        return file.error();
    }
    if (stop.stop_requested())
        return Error{Errc::canceled, "the save was stopped before its file was published"};

    auto root = net::open_root(options_.root);
    if (!root) return root.error();
    const std::string folder_name = folder_for(request);
    auto folder = net::make_folder(*root, folder_name, 0755);
    if (!folder) return folder.error();

    const net::FileName name{request.job, request.fence, request.nth, file->ext};
    const auto with_ext = [&name](const char* ext) {
        net::FileName other = name;
        other.ext = ext;
        return other.str();
    };
    Published done;
    done.file = std::move(*file);
    done.output_path = folder_name + "/" + name.str();
    if (done.file.thumbnail) done.thumbnail_path = folder_name + "/" + with_ext("jpg");
    done.json_path = folder_name + "/" + with_ext("json");
    done.json = sidecar(request, done.file, done.output_path, done.thumbnail_path);

    Placement placement(work.folder_, *folder);
    JR_TRY(write_file(work.folder_, out_json, done.json));
    JR_TRY(placement.move(out_json, with_ext("json")));
    if (done.file.thumbnail) JR_TRY(placement.move(out_thumbnail, with_ext("jpg")));
    if (done.file.remuxed) {
        JR_TRY(placement.move(out_video, name.str()));
    } else {
        JR_TRY(placement.link(*input, name.str()));
    }
    JR_TRY(net::sync_folder(*folder));
    JR_TRY(net::sync_folder(*root));
    placement.accept();
    return done;
}

}  // namespace jobruntime::media
