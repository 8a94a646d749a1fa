// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "operations.hpp"

#include <atomic>
#include <future>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <unistd.h>

#include "digest.hpp"
#include "keyframe.hpp"
#include "remux.hpp"
#include "stitch.hpp"
#include "thumbnail.hpp"

namespace jobruntime::helper {
namespace {

using boost::json::object;

Error damaged(const char* what) {
    return Error{Errc::corrupt, "TRUNCATED",
                 std::string("the file ") + what + "; it was cut off, download it again"};
}

/// Opens a download and refuses at once what can never be published.
Result<Media> open_playable(const std::string& path) {
    auto media = open_media(path);
    if (!media) return media;
    JR_TRY(refuse_encrypted(*media));
    JR_TRY(refuse_without_video(*media));
    return media;
}

/// A packet without a decoded picture proves nothing: the first key frame must come out whole.
Result<void> decode_first(Media& media) {
    auto frame = decode_key_frame(media, 0);
    return frame ? Result<void>() : Result<void>(frame.error());
}

Result<void> thumbnail_of(Media& media, int size, const std::string& path) {
    auto frame = decode_key_frame(media, media.seconds() / 10);
    if (!frame) frame = decode_key_frame(media, 0);
    if (!frame) return frame.error();
    return write_thumbnail(media, **frame, size, path);
}

Result<object> probe(const Request& request) {
    auto media = open_media(request.input);
    if (!media) return media.error();
    return describe(*media);
}

Result<object> verify(const Request& request) {
    auto media = open_playable(request.input);
    if (!media) return media.error();
    if (is_cut_off(*media, read_structure(request.input))) return damaged("is shorter than it says");
    object answer = describe(*media);
    auto seconds = copy_streams(*media, "", request.expected_seconds);
    if (!seconds) return seconds.error();
    JR_TRY(decode_first(*media));
    answer["seconds"] = *seconds;
    return answer;
}

Result<object> thumbnail(const Request& request) {
    if (request.thumbnail.empty())
        return Error{Errc::invalid_argument, "BAD_REQUEST", "thumbnail is missing"};
    auto media = open_playable(request.input);
    if (!media) return media.error();
    JR_TRY(thumbnail_of(*media, request.thumbnail_width, request.thumbnail));
    return object{{"thumbnail", true}};
}

/// The file's way to the disk and its checksum, beside other work on it: no thread left, then afterwards. Who lets go
/// of it without the answer, as the file is refused, need not wait for the file's end.
class DigestBeside {
public:
    explicit DigestBeside(std::string path) : path_(std::move(path)) {
        const auto work = [this] { return sync_and_digest(path_, abandoned_); };
        try {
            answer_ = std::async(std::launch::async, work);
        } catch (const std::system_error&) {
            answer_ = std::async(std::launch::deferred, work);
        }
    }
    DigestBeside(const DigestBeside&) = delete;
    DigestBeside& operator=(const DigestBeside&) = delete;
    ~DigestBeside() { abandoned_ = true; }
    Result<Digest> get() { return answer_.get(); }

private:
    const std::string path_;
    std::atomic<bool> abandoned_ = false;
    std::future<Result<Digest>> answer_;  // Last: it waits for the thread, which uses the others.
};

/// Everything that is asked of the file that will be published.
Result<object> inspect(const Request& request, const std::string& path, DigestBeside& digesting) {
    auto media = open_playable(path);
    if (!media) return media.error();
    JR_TRY(decode_first(*media));
    object answer = describe(*media);
    // A video without a thumbnail is still a video.
    const bool pictured = !request.thumbnail.empty() &&
                          thumbnail_of(*media, request.thumbnail_width, request.thumbnail).has_value();
    auto digest = digesting.get();
    if (!digest) {
        if (pictured) ::unlink(request.thumbnail.c_str());
        return digest.error();
    }
    answer["thumbnail"] = pictured;
    answer["bytes"] = digest->bytes;
    answer["sha256"] = digest->sha256;
    return answer;
}

/// The pieces of a stream become one file; they cannot stay as they are.
Result<object> finish_stream(const Request& request) {
    auto stitched = stitch(request);
    if (!stitched) return stitched.error();
    DigestBeside digesting(request.output);
    auto answer = inspect(request, request.output, digesting);
    if (!answer) {
        ::unlink(request.output.c_str());
        return answer;
    }
    if (answer->at("seconds").as_double() <= 0) (*answer)["seconds"] = stitched->seconds;
    (*answer)["sourceContainer"] = stitched->container;
    (*answer)["remuxed"] = true;
    (*answer)["ext"] = stitched->ext;
    return answer;
}

Result<object> finish(const Request& request) {
    if (request.output.empty()) return Error{Errc::invalid_argument, "BAD_REQUEST", "output is missing"};
    if (!request.runs.empty()) return finish_stream(request);
    auto media = open_playable(request.input);
    if (!media) return media.error();
    const Structure structure = read_structure(request.input);
    if (is_cut_off(*media, structure)) return damaged("is shorter than it says");
    JR_TRY(refuse_too_long(media->seconds(), request.max_seconds));
    const Plan plan = plan_for(*media, structure);
    const std::string& result = plan.remux ? request.output : request.input;
    std::optional<DigestBeside> digesting;
    if (!plan.remux) digesting.emplace(result);  // Nothing of it changes any more.
    auto seconds = copy_streams(*media, plan.remux ? request.output : "", request.expected_seconds);
    if (!seconds) return seconds.error();
    if (auto good = refuse_too_long(*seconds, request.max_seconds); !good) {
        if (plan.remux) ::unlink(request.output.c_str());
        return std::move(good).error();
    }
    const std::string source = media->container();
    media->file.reset();

    if (plan.remux) digesting.emplace(result);
    auto answer = inspect(request, result, *digesting);
    if (!answer) {
        if (plan.remux) ::unlink(request.output.c_str());
        return answer;
    }
    if (answer->at("seconds").as_double() <= 0)
        (*answer)["seconds"] = *seconds;  // The container does not say.
    (*answer)["sourceContainer"] = source;
    (*answer)["remuxed"] = plan.remux;
    (*answer)["ext"] = plan.ext;
    return answer;
}

}  // namespace

Result<object> perform(const Request& request) {
    if (request.op == "probe") return probe(request);
    if (request.op == "verify") return verify(request);
    if (request.op == "thumbnail") return thumbnail(request);
    if (request.op == "finish") return finish(request);
    return Error{Errc::invalid_argument, "BAD_REQUEST", "op is none of probe, verify, thumbnail, finish"};
}

}  // namespace jobruntime::helper
