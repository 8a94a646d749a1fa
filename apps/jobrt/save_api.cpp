// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "save.hpp"

namespace jobruntime::jobrt {
namespace {

using std::chrono::steady_clock;

/// An API that restarts is waited for so long.
constexpr std::chrono::seconds patience{30};

std::string text_of(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

const boost::json::object* object_of(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value ? value->if_object() : nullptr;
}

/// False when the stop came first.
bool pause(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, std::chrono::milliseconds(200), [] { return false; });
    return !stop.stop_requested();
}

Result<boost::json::object> follow(const std::string& api, const std::string& token, const std::string& id,
                                   ProgressView& view, const std::stop_token& stop) {
    auto heard = steady_clock::now();
    do {
        auto answer = call_api(api, "/api/jobs/" + id, nullptr, token);
        const auto* job = answer && answer->status == 200 ? object_of(answer->body, "job") : nullptr;
        if (job) {
            heard = steady_clock::now();
            const auto status = text_of(*job, "status");
            if (status == "completed" || status == "failed" || status == "canceled") return *job;
            view.show(*job);
            continue;
        }
        const auto error = answer ? refused(*answer) : answer.error();
        if (error.code != Errc::unavailable && error.code != Errc::timed_out) return error;
        if (steady_clock::now() - heard > patience) return error;
    } while (pause(stop));
    return Error{Errc::canceled, "the wait for the job was interrupted"};
}

Result<Saving> begin(const Invocation& in) {
    const auto api = in.text("api");
    // A person waits for it, so it goes before what scripts have put in.
    const boost::json::object wanted{{"url", in.text("URL")}, {"priority", -1}};
    auto token = api_token(in);
    if (!token) return std::move(token).error();
    const auto answer = call_api(api, "/api/jobs", &wanted, *token);
    if (!answer) return answer.error();
    Saving saving;
    if (answer->status == 201) {
        const auto* job = object_of(answer->body, "job");
        if (job) saving.id = text_of(*job, "id");
    } else if (answer->status == 409) {
        saving.id = text_of(answer->body, "existingJobId");
        saving.already = text_of(answer->body, "existingJobStatus") == "completed";
    }
    if (saving.id.empty()) return refused(*answer);
    const auto status = get_api(api, "/api/status", *token);
    if (!status) return status.error();
    saving.download_dir = text_of(*status, "downloadDir");
    saving.follow = [api, token = *std::move(token), id = saving.id](ProgressView& view, std::stop_token stop) {
        return follow(api, token, id, view, stop);
    };
    return saving;
}

}  // namespace

int save_through_api(const Invocation& in) {
    return see_through(in, [&] { return begin(in); });
}

}  // namespace jobruntime::jobrt
