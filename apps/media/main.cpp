// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.

// jobrt-media: does to one hostile media file what one line of JSON on stdin asks, answers
// with lines of JSON on stdout, exits. A worker starts one for each file, so that whatever a
// file does to libav happens to this process and not to the worker.

#include <new>

#include "av.hpp"
#include "digest.hpp"
#include "operations.hpp"
#include "protocol.hpp"
#include "sandbox.hpp"

namespace {

using jobruntime::Error;

jobruntime::Result<boost::json::object> answer_request() {
    // A worker that downloads starts this process ahead: what is done here costs the job no time.
    jobruntime::helper::load_digest();
    auto line = jobruntime::helper::read_line();
    if (!line) return line.error();
    auto request = jobruntime::helper::parse_request(*line);
    if (!request) return request.error();
    jobruntime::helper::enter(*request);
    return jobruntime::helper::perform(*request);
}

}  // namespace

int main() {
    av_log_set_level(AV_LOG_QUIET);  // What libav says quotes the hostile file.
    try {
        auto answer = answer_request();
        if (!answer) {
            jobruntime::helper::send_error(answer.error());
            return 1;
        }
        (*answer)["type"] = "result";
        jobruntime::helper::send(*answer);
        return 0;
    } catch (const std::bad_alloc&) {
        jobruntime::helper::send_error(
            Error{jobruntime::Errc::full, "MEDIA_MEMORY", "the file needs more memory than allowed"});
        return 1;
    }
}
